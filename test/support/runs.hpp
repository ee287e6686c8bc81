// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// How often a test repeats itself.

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace test {

/// Returns COSOCK_TEST_RUNS, or `otherwise` if that is not set.
inline int number_of_runs(int otherwise) {
  const char* given = std::getenv("COSOCK_TEST_RUNS");
  if (given == nullptr) return otherwise;
  const int runs = std::atoi(given);
  if (runs < 1)
    throw std::invalid_argument("COSOCK_TEST_RUNS is \"" + std::string(given) +
                                "\"; it has to be a number from 1");
  return runs;
}

}  // namespace test
