// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/duration.hpp>

namespace cosock {

/// The duration of an option, in nanoseconds. Converts from every std::chrono duration without
/// overflow: rounds up, and reduces durations of more than 292 years. So `std::chrono::seconds::max()`,
/// `nanoseconds::max()` and a floating-point infinity are equal, and mean no limit. Throws
/// std::invalid_argument for NaN. Otherwise it behaves like std::chrono::nanoseconds.
class time_span : public std::chrono::nanoseconds {
 public:
  constexpr time_span() noexcept = default;
  /// Rounds up to nanoseconds, and caps. Throws std::invalid_argument for NaN.
  template <class Rep, class Period>
  constexpr time_span(std::chrono::duration<Rep, Period> span)
      : std::chrono::nanoseconds(detail::to_ns(span)) {}

  /// Whether it is so long that it never passes.
  [[nodiscard]] constexpr bool is_unlimited() const noexcept {
    return *this == (std::chrono::nanoseconds::max)();
  }
};

/// No limit, for the options and functions that take a time limit.
inline constexpr time_span unlimited = (std::chrono::nanoseconds::max)();

}  // namespace cosock
