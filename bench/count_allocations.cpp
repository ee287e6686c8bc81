// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Preloaded (LD_PRELOAD) into a server: counts its heap allocations and prints `allocations N` on
// stderr when the process ends. `operator new` is not here because libstdc++'s calls malloc.

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>

// glibc's own entry points: no dlsym(), which allocates itself.
extern "C" void* __libc_malloc(std::size_t);
extern "C" void* __libc_calloc(std::size_t, std::size_t);
extern "C" void* __libc_realloc(void*, std::size_t);
extern "C" void* __libc_memalign(std::size_t, std::size_t);

namespace {

std::atomic<unsigned long> allocations;

void count() { allocations.fetch_add(1, std::memory_order_relaxed); }

[[gnu::destructor]] void report() { std::fprintf(stderr, "allocations %lu\n", allocations.load()); }

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  count();
  return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) {
  count();
  return __libc_calloc(number, size);
}

void* realloc(void* old, std::size_t size) {
  count();
  return __libc_realloc(old, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  count();
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : ENOMEM;
}

}  // extern "C"
