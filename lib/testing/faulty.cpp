// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/faulty.hpp>

#include <cosock/detail/timer.hpp>
#include <cosock/error.hpp>

#include "testing/random.hpp"
#include "testing/relay.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace cosock::testing {

namespace detail {

namespace {

using boost::system::error_code;
using cosock::detail::io_direction;
using cosock::detail::reading;
using cosock::detail::writing;

error_code system_error(int code) { return {code, boost::system::system_category()}; }

void check_piece(const direction_faults& faults, const char* direction) {
  if (faults.piece == std::size_t{0})
    throw std::invalid_argument(std::string("fault_plan::") + direction +
                                ".piece is 0; it is at least 1, or std::nullopt");
}

/// Makes the delayed transfers of one direction possible.
class delay_timer final : public cosock::detail::timer {
 public:
  explicit delay_timer(faulty_state& state, io_direction direction) noexcept
      : state_(state), direction_(direction) {}
  void expire() noexcept override;
  bool has_passed = false;

 private:
  faulty_state& state_;
  const io_direction direction_;
};

}  // namespace

/// The state of a faulty stream, which stays where it is when that is moved.
class faulty_state final : private relay_target {
 public:
  faulty_state(faulty& stream, byte_stream* below, std::unique_ptr<byte_stream> owned,
               const fault_plan& plan)
      : stream_(&stream),
        below_(below),
        owned_(std::move(owned)),
        plan_(plan),
        random_(plan.seed.value_or(0)) {
    check_piece(plan.receive, "receive");
    check_piece(plan.send, "send");
    if (!below_->is_open()) throw boost::system::system_error(make_error_code(error::closed));
  }

  void attach(faulty& stream) noexcept { stream_ = &stream; }
  void set_hook(fault_hook* hook) noexcept { hook_ = hook; }
  std::uint64_t moved(io_direction direction) const noexcept { return moved_[direction]; }

  void notify(io_direction direction) noexcept {
    if (direction == reading)
      stream_->notify_readable();
    else
      stream_->notify_writable();
  }

  /// Moves bytes by `transfer`, a function that returns no number if it would wait.
  template <class Buffer, class Transfer>
  std::size_t move(io_direction direction, std::span<const Buffer> buffers, error_code& code,
                   Transfer transfer) noexcept {
    relays_[direction].stop();
    if (failed_[direction] || !may_begin(direction, code)) {
      if (failed_[direction]) code = failed_[direction];
      return 0;
    }
    const std::size_t most = next_size(direction, code);
    if (most == 0) return 0;
    if (!delayed(direction)) {
      code = system_error(EAGAIN);
      return 0;
    }
    std::size_t all = 0;
    try {
      for (const Buffer& buffer : buffers) {
        if (all == most) break;
        const std::size_t size = std::min(buffer.size(), most - all);
        if (size == 0) continue;
        const std::optional<std::size_t> n = transfer(Buffer(buffer.data(), size));
        if (!n && all == 0) return wait(direction, code);
        if (n && *n == 0) ended_[direction] = true;
        if (!n || *n == 0) break;
        all += *n;
        if (*n != size) break;
      }
    } catch (const boost::system::system_error& e) {
      if (all == 0) code = e.code();
    }
    began_[direction] = false;
    delays_[direction].has_passed = false;
    moved_[direction] += all;
    return all;
  }

  bool is_ready(io_direction direction) noexcept {
    relays_[direction].stop();
    const direction_faults& faults = of(direction);
    if (failed_[direction] || ended_[direction] || moved_[direction] == faults.error_at ||
        moved_[direction] == faults.end_at)
      return true;
    cosock::detail::io_object* const object = below();
    if (!object || !object->loop || object->is_ready(direction)) return delayed(direction);
    return !relays_[direction].wait(*object);
  }

