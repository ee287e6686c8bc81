// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/duration.hpp>
#include <cosock/detail/timer.hpp>

namespace cosock {

/// The clock of all sleeps, limits and deadlines: that of the loop that runs on this thread. It never
/// decreases. On a loop in real time it is that of std::chrono::steady_clock (CLOCK_MONOTONIC,
/// clock_gettime(2)); on a loop of a test it may be virtual. Time points of different loops are
/// comparable only if the loops run in real time.
///
/// It is a type of its own, so that a deadline in the time of another clock, which would be wrong in a
/// test, does not compile. Meets the requirements of a Clock of the standard library.
class clock {
 public:
  /// The types of spans and times, as those of the clocks of the standard library.
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<clock>;
  /// It never decreases.
  static constexpr bool is_steady = true;

  /// Returns the time of the loop that runs on this thread; real time if no loop runs.
  [[nodiscard]] static time_point now() noexcept {
    return time_point(duration(detail::current_time()));
  }
};

/// The same as clock::now(), for deadlines: `cosock::now() + 5s`.
[[nodiscard]] inline clock::time_point now() noexcept { return clock::now(); }

namespace detail {

/// A deadline in nanoseconds of the clock of its loop, rounded up and capped.
template <class Clock, class Duration>
constexpr std::int64_t deadline_ns(std::chrono::time_point<Clock, Duration> time) {
  static_assert(
      std::is_same_v<Clock, clock>,
      "a deadline is a time of cosock::clock: write cosock::now() + limit; a time of another "
      "clock would be another moment on a loop with virtual time");
  return to_ns(time.time_since_epoch());
}

}  // namespace detail
}  // namespace cosock
