// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/faulty_datagram.hpp>

#include <cosock/error.hpp>
#include <cosock/local_datagram.hpp>

#include "testing/datagram_fates.hpp"
#include "testing/faulty_direction.hpp"
#include "testing/late_datagrams.hpp"
#include "testing/relay.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>

namespace cosock::testing {

namespace detail {

namespace {

constexpr std::size_t largest_kept = 256 * 1024;
constexpr int max_taken_in_a_turn = 64;

}  // namespace

/// The state of a faulty socket, which stays where it is when that is moved.
template <class Endpoint>
class faulty_datagram_state final : private relay_target {
 public:
  using socket = faulty_datagram_socket<Endpoint>;
  using below_type = datagram_socket<Endpoint>;

  faulty_datagram_state(socket& above, below_type* below, std::unique_ptr<below_type> owned,
                        const datagram_fault_plan& plan)
      : socket_(&above),
        loop_(*above.object_->loop),
        below_(below),
        owned_(std::move(owned)),
        receive_(*this, reading, plan.receive, plan.seed),
        send_(*this, writing, plan.send, ~plan.seed) {
    const io_object* const object = below_object();
    if (!object || !object->loop) throw boost::system::system_error(make_error_code(error::closed));
    if (object->loop != &loop_)
      throw boost::system::system_error(make_error_code(error::wrong_loop));
  }

  void attach(socket& above) noexcept { socket_ = &above; }
  void set_hook(fault_hook* hook) noexcept {
    hook_ = hook;
    socket_->attempt_first();
  }
  std::uint64_t received() const noexcept { return receive_.fates.number(); }
  std::uint64_t sent() const noexcept { return send_.fates.number(); }

  std::size_t receive(std::span<const mutable_buffer> into, Endpoint& from, packet_info& info,
                      error_code& code) noexcept try {
    receive_.wait.stop();
    if (!may_attempt(receive_, code)) return 0;
    const std::int64_t now = receive_.timer.now(loop_);
    for (int taken = 0;; ++taken) {
      if (auto* const due = receive_.late.due(now)) {
        receive_.hooked.ended();
        from = due->peer.value_or(Endpoint());
        info = due->info.value_or(packet_info());
        copy(due->data, into);
        const std::size_t length = due->length;
        receive_.late.arrived(*due, now);
        return length;
      }
      if (receive_.fates.fails(code)) return 0;
      if (taken == max_taken_in_a_turn) socket_->notify_readable();
      if (taken == max_taken_in_a_turn || receive_.is_full()) {
        receive_.start_timer(loop_);
        code = system_error(EAGAIN);
        return 0;
      }
      fate next = receive_.fates.choose();
      next.dropped |= receive_.hooked.loses();
      if (next.is_plain()) {
        const std::size_t length = receive_now(into, from, info, code);
        if (!would_block(code)) receive_.hooked.ended();
        if (code) return 0;
        receive_.late.overtake(receive_.fates.next(), now);
        return length;
      }
      if (!take(next, now, code)) return 0;
    }
  } catch (const std::bad_alloc&) {
    code = system_error(ENOMEM);
    return 0;
  }

  void send(std::span<const const_buffer> from, const Endpoint* to, const packet_info* source,
            error_code& code) noexcept try {
    send_.wait.stop();
    if (!may_attempt(send_, code)) return;
    const std::int64_t now = send_.timer.now(loop_);
    if (!flush(now)) {
      code = system_error(EAGAIN);
      return;
    }
    if (failed_later_) {
      code = std::exchange(failed_later_, error_code());
      return;
    }
    if (send_.fates.fails(code)) return;
    fate next = send_.fates.choose();
    next.dropped |= send_.hooked.loses();
    if (next.dropped) {
      send_.fates.next();
    } else if (next.is_plain()) {
      send_now(from, to, source, code);
      if (code) return;
      send_.late.overtake(send_.fates.next(), now);
      flush(now);
    } else if (send_.is_full()) {
      code = system_error(EAGAIN);  // the timer runs
    } else {
      send_changed(next, from, to, source, now, code);
    }
    if (!would_block(code)) send_.hooked.ended();
  } catch (const std::bad_alloc&) {
    code = system_error(ENOBUFS);
  }

  void close() noexcept {
    stop();
    below_->close();
  }
  void stop() noexcept {
    for (direction* d : {&receive_, &send_}) {
      d->wait.stop();
      d->timer.stop_timer();
    }
  }

 private:
  struct direction {
    direction(relay_target& target, io_direction which, const datagram_direction_faults& of,
              std::uint64_t seed)
        : fates(of, which == reading ? "receive" : "send", seed),
          wait(target, which),
          timer(target, which),
          hooked(which) {}

