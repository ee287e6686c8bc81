// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Memory of coroutine frames: a cache of each thread. Called by promise_base::operator new, and for
// other objects that come and go as often. A frame may be released on another thread than it was
// allocated on; it is then kept by that thread.

#include <cosock/task.hpp>

#include "core/capture_check.hpp"

#include <cstring>
#include <new>
#include <stdexcept>

// A recycled frame hides a use after free from the sanitizers, so their builds recycle none.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COSOCK_RECYCLES_FRAMES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define COSOCK_RECYCLES_FRAMES 0
#endif
#endif
#ifndef COSOCK_RECYCLES_FRAMES
#define COSOCK_RECYCLES_FRAMES 1
#endif

namespace cosock::detail {

#if COSOCK_RECYCLES_FRAMES

namespace {

constexpr std::size_t size_step = 64;
constexpr std::size_t size_classes = 32;  // frames of up to 2 KiB
constexpr unsigned max_kept = 64;         // of each size, on each thread

struct free_frame {
  free_frame* next;
};

struct thread_cache {
  free_frame* first[size_classes] = {};
  unsigned count[size_classes] = {};
  bool closed = false;  // the thread ends: what later destructors release is not kept

  ~thread_cache() {
    closed = true;
    for (free_frame*& list : first)
      while (list) ::operator delete(std::exchange(list, list->next));
  }
};

// Used through a local reference, because each use of the name may check whether it is constructed.
thread_local thread_cache frame_cache;

constexpr std::size_t class_of(std::size_t size) noexcept { return (size - 1) / size_step; }

}  // namespace

static void* allocate_memory(std::size_t size) {
  const std::size_t c = class_of(size);
  if (c >= size_classes) return ::operator new(size);
  thread_cache& own = frame_cache;
  if (free_frame* f = own.first[c]) {
    own.first[c] = f->next;
    --own.count[c];
    return f;
  }
  return ::operator new((c + 1) * size_step);
}

static void release_memory(void* frame, std::size_t size) noexcept {
  const std::size_t c = class_of(size);
  if (c < size_classes) {
    thread_cache& own = frame_cache;
    if (own.count[c] < max_kept && !own.closed) {
      own.first[c] = new (frame) free_frame{own.first[c]};
      ++own.count[c];
      return;
    }
  }
  ::operator delete(frame);
}

#else

static void* allocate_memory(std::size_t size) { return ::operator new(size); }
static void release_memory(void* frame, std::size_t) noexcept { ::operator delete(frame); }

#endif

void* allocate_frame(std::size_t size) {
  void* const frame = allocate_memory(size);
  if constexpr (checks_captures) {
    std::memset(frame, 0, size);  // so that no stale word looks like a reference
    frame_made(frame, size);
  }
  return frame;
}

void release_frame(void* frame, std::size_t size) noexcept {
  if constexpr (checks_captures) frame_gone(frame);
  release_memory(frame, size);
}

void raise_empty_task() {
  throw std::logic_error("cosock: a task was awaited twice, or after it was moved from");
}

}  // namespace cosock::detail
