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

/// Signals of the system, such as SIGHUP, that a task waits for. They are caught while the object
/// exists, and have their previous disposition afterwards. Belongs to the loop that runs where it
/// is made, and may outlive it.
///
/// Several sets may name the same signal, on one loop or on several: each of them receives it. So
/// does run(): the first SIGINT or SIGTERM still cancels its task. But if a set names that signal,
/// a second one does not end the process. Signals of one kind that arrive faster than they are
/// received may count as one.
///
/// A child that is forked, without exec, does not report its signals to the parent. In the child
/// they have the disposition that they had before they were caught, until the child runs the loop,
/// makes a set, or calls run().
class COSOCK_API signal_set {
 public:
  /// Throws the error of the system for a number that cannot be caught (invalid_argument), and
  /// std::logic_error outside of a loop.
  explicit signal_set(std::initializer_list<int> numbers);
  signal_set(const signal_set&) = delete;
  signal_set& operator=(const signal_set&) = delete;
  /// Waits that are pending end with `error::closed`.
  ~signal_set();

  /// Waits for a signal, and returns its number: a signal that arrived since the set was made, and
  /// that no wait has returned yet. Throws `error::cancelled`: no signal was taken;
  /// `error::wrong_loop` in a task of another loop.
  detail::signal_wait_operation wait() noexcept;

 private:
  std::shared_ptr<detail::signal_state> state_;
};

// Implementation

class COSOCK_AWAITABLE detail::signal_wait_operation final
    : public awaiter_of<signal_wait_operation>,
      public outside_waiter {
 public:
  explicit signal_wait_operation(signal_state& state) noexcept : state_(state) {}
  signal_wait_operation(signal_wait_operation&& other) noexcept
      : outside_waiter(), state_(other.state_) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  int result() {
    if (failure_) raise(failure_);
    return number_;
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("signal_set::wait()"); }

 private:
  friend class signal_state;
  signal_state& state_;
  int number_ = 0;
};

inline detail::signal_wait_operation signal_set::wait() noexcept {
  return detail::signal_wait_operation(*state_);
}

}  // namespace cosock
