// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Sizes that come from options, without overflow.

#include <cosock/detail/config.hpp>

#include <cstddef>
#include <cstdint>

namespace cosock::detail {

/// The sum of two sizes, or the largest size.
constexpr std::size_t saturating_sum(std::size_t a, std::size_t b) noexcept {
  return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/// Throws std::invalid_argument, with the name of the option, its value and the limit.
[[noreturn]] COSOCK_API void refuse_size(const char* option, std::size_t value, std::size_t limit);

/// A number of elements to allocate: refused if no memory could hold them.
inline std::size_t checked_size(const char* option, std::size_t count, std::size_t bytes_each) {
  const std::size_t limit = static_cast<std::size_t>(PTRDIFF_MAX) / bytes_each;
  if (count > limit) refuse_size(option, count, limit);
  return count;
}

}  // namespace cosock::detail
