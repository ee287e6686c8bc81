// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Random numbers of a seed. Used by everything of cosock-testing that chooses.

#include "core/random.hpp"

namespace cosock::testing::detail {

/// A generator. Any seed is good.
class random {
 public:
  explicit constexpr random(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t next() noexcept { return cosock::detail::next_random(state_); }
  /// A number below `end`, which is not 0. Larger ones are less likely by at most end / 2^64.
  constexpr std::uint64_t below(std::uint64_t end) noexcept { return next() % end; }
  /// True with this probability, from 0 to 1.
  constexpr bool chance(double probability) noexcept {
    return cosock::detail::unit_of(next()) < probability;
  }

 private:
  std::uint64_t state_;
};

}  // namespace cosock::testing::detail
