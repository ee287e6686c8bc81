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
  /// The largest number of units that may pass at once, after a pause; at least 1. Not set: the units of
  /// 50 ms, at least 1.
  std::optional<std::uint64_t> burst = std::nullopt;
};

/// A limit of bytes, or other units, a second: a token bucket, which is full at first. Several streams
/// (limited_stream.hpp) may share one. Uses cosock::clock. Belongs to one loop. Not movable.
class COSOCK_API rate_limit {
 public:
  /// Allows `per_second` units in each second, and `burst` units at once. Throws std::invalid_argument
  /// if either is 0, or above 2^62 (4611686018427387904).
  explicit rate_limit(std::uint64_t per_second, rate_limit_options options = {});
  rate_limit(const rate_limit&) = delete;
  rate_limit& operator=(const rate_limit&) = delete;

  /// Takes `units` if they are available. Returns whether it took them; always false for more than the
  /// burst.
  [[nodiscard]] bool try_take(std::uint64_t units) noexcept {
    if (available(units) < units) return false;
    take(units);
    return true;
  }
  /// Returns the number of available units, or a smaller number that is at least `wanted`: it reads the
  /// clock only if it knows of fewer than `wanted`.
  [[nodiscard]] std::uint64_t available(std::uint64_t wanted) noexcept {
    if (spare_ < wanted) [[unlikely]]
      refill();
    return spare_;
  }
  /// Takes `units`, of which available() has returned at least as many.
  void take(std::uint64_t units) noexcept { spare_ -= units; }
  /// Returns the nanoseconds until `units`, or the burst if it is smaller, are available, if no other
  /// units are taken; 0: they are available. Does not wait.
  [[nodiscard]] std::int64_t wait_for(std::uint64_t units) noexcept;

  /// The numbers of the constructor.
  [[nodiscard]] std::uint64_t per_second() const noexcept { return rate_; }
  [[nodiscard]] std::uint64_t burst() const noexcept { return burst_; }

 private:
  void refill() noexcept;
  std::uint64_t rate_;
  std::uint64_t burst_;
  std::uint64_t spare_;
  std::int64_t at_;  // the time up to which `spare_` has been refilled
};

}  // namespace cosock