  bool is_flushed(error_code& code) noexcept {
    cosock::detail::io_object* const object = below();
    if (!object || !object->loop) return true;
    cosock::detail::failure why;
    relays_[writing].stop();
    if (object->is_flushed(why)) {
      if (why) code = cosock::detail::to_error_code(why);
      return true;
    }
    return !relays_[writing].wait(*object);
  }

  void shutdown_send(error_code& code) noexcept {
    try {
      relays_[writing].stop();
      below_->shutdown_send();
    } catch (const boost::system::system_error& e) {
      code = e.code();
    }
  }
  void close() noexcept {
    stop();
    below_->close();
  }
  void stop() noexcept {
    for (relay& r : relays_) r.stop();
    for (delay_timer& t : delays_) t.stop_timer();
  }
  byte_stream& stream_below() noexcept { return *below_; }

 private:
  void below_is_ready(io_direction direction) noexcept override { notify(direction); }

  const direction_faults& of(io_direction direction) const noexcept {
    return direction == reading ? plan_.receive : plan_.send;
  }
  cosock::detail::io_object* below() const noexcept {
    return cosock::detail::stream_access::object_of(*below_);
  }

  std::size_t wait(io_direction direction, error_code& code) noexcept {
    cosock::detail::io_object* const object = below();
    code = system_error(EAGAIN);
    if (!relays_[direction].wait_after_attempt(*object)) code = make_error_code(error::busy);
    return 0;
  }

  /// Asks the hook, once for each operation, after a turn of the loop.
  bool may_begin(io_direction direction, error_code& code) noexcept {
    if (!hook_ || began_[direction]) return true;
    if (!std::exchange(yielded_[direction], true)) {
      notify(direction);  // from inside the call: it is called again in the next turn
      code = system_error(EAGAIN);
      return false;
    }
    yielded_[direction] = false;
    began_[direction] = true;
    switch (hook_->before_operation(fault_hook::subject::stream, code)) {
      case fault_hook::answer::pass:
      case fault_hook::answer::loss: return true;
      case fault_hook::answer::error: failed_[direction] = code; return false;
      case fault_hook::answer::end:
        if (direction == reading)
          ended_[reading] = true;
        else
          code = failed_[writing] = system_error(EPIPE);
        return false;
    }
    return true;
  }

  /// How many bytes the next transfer may move. 0 at the end, or with an error.
  std::size_t next_size(io_direction direction, error_code& code) noexcept {
    const direction_faults& faults = of(direction);
    if (ended_[direction]) return 0;
    if (moved_[direction] == faults.error_at) {
      code = faults.error;
      return 0;
    }
    if (moved_[direction] == faults.end_at) {
      if (direction == writing) code = system_error(EPIPE);
      return 0;
    }
    std::uint64_t most = faults.piece.value_or(static_cast<std::size_t>(-1));
    if (plan_.seed && faults.piece) most = 1 + random_.below(most);
    for (const auto& at : {faults.error_at, faults.end_at})
      if (at && *at > moved_[direction]) most = std::min(most, *at - moved_[direction]);
    return static_cast<std::size_t>(most);
  }

  /// Whether the delay of this transfer has passed; begins it.
  bool delayed(io_direction direction) noexcept {
    const time_span delay = of(direction).delay;
    delay_timer& timer = delays_[direction];
    if (delay <= time_span::zero() || timer.has_passed) return true;
    cosock::detail::io_object* const object = below();
    if (!object || !object->loop) return true;
    // A receive is delayed from the arrival of the bytes on.
    if (direction == reading && !object->is_ready(reading)) {
      relays_[reading].wait(*object);
      return false;
    }
    if (timer.is_running()) return false;
    std::int64_t ns = delay.count();
    if (plan_.seed) ns = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(ns)));
    timer.start_timer(*object->loop,
                      cosock::detail::later(cosock::detail::current_time(*object->loop), ns));
    return false;
  }

  faulty* stream_;
  byte_stream* below_;
  std::unique_ptr<byte_stream> owned_;
  const fault_plan plan_;
  random random_;
  fault_hook* hook_ = nullptr;
  std::uint64_t moved_[2] = {};
  bool ended_[2] = {};
  bool began_[2] = {};    // the hook was asked about the operation that waits
  bool yielded_[2] = {};  // it has had to wait for a turn
  error_code failed_[2];  // by the hook
  // Behind `owned_`: they leave the stream below before it is destroyed.
  relay relays_[2] = {relay(*this, reading), relay(*this, writing)};
  delay_timer delays_[2] = {delay_timer(*this, reading), delay_timer(*this, writing)};
};

