// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/seed.hpp>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace cosock::testing {

std::uint64_t seed_from_environment(std::uint64_t otherwise) {
  const char* const text = std::getenv("COSOCK_SEED");
  if (!text || !*text) return otherwise;
  std::uint64_t seed = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, seed);
  if (error != std::errc() || stop != end)
    throw std::invalid_argument(std::string("COSOCK_SEED is \"") + text +
                                "\", not a decimal number from 0 to 18446744073709551615");
  return seed;
}

}  // namespace cosock::testing
