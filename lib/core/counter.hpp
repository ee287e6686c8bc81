// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The counter of the processor: a clock that costs no call, of unknown rate. For the stamps of turns,
// and for the watch of slow ones.

#include "core/reactor.hpp"

#include <cstdint>

namespace cosock::detail {

inline std::uint64_t read_counter() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t count;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
#else
  return static_cast<std::uint64_t>(real_time());
#endif
}

}  // namespace cosock::detail