namespace {

void delay_timer::expire() noexcept {
  has_passed = true;
  state_.notify(direction_);
}

}  // namespace

void fault_hook::attach(faulty& stream) noexcept { stream.state_->set_hook(this); }

}  // namespace detail

using detail::faulty_state;
using detail::reading;
using detail::writing;

faulty::faulty(byte_stream& below, const fault_plan& plan)
    : state_(std::make_unique<faulty_state>(*this, &below, nullptr, plan)) {}
faulty::faulty(std::unique_ptr<byte_stream> below, const fault_plan& plan) {
  if (!below) throw boost::system::system_error(make_error_code(error::closed));
  byte_stream* const stream = below.get();
  state_ = std::make_unique<faulty_state>(*this, stream, std::move(below), plan);
}
faulty::faulty(faulty&& other) noexcept
    : custom_stream(std::move(other)), state_(std::move(other.state_)) {
  if (state_) state_->attach(*this);
}
faulty& faulty::operator=(faulty&& other) noexcept {
  if (this == &other) return *this;
  custom_stream::operator=(std::move(other));
  state_ = std::move(other.state_);
  if (state_) state_->attach(*this);
  return *this;
}
faulty::~faulty() {
  if (state_) state_->stop();
}

std::uint64_t faulty::bytes_received() const noexcept {
  return state_ ? state_->moved(reading) : 0;
}
std::uint64_t faulty::bytes_sent() const noexcept { return state_ ? state_->moved(writing) : 0; }

std::size_t faulty::do_receive(std::span<const mutable_buffer> into,
                               boost::system::error_code& error) noexcept {
  return state_->move(reading, into, error, [this](mutable_buffer buffer) {
    return state_->stream_below().try_receive(buffer);
  });
}
std::size_t faulty::do_send(std::span<const const_buffer> from,
                            boost::system::error_code& error) noexcept {
  return state_->move(writing, from, error, [this](const_buffer buffer) {
    return state_->stream_below().try_send_some(buffer);
  });
}
void faulty::do_shutdown_send(boost::system::error_code& error) noexcept {
  state_->shutdown_send(error);
}
bool faulty::can_receive() noexcept { return state_->is_ready(reading); }
bool faulty::can_send() noexcept { return state_->is_ready(writing); }
bool faulty::do_flush(boost::system::error_code& error) noexcept {
  return state_->is_flushed(error);
}
void faulty::on_close() noexcept { state_->close(); }

fault_plan random_faults(std::uint64_t seed, std::uint64_t bytes) {
  if (bytes == 0) throw std::invalid_argument("random_faults: 0 bytes; there is at least 1");
  detail::random random(seed);
  fault_plan plan;
  plan.seed = random.next();
  for (direction_faults* faults : {&plan.receive, &plan.send}) {
    faults->piece = 1;
    for (std::uint64_t i = random.below(4); i != 0; --i) *faults->piece *= 10;
    if (random.below(4) == 0) faults->delay = std::chrono::milliseconds(1 + random.below(10));
  }
  if (random.below(2) == 0) {
    direction_faults& faults = random.below(2) == 0 ? plan.receive : plan.send;
    const std::uint64_t at = random.below(bytes);
    (random.below(2) == 0 ? faults.error_at : faults.end_at) = at;
  }
  return plan;
}

}  // namespace cosock::testing