    bool is_full() const noexcept { return late.size() >= fates.faults().room; }
    /// Takes the next datagram, of this fate.
    void add(late_datagram<Endpoint> one, const fate& f, std::int64_t now) {
      one.due = cosock::detail::later(now, f.delay.count());
      one.overtaken = f.held_back;
      one.limit = cosock::detail::later(one.due, fates.hold_limit());
      one.number = fates.next();
      late.add(std::move(one));
    }
    void start_timer(cosock::detail::loop_state& loop) noexcept {
      timer.start(loop, late.next_time());
    }

    datagram_fates fates;
    late_datagrams<Endpoint> late;
    relay wait;
    due_timer timer;
    hooked_direction hooked;
  };

  void below_is_ready(io_direction which) noexcept override {
    if (which == reading) return socket_->notify_readable();
    send_.wait.stop();
    if (flush(send_.timer.now(loop_))) socket_->notify_writable();
  }

  /// Asks the hook. False: `code` is set.
  bool may_attempt(direction& d, error_code& code) noexcept {
    using answer = hooked_direction::answer;
    switch (d.hooked.before_attempt(hook_, *socket_->object_, socket_->is_later_in_batch(), code)) {
      case answer::attempt: return true;
      case answer::fail: return false;
      case answer::wait: break;
    }
    if (&d == &receive_)  // from inside the call: it is called again in the next turn
      socket_->notify_readable();
    else
      socket_->notify_writable();
    code = system_error(EAGAIN);
    return false;
  }

  io_object* below_object() const noexcept {
    return cosock::detail::datagram_access::object_of(*below_);
  }

  /// One attempt below. After EAGAIN, below_is_ready() will be called.
  template <class Buffer>
  std::size_t attempt(direction& d, cosock::detail::datagram_operation::kind kind,
                      std::span<const Buffer> data, Endpoint* peer, packet_info* info,
                      error_code& code) noexcept {
    io_object* const object = below_object();
    if (!object || !object->loop) {
      code = make_error_code(error::closed);
      return 0;
    }
    const io_direction which = &d == &receive_ ? reading : writing;
    if (object->waiter[which]) {
      code = make_error_code(error::busy);
      return 0;
    }
    io_object* const target = object;
    datagram_now<Endpoint, Buffer> op(kind, target, data, peer, info);
    const std::size_t length = op.attempt_now(*object, code);
    if (would_block(code)) d.wait.wait_after_attempt(*object);
    return length;
  }
  std::size_t receive_now(std::span<const mutable_buffer> into, Endpoint& from, packet_info& info,
                          error_code& code) noexcept {
    using kind = cosock::detail::datagram_operation::kind;
    const std::size_t n = attempt(receive_, kind::receive, into, &from, &info, code);
    if (would_block(code)) receive_.start_timer(loop_);
    return n;
  }
  void send_now(std::span<const const_buffer> from, const Endpoint* to, const packet_info* source,
                error_code& code) noexcept {
    using kind = cosock::detail::datagram_operation::kind;
    attempt(send_, kind::send, from, const_cast<Endpoint*>(to), const_cast<packet_info*>(source),
            code);
  }

  /// Sends a datagram with a fault, the first copy of it at once unless it is late.
  void send_changed(const fate& next, std::span<const const_buffer> from, const Endpoint* to,
                    const packet_info* source, std::int64_t now, error_code& code) {
    std::size_t size = 0;
    for (const const_buffer& buffer : from) size += buffer.size();
    size = next.size_of(size);
    late_datagram<Endpoint> one;
    one.data.reserve(size);
    for (const const_buffer& buffer : from)
      one.data.append(static_cast<const char*>(buffer.data()),
                      std::min(buffer.size(), size - one.data.size()));
    if (to) one.peer = *to;
    if (source) one.info = *source;
    one.copies = next.duplicates + 1;
    send_.late.reserve();
    if (!next.is_late()) {
      const const_buffer data(one.data.data(), size);
      send_now({&data, 1}, to, source, code);
      if (code) return;
      if (--one.copies == 0) send_.late.overtake(send_.fates.next(), now);
    }
    if (one.copies != 0) send_.add(std::move(one), next, now);
    flush(now);
  }

  /// Takes the next received datagram, of this fate. False if that would wait, or fails.
  bool take(const fate& next, std::int64_t now, error_code& code) {
    if (!memory_) memory_ = std::make_unique_for_overwrite<char[]>(largest_kept);
    const mutable_buffer into(memory_.get(), largest_kept);
    Endpoint from;
    packet_info info;
    const std::size_t length = receive_now({&into, 1}, from, info, code);
    if (code) return false;
    if (next.dropped) {
      receive_.hooked.lost();
      receive_.fates.next();
      return true;
    }
    late_datagram<Endpoint> one;
    one.length = next.size_of(length);
    one.data.assign(memory_.get(), std::min(one.length, largest_kept));
    one.peer = from;
    one.info = info;
    one.copies = 1 + next.duplicates;
    receive_.add(std::move(one), fate(next), now);
    return true;
  }

