// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// rate_limit, and limited_stream: an io_object around that of the stream below, which it does not own.
// An operation waits here, for a timer or for a relay that waits below.

#include <cosock/limited_stream.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"

#include <cosock/detail/duration.hpp>
#include <cosock/detail/timer.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

namespace cosock {

namespace {

using detail::wide_integer;
constexpr std::int64_t second = 1'000'000'000;
constexpr std::uint64_t max_rate = std::uint64_t{1} << 62;

std::uint64_t checked(const char* what, std::uint64_t n) {
  if (n == 0 || n > max_rate)
    throw std::invalid_argument("cosock: " + std::string(what) + " is " + std::to_string(n) +
                                "; it is from 1 to 4611686018427387904");
  return n;
}

}  // namespace

rate_limit::rate_limit(std::uint64_t per_second, rate_limit_options options)
    : rate_(checked("the rate of a rate_limit", per_second)),
      burst_(checked("rate_limit_options::burst",
                     options.burst.value_or(std::max<std::uint64_t>(per_second / 20, 1)))),
      spare_(burst_),
      at_(detail::current_time()) {}

void rate_limit::refill() noexcept {
  const std::int64_t now = detail::current_time();
  const wide_integer gained = wide_integer{now - at_} * static_cast<std::int64_t>(rate_) / second;
  if (gained >= static_cast<wide_integer>(burst_ - spare_)) {
    spare_ = burst_;
    at_ = now;
    return;
  }
  spare_ += static_cast<std::uint64_t>(gained);
  // The part of a unit that has come stays in the time, rounded against the caller.
  const auto rate = static_cast<wide_integer>(rate_);
  at_ += static_cast<std::int64_t>((gained * second + rate - 1) / rate);
}

std::int64_t rate_limit::wait_for(std::uint64_t units) noexcept {
  const std::uint64_t wanted = std::min(units, burst_);
  if (available(wanted) >= wanted) return 0;
  const auto rate = static_cast<wide_integer>(rate_);
  const wide_integer ns =
      (static_cast<wide_integer>(wanted - spare_) * second + rate - 1) / rate + at_;
  return static_cast<std::int64_t>(std::min<wide_integer>(ns, INT64_MAX)) - detail::current_time();
}

namespace detail {

namespace {

/// A part of an operation, which no coroutine awaits.
class part_operation final : public stream_operation {
 public:
  part_operation(io_direction direction, io_object* const& target, piece what) noexcept
      : stream_operation(direction == reading ? kind::receive : kind::send_some, target, what.data,
                         what.size) {}
  failure why() const noexcept { return failure_; }
};

}  // namespace

/// The object of a limited_stream.
class limited_object final : public io_object, private loop_service {
 public:
  limited_object(byte_stream& below, const stream_limits& limits)
      : below_(below),
        sides_{side(*this, reading, limits.receive), side(*this, writing, limits.send)} {
    io_object* const object = stream_access::object_of(below);
    if (!object || !object->loop) raise(closed_failure());
    if (object->keeps_messages)
      throw std::invalid_argument(
          "cosock: limited_stream takes a stream of bytes, not of messages");
    loop = object->loop;
    maybe_ready[reading] = true;
    scheduler::get(*loop).add_service(*this);
  }
  ~limited_object() { end(); }

  void end_sending() {
    if (!loop) raise(closed_failure());
    if (waiter[writing]) raise(own_failure(error::busy));
    sides_[writing].stop();
    below_.shutdown_send();
  }
  void close() noexcept {
    if (!loop) return;
    end();
    below_.close();
  }

  void arm(io_direction direction) override { sides_[direction].wait_for_more(); }
  step transfer(stream_operation& op) override;
  bool is_ready(io_direction direction) noexcept override {
    io_object* const object = open_below();
    sides_[direction].wants_units = false;
    return maybe_ready[direction] = !object || object->is_ready(direction);
  }
  bool is_flushed(failure& why) noexcept override {
    io_object* const object = open_below();
    sides_[writing].wants_units = false;
    return maybe_ready[writing] = !object || object->is_flushed(why);
  }
  bool may_finish() noexcept override {
    io_object* const object = open_below();
    return object && object->may_finish();
  }
  void count_into(byte_counter& counter) noexcept override {
    if (io_object* const object = open_below()) object->count_into(counter);
  }
  void describe(wait_report& to, io_direction direction) const override {
    if (const io_object* const object = open_below()) object->describe(to, direction);
  }

