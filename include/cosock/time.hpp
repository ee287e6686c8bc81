// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/clock.hpp>

namespace cosock {

namespace detail {

/// Waits for a time of the loop's clock.
class COSOCK_AWAITABLE sleep_operation final : public awaiter_of<sleep_operation>,
                                               public awaited_operation,
                                               public timer {
 public:
  sleep_operation(std::int64_t ns, bool absolute) noexcept : ns_(ns), absolute_(absolute) {}
  sleep_operation(sleep_operation&& other) noexcept
      : awaited_operation(), timer(), ns_(other.ns_), absolute_(other.absolute_) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

  void fire() override { resume(); }
  void describe_operation(wait_report& to) const override;
  void cancel() noexcept override;
  void expire() noexcept override;

 private:
  std::int64_t ns_;
  bool absolute_;
};

}  // namespace detail

/// Waits for `duration`, never less. A duration of zero or less is a yield(); one of 292 years or
/// more, or infinity, never ends. Throws `error::cancelled`; std::invalid_argument, from the call,
/// for NaN.
template <class Rep, class Period>
detail::sleep_operation sleep_for(std::chrono::duration<Rep, Period> duration) {
  return {detail::to_ns(duration), false};
}

/// Waits until a time point of cosock::clock, never less. Throws `error::cancelled`;
/// std::invalid_argument, from the call, for NaN.
template <class Clock, class Duration>
detail::sleep_operation sleep_until(std::chrono::time_point<Clock, Duration> time) {
  return {detail::deadline_ns(time), true};
}

/// Lets every other task that is ready run, and the loop look for new events, before this task goes
/// on. Use it in long computations. Throws `error::cancelled`.
inline detail::sleep_operation yield() { return {0, false}; }

}  // namespace cosock
