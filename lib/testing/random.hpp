// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Random numbers of a seed: the same on every compiler and machine, as those of the standard's
// distributions are not. Used by everything of cosock-testing that chooses.

#include <cstdint>

namespace cosock::testing::detail {

/// A generator (splitmix64). It has 64 bits of state, and any seed is good.
class random {
 public:
  explicit constexpr random(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// A number below `end`, which is not 0. Larger ones are less likely by at most end / 2^64.
  constexpr std::uint64_t below(std::uint64_t end) noexcept { return next() % end; }
  /// True with this probability, from 0 to 1.
  constexpr bool chance(double probability) noexcept {
    return static_cast<double>(next() >> 11) * 0x1p-53 < probability;
  }

 private:
  std::uint64_t state_;
};

}  // namespace cosock::testing::detail
