// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <cstdint>

namespace cosock::testing {

/// Returns the seed in the environment variable COSOCK_SEED, so that a failed run can be repeated, or
/// `otherwise` if the variable is not set or empty. Throws std::invalid_argument if it is not a decimal
/// number from 0 to 18446744073709551615.
[[nodiscard]] COSOCK_API std::uint64_t seed_from_environment(std::uint64_t otherwise);

}  // namespace cosock::testing
