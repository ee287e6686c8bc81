// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// One direction of a faulty datagram socket: its operations on the socket below, the timer of its late
// datagrams, and the question to for_each_failure(). Owned by the state of the socket.

#include <cosock/testing/faulty_datagram.hpp>

#include <cosock/detail/timer.hpp>
#include <cosock/error.hpp>

#include "testing/relay.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>

namespace cosock::testing::detail {

using boost::system::error_code;
using cosock::detail::io_direction;
using cosock::detail::io_object;
using cosock::detail::reading;
using cosock::detail::step;
using cosock::detail::writing;

inline error_code system_error(int code) { return {code, boost::system::system_category()}; }
inline bool would_block(const error_code& code) { return code == system_error(EAGAIN); }

/// An operation of the socket below that nobody awaits.
template <class Endpoint, class Buffer>
class datagram_now final : public cosock::detail::datagram_operation {
  using buffers = std::span<const Buffer>;

 public:
  datagram_now(kind requested, io_object* const& target, const buffers& data, Endpoint* peer,
               packet_info* info) noexcept
      : datagram_operation(requested, target, &data, 0, &cosock::detail::gather<Buffer, buffers>,
                           &cosock::detail::sockaddr_traits<Endpoint>::codec) {
    if (data.size() == 1) {
      memory_ = data[0].data();
      size_ = data[0].size();
      gather_ = nullptr;
    }
    peer_ = peer;
    info_ = info;
  }
  /// Returns the whole length. On an error, sets it; EAGAIN if the operation would wait.
  std::size_t attempt_now(io_object& below, error_code& code) noexcept {
    const step reached = below.transfer_datagrams(*this);
    if (failure_)
      code = cosock::detail::to_error_code(failure_);
    else if (reached == step::pending)
      code = system_error(EAGAIN);
    return length_;
  }
};

/// Tells a direction that a late datagram is due.
class due_timer final : public cosock::detail::timer {
 public:
  due_timer(relay_target& target, io_direction direction) noexcept
      : target_(target), direction_(direction) {}
  void start(cosock::detail::loop_state& loop, std::optional<std::int64_t> time) noexcept {
    if (time) time_ = *time;
    if (time)
      start_timer(loop, *time);
    else
      stop_timer();
  }
  void expire() noexcept override {
    reached_ = time_;
    target_.below_is_ready(direction_);
  }
  std::int64_t now(const cosock::detail::loop_state& loop) const noexcept {
    return std::max(reached_, cosock::detail::current_time(loop));
  }

 private:
  relay_target& target_;
  const io_direction direction_;
  std::int64_t time_ = 0;
  std::int64_t reached_ = 0;
};

/// Asks the hook of for_each_failure() about the operations of one direction.
class hooked_direction {
 public:
  enum class answer { attempt, wait, fail };
  explicit hooked_direction(io_direction direction) noexcept : direction_(direction) {}

  /// Before each attempt. Once for each operation, after a turn of the loop: `wait` is the turn.
  answer before_attempt(fault_hook* hook, const io_object& above, bool later_in_batch,
                        error_code& code) noexcept {
    if (!hook || (later_in_batch && direction_ == reading)) return answer::attempt;
    if (!above.waiter[direction_] && !later_in_batch) began_ = false;
    if (!began_) {
      if (!later_in_batch && !std::exchange(yielded_, true)) return answer::wait;
      yielded_ = loses_ = false;
      began_ = true;
      switch (hook->before_operation(fault_hook::subject::datagram, code)) {
        case fault_hook::answer::error: began_ = false; return answer::fail;
        case fault_hook::answer::loss: loses_ = true; break;
        default: break;
      }
    }
    return answer::attempt;
  }
  void ended() noexcept { began_ = loses_ = false; }
  void lost() noexcept { loses_ = false; }
  bool loses() const noexcept { return loses_; }

 private:
  const io_direction direction_;
  bool began_ = false;    // the hook was asked about the operation that waits
  bool yielded_ = false;  // it has had to wait for a turn
  bool loses_ = false;    // its datagram is lost
};

}  // namespace cosock::testing::detail
