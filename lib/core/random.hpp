// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Random numbers of a seed: the same on every compiler and machine, as those of the standard's
// distributions are not. For the waits of a reconnecting client, and for tests.

#include <cstdint>

namespace cosock::detail {

/// The next number of a generator with this state, of which any is good: SplitMix64, by Sebastiano Vigna.
constexpr std::uint64_t next_random(std::uint64_t& state) noexcept {
  std::uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/// A number from 0 to 1, without 1, of the 53 bits of a random one that a double holds.
constexpr double unit_of(std::uint64_t random) noexcept {
  return static_cast<double>(random >> 11) * 0x1p-53;
}

}  // namespace cosock::detail
