// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/chrono.hpp>
#include <cosock/detail/config.hpp>

#include <cstdint>

namespace cosock::detail {

// 128 bits: a count of 64 bits times a factor of 64 bits does not overflow. (__extension__ because
// -Wpedantic warns of the type.)
__extension__ typedef __int128 wide_integer;
inline constexpr auto max_wide =
    (wide_integer{INT64_MAX} << 64) + static_cast<wide_integer>(UINT64_MAX);

[[noreturn]] COSOCK_API void refuse_nan();

constexpr std::int64_t common_divisor(std::int64_t a, std::int64_t b) noexcept {
  return b == 0 ? a : common_divisor(b, a % b);
}

/// A floating-point number of units, as nanoseconds, rounded up and capped.
constexpr std::int64_t whole_ns(long double count, long double unit) {
  if (__builtin_isnan(count)) refuse_nan();
  if (count >= 0x1p63L / unit) return INT64_MAX;
  if (count < -0x1p63L / unit) return INT64_MIN;
  const long double ns = count * unit;
  if (ns >= static_cast<long double>(INT64_MAX)) return INT64_MAX;  // the product may be rounded up
  if (ns < -0x1p63L) return INT64_MIN;
  const auto whole = static_cast<std::int64_t>(ns);
  return static_cast<long double>(whole) < ns ? whole + 1 : whole;
}

/// Converts any duration to nanoseconds. Rounds up, so that no limit is shorter than asked for.
/// Caps at 292 years in both directions, so that `hours::max()` and infinity mean "no limit" and do
/// not overflow into the past. The number may have any width, be signed, unsigned or floating
/// point. Throws std::invalid_argument for NaN.
template <class Rep, class Period>
constexpr std::int64_t to_ns(std::chrono::duration<Rep, Period> d) {
  // The ratio in lowest terms: for the usual units the divisor is 1.
  constexpr std::int64_t common = common_divisor(1'000'000'000, Period::den);
  constexpr wide_integer factor = wide_integer{1'000'000'000 / common} * Period::num;
  constexpr std::int64_t divisor = Period::den / common;
  if constexpr (std::chrono::treat_as_floating_point_v<Rep>) {
    return whole_ns(static_cast<long double>(d.count()),
                    static_cast<long double>(factor) / static_cast<long double>(divisor));
  } else {
    const auto count = static_cast<wide_integer>(d.count());
    if (count > max_wide / factor || (count < 0 && d.count() > Rep())) return INT64_MAX;
    if (count < -(max_wide / factor)) return INT64_MIN;
    const wide_integer product = count * factor;
    wide_integer ns = product / divisor;
    if (ns * divisor < product) ++ns;
    if (ns > INT64_MAX) return INT64_MAX;
    return ns < INT64_MIN ? INT64_MIN : static_cast<std::int64_t>(ns);
  }
}
constexpr std::int64_t to_ns(std::chrono::nanoseconds d) noexcept { return d.count(); }

}  // namespace cosock::detail
