// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/duration.hpp>

namespace cosock {

/// The duration of an option, in nanoseconds. Converts from every std::chrono duration without
/// overflow: rounds up, and caps what is longer than 292 years. `std::chrono::seconds::max()`,
/// `nanoseconds::max()` and a floating-point infinity are therefore the same: no limit. Throws
/// std::invalid_argument for NaN. A std::chrono::nanoseconds in every other respect.
class time_span : public std::chrono::nanoseconds {
 public:
  constexpr time_span() noexcept = default;
  /// Rounds up to nanoseconds, and caps. Throws std::invalid_argument for NaN.
  template <class Rep, class Period>
  constexpr time_span(std::chrono::duration<Rep, Period> of)
      : std::chrono::nanoseconds(detail::to_ns(of)) {}

  /// Whether it is so long that it never passes.
  [[nodiscard]] constexpr bool is_unlimited() const noexcept {
    return *this == (std::chrono::nanoseconds::max)();
  }
};

}  // namespace cosock