 private:
  /// One direction: its limit, and what an operation waits for.
  struct side final : timer, io_operation {
    side(limited_object& owner, io_direction which, rate_limit* limit) noexcept
        : limit(limit), owner_(owner) {
      direction_ = which;
    }
    side(side&& other) noexcept
        : timer(), io_operation(), limit(other.limit), owner_(other.owner_) {
      direction_ = other.direction_;
    }
    ~side() { stop(); }
    void stop() noexcept {
      stop_timer();
      if (!scope_) return;
      leave();
      operation::unlink();
      scope_->pending = nullptr;
      scope_ = nullptr;
    }
    void wait_for_more();
    void expire() noexcept override { owner_.ready(direction_); }
    void fire() override {
      stop();
      owner_.ready(direction_);
    }
    step attempt() override { return step::done; }
    void describe_operation(wait_report& to) const override { to.operation("a limited stream"); }

    rate_limit* limit;
    std::uint64_t wanted = 1;
    bool wants_units = false;

   private:
    limited_object& owner_;
    cancel_node never_cancelled_;
  };

  io_object* open_below() const noexcept {
    io_object* const object = stream_access::object_of(below_);
    return loop && object && object->loop ? object : nullptr;
  }
  void end() noexcept {
    if (!loop) return;
    for (side& s : sides_) s.stop();
    abandon(closed_failure());
    loop_service::unlink();
    loop = nullptr;
  }
  void on_loop_shutdown() noexcept override {
    for (side& s : sides_) s.stop();
    abandon(closed_failure());
    loop = nullptr;
  }

  byte_stream& below_;
  side sides_[2];
};

void limited_object::side::wait_for_more() {
  if (wants_units) {
    wants_units = false;
    start_timer(*owner_.loop, later(current_time(*owner_.loop), limit->wait_for(wanted)));
    return;
  }
  if (object_ || operation::linked()) return;
  io_object* const object = owner_.open_below();
  if (!object) return owner_.waiter[direction_]->end_with(closed_failure());
  if (object->waiter[direction_])
    return owner_.waiter[direction_]->end_with(own_failure(error::busy));
  never_cancelled_.loop = object->loop;
  scope_ = &never_cancelled_;
  wait(object, direction_, object->maybe_ready[direction_]);
}

/// An operation that the limit allows as a whole goes below as it is; of others, a part.
step limited_object::transfer(stream_operation& op) {
  const io_direction direction = op.direction();
  side& own = sides_[direction];
  io_object* const object = open_below();
  if (!object) return op.failed(closed_failure());
  own.stop();  // what an operation that was cancelled has waited for
  if (object->waiter[direction]) return op.failed(own_failure(error::busy));
  own.wants_units = false;
  for (;;) {
    std::uint64_t allowed = UINT64_MAX;
    if (own.limit) {
      allowed = own.limit->available(std::min<std::uint64_t>(op.left(), own.limit->burst()));
      if (allowed == 0) {
        // Enough for 10 ms, so that not every byte wakes the loop.
        own.wanted = std::min<std::uint64_t>(
            op.left(), std::max<std::uint64_t>(own.limit->per_second() / 100, 1));
        own.wants_units = true;
        maybe_ready[direction] = false;
        return step::pending;
      }
    }
    if (op.left() <= allowed || !own.limit) {
      const std::size_t before = op.bytes_moved();
      const step reached = object->transfer(op);
      if (own.limit) own.limit->take(op.bytes_moved() - before);
      input_ended = object->input_ended;
      maybe_ready[direction] = reached == step::done;
      return reached;
    }
    piece next = {op.data(), op.left()};
    if (!op.contiguous()) op.pieces(&next, 1);
    next.size = static_cast<std::size_t>(std::min<std::uint64_t>(next.size, allowed));
    io_object* const target = object;
    part_operation part(direction, target, next);
    if (object->transfer(part) == step::pending) {
      maybe_ready[direction] = false;
      return step::pending;
    }
    maybe_ready[direction] = true;
    if (part.why()) return op.failed(part.why());
    own.limit->take(part.bytes_moved());
    input_ended = object->input_ended;
    if (op.moved(part.bytes_moved()) == step::done) return step::done;
    if (--loop->budget <= 0) return step::pending;
  }
}

}  // namespace detail

limited_stream::limited_stream() noexcept = default;
limited_stream::limited_stream(byte_stream& below, const stream_limits& limits)
    : limited_(std::make_unique<detail::limited_object>(below, limits)) {
  object_ = limited_.get();
}
limited_stream::limited_stream(limited_stream&& other) noexcept
    : byte_stream(std::exchange(other.object_, nullptr)), limited_(std::move(other.limited_)) {}
limited_stream& limited_stream::operator=(limited_stream&& other) noexcept {
  if (this != &other) {
    object_ = std::exchange(other.object_, nullptr);
    limited_ = std::move(other.limited_);
  }
  return *this;
}
limited_stream::~limited_stream() = default;

void limited_stream::shutdown_send() {
  if (!is_open()) detail::raise(detail::closed_failure());
  limited_->end_sending();
}
void limited_stream::close() noexcept {
  if (limited_) limited_->close();
}

}  // namespace cosock
