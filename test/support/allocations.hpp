// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>
#include <cstdlib>
#include <new>

// Replaces operator new, so that a test may have any allocation fail. To be included once a
// program.

namespace test {

/// How many allocations, on any thread, succeed before one fails; negative: none fails.
inline std::atomic<long> allocations_until_failure = -1;
/// How many fail then, one after the other.
inline std::atomic<long> failures_in_a_row = 1;
inline std::atomic<long> failures_left = 0;

inline bool next_allocation_fails() noexcept {
  if (allocations_until_failure.load(std::memory_order_relaxed) >= 0 &&
      allocations_until_failure.fetch_sub(1) == 0)
    failures_left = failures_in_a_row.load();
  return failures_left.load(std::memory_order_relaxed) > 0 && failures_left.fetch_sub(1) > 0;
}

/// For a thread that is no part of what is tested.
inline thread_local bool spares_allocations = false;

/// Has `work` run again and again, with the first allocation failing, then the second, and so on,
/// until it comes through some times without any. Gives how often `work` returned false.
template <class F>
int fail_each_allocation(F work) {
  int failures = 0;
  for (long n = 0, untouched = 0; untouched != 5; ++n) {
    allocations_until_failure = n;
    const bool good = work();
    untouched = allocations_until_failure.exchange(-1) < 0 ? 0 : untouched + 1;
    failures_left = 0;
    if (!good) ++failures;
  }
  return failures;
}

}  // namespace test

[[gnu::noinline]] void* operator new(std::size_t size) {
  if (!test::spares_allocations && test::next_allocation_fails()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return ::operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
