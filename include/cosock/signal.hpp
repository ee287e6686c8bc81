// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/waiter.hpp>

#include <initializer_list>
#include <memory>

namespace cosock {

namespace detail {
class signal_state;
class signal_wait_operation;
}  // namespace detail

/// Signals of the system, such as SIGHUP, that a task waits for instead of a handler. Caught while
/// the object exists; then again what they were before. Belongs to the loop that runs where it is
/// made, and may outlive it.
///
/// Several sets may name the same signal, on one loop or on several: each gets it. That holds for
/// run() too: it still ends the program at the first SIGINT or SIGTERM; but where a set names one
/// of them, a second does not end the process at once, as it otherwise would. Signals of one kind
/// that come faster than they are received may count as one.
///
/// A child that is forked, without exec, does not report its signals to the parent. They do in it
/// what they did before they were caught, until it runs the loop on, or makes a set or calls run()
/// itself.
class COSOCK_API signal_set {
 public:
  /// Throws what the system says of a number that cannot be caught (invalid_argument), and
  /// std::logic_error outside of a loop.
  explicit signal_set(std::initializer_list<int> numbers);
  signal_set(const signal_set&) = delete;
  signal_set& operator=(const signal_set&) = delete;
  /// Waits that are pending end with `error::closed`.
  ~signal_set();

  /// Waits for a signal, and gives its number: one that came since the set was made, and that no
  /// wait has given yet. Throws `error::cancelled`: no signal was taken; `error::other_loop` for a
  /// task of another loop.
  detail::signal_wait_operation wait() noexcept;

 private:
  std::shared_ptr<detail::signal_state> state_;
};

// Implementation

class COSOCK_AWAITABLE detail::signal_wait_operation final
    : public awaiter_of<signal_wait_operation>,
      public waiter {
 public:
  explicit signal_wait_operation(signal_state& of) noexcept : of_(of) {}
  signal_wait_operation(signal_wait_operation&& other) noexcept : waiter(), of_(other.of_) {}

  step start(std::coroutine_handle<> awaiting, scope& where);
  int result() {
    if (failure_) raise(failure_);
    return number_;
  }
  failure fail() noexcept { return failure_; }

 private:
  friend class signal_state;
  signal_state& of_;
  int number_ = 0;
};

inline detail::signal_wait_operation signal_set::wait() noexcept {
  return detail::signal_wait_operation(*state_);
}

}  // namespace cosock