  static void copy(const std::string& data, std::span<const mutable_buffer> into) noexcept {
    std::size_t copied = 0;
    for (const mutable_buffer& buffer : into) {
      const std::size_t n = std::min(buffer.size(), data.size() - copied);
      if (n != 0) std::memcpy(buffer.data(), data.data() + copied, n);
      copied += n;
    }
  }

  /// Sends the datagrams that are due. False if there is no room for them.
  bool flush(std::int64_t now) noexcept {
    error_code code;
    while (auto* const due = send_.late.due(now)) {
      const const_buffer data(due->data.data(), due->data.size());
      code.clear();
      send_now({&data, 1}, due->peer ? &*due->peer : nullptr, due->info ? &*due->info : nullptr,
               code);
      if (would_block(code)) break;
      if (code) {
        failed_later_ = code;
        send_.late.drop(*due);
        code.clear();
      } else {
        send_.late.arrived(*due, now);
      }
    }
    const bool blocked = would_block(code);
    if (blocked)
      send_.timer.stop_timer();
    else
      send_.start_timer(loop_);
    return !blocked;
  }

  socket* socket_;
  cosock::detail::loop_state& loop_;
  below_type* below_;
  std::unique_ptr<below_type> owned_;
  fault_hook* hook_ = nullptr;
  error_code failed_later_;
  std::unique_ptr<char[]> memory_;  // of a received datagram with a fault
  // Behind `owned_`: they leave the socket below before it is destroyed.
  direction receive_;
  direction send_;
};

template <class Endpoint>
void fault_hook::attach(faulty_datagram_socket<Endpoint>& socket) noexcept {
  socket.state_->set_hook(this);
}
template void fault_hook::attach(faulty_datagram_socket<endpoint>&) noexcept;
template void fault_hook::attach(faulty_datagram_socket<local_endpoint>&) noexcept;

}  // namespace detail

using detail::faulty_datagram_state;

template <class Endpoint>
faulty_datagram_socket<Endpoint>::faulty_datagram_socket(below_type& below,
                                                         const datagram_fault_plan& plan)
    : state_(std::make_unique<faulty_datagram_state<Endpoint>>(*this, &below, nullptr, plan)) {}
template <class Endpoint>
faulty_datagram_socket<Endpoint>::faulty_datagram_socket(std::unique_ptr<below_type> below,
                                                         const datagram_fault_plan& plan) {
  if (!below) throw boost::system::system_error(make_error_code(error::closed));
  below_type* const socket = below.get();
  state_ = std::make_unique<faulty_datagram_state<Endpoint>>(*this, socket, std::move(below), plan);
}
template <class Endpoint>
faulty_datagram_socket<Endpoint>::faulty_datagram_socket(faulty_datagram_socket&& other) noexcept
    : custom_datagram_socket<Endpoint>(std::move(other)), state_(std::move(other.state_)) {
  if (state_) state_->attach(*this);
}
template <class Endpoint>
faulty_datagram_socket<Endpoint>& faulty_datagram_socket<Endpoint>::operator=(
    faulty_datagram_socket&& other) noexcept {
  if (this == &other) return *this;
  custom_datagram_socket<Endpoint>::operator=(std::move(other));
  state_ = std::move(other.state_);
  if (state_) state_->attach(*this);
  return *this;
}
template <class Endpoint>
faulty_datagram_socket<Endpoint>::~faulty_datagram_socket() {
  if (state_) state_->stop();
}

template <class Endpoint>
std::uint64_t faulty_datagram_socket<Endpoint>::datagrams_received() const noexcept {
  return state_ ? state_->received() : 0;
}
template <class Endpoint>
std::uint64_t faulty_datagram_socket<Endpoint>::datagrams_sent() const noexcept {
  return state_ ? state_->sent() : 0;
}

template <class Endpoint>
std::size_t faulty_datagram_socket<Endpoint>::do_receive(
    std::span<const mutable_buffer> into, Endpoint& from, packet_info& info,
    boost::system::error_code& error) noexcept {
  return state_->receive(into, from, info, error);
}
template <class Endpoint>
void faulty_datagram_socket<Endpoint>::do_send(std::span<const const_buffer> from,
                                               const Endpoint* to, const packet_info* source,
                                               boost::system::error_code& error) noexcept {
  state_->send(from, to, source, error);
}
template <class Endpoint>
void faulty_datagram_socket<Endpoint>::on_close() noexcept {
  if (state_) state_->close();
}

template class faulty_datagram_socket<endpoint>;
template class faulty_datagram_socket<local_endpoint>;

}  // namespace cosock::testing
