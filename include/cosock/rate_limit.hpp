// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace cosock {

/// Options of a rate_limit.
struct rate_limit_options {
  /// The bytes, or events, that may pass at once after a pause; at least 1. Not set: those of 50 ms, but at least 1.
  std::optional<std::uint64_t> burst = std::nullopt;
};

/// A limit of bytes, or other units, a second: a token bucket, which is full at first. Several streams
/// (limited_stream.hpp) may share a limit. Measured by cosock::clock. Belongs to one loop. Not movable.
class COSOCK_API rate_limit {
 public:
  /// Lets `per_second` units pass in each second, and `burst` units at once. Throws
  /// std::invalid_argument for 0, or a number above 2^62 (4611686018427387904), of either.
  explicit rate_limit(std::uint64_t per_second, rate_limit_options options = {});
  rate_limit(const rate_limit&) = delete;
  rate_limit& operator=(const rate_limit&) = delete;

  /// Takes `units`, or nothing and returns false if fewer are available. Always false for more than the
  /// burst.
  [[nodiscard]] bool try_take(std::uint64_t units) noexcept {
    if (available(units) < units) return false;
    take(units);
    return true;
  }
  /// How many units are available. Reads the clock only if fewer than `wanted` were known to be.
  [[nodiscard]] std::uint64_t available(std::uint64_t wanted) noexcept {
    if (spare_ < wanted) [[unlikely]]
      refill();
    return spare_;
  }
  /// Takes units that are available.
  void take(std::uint64_t units) noexcept { spare_ -= units; }
  /// In how many nanoseconds `units`, or the burst if it is smaller, will be available if no others are
  /// taken; 0: now.
  [[nodiscard]] std::int64_t wait_for(std::uint64_t units) noexcept;

  /// The numbers of the constructor.
  [[nodiscard]] std::uint64_t per_second() const noexcept { return rate_; }
  [[nodiscard]] std::uint64_t burst() const noexcept { return burst_; }

 private:
  void refill() noexcept;
  std::uint64_t rate_;
  std::uint64_t burst_;
  std::uint64_t spare_;
  std::int64_t at_;  // up to this time, what has come is in `spare_`
};

}  // namespace cosock
