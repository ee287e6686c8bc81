// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>

namespace cosock::detail {

/// Any duration as nanoseconds, never shorter, and capped at 292 years both ways: "for ever" as
/// `hours::max()` or `milliseconds::max()` must not overflow into the past.
template <class Rep, class Period>
constexpr std::int64_t to_ns(std::chrono::duration<Rep, Period> d) noexcept {
  using seconds = std::chrono::duration<double>;
  constexpr double most = 9.2e9;
  const double rough = std::chrono::duration_cast<seconds>(d).count();
  if (!(rough < most)) return INT64_MAX;
  if (rough < -most) return INT64_MIN;
  return std::chrono::ceil<std::chrono::nanoseconds>(d).count();
}

}  // namespace cosock::detail
