// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "core/capture_check.hpp"

#include "core/print.hpp"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <utility>

namespace cosock::detail {

namespace {

/// Uses malloc: programs replace operator new to count allocations, and must not count these.
template <class T>
struct uncounted {
  using value_type = T;
  uncounted() noexcept = default;
  template <class U>
  uncounted(const uncounted<U>&) noexcept {}
  T* allocate(std::size_t n) {
    if (void* memory = std::malloc(n * sizeof(T))) return static_cast<T*>(memory);
    throw std::bad_alloc();
  }
  void deallocate(T* memory, std::size_t) noexcept { std::free(memory); }
  friend bool operator==(uncounted, uncounted) noexcept { return true; }
};

using pair = std::pair<const void*, const void*>;
using pairs = std::set<pair, std::less<>, uncounted<pair>>;

struct registry {
  std::map<const char*, std::size_t, std::less<>,
           uncounted<std::pair<const char* const, std::size_t>>>
      frames;
  pairs referring;  // frame and child
  pairs referred;   // child and frame
  std::mutex mutex;
};

/// One registry for all threads, because a loop in a strand moves between threads. Never destroyed:
/// static objects may still release frames at exit.
registry& everything() {
  alignas(registry) static char memory[sizeof(registry)];
  static registry* const made = new (memory) registry;
  return *made;
}

}  // namespace

void frame_made(void* frame, std::size_t size) {
  registry& all = everything();
  const std::lock_guard lock(all.mutex);
  all.frames.insert_or_assign(static_cast<const char*>(frame), size);
}

void frame_gone(void* frame) noexcept {
  const auto at = static_cast<const char*>(frame);
  bool told = false;
  {
    registry& all = everything();
    const std::lock_guard lock(all.mutex);
    all.frames.erase(at);
    auto entry = all.referring.lower_bound({at, nullptr});
    while (entry != all.referring.end() && entry->first == at) {
      all.referred.erase({entry->second, at});
      entry = all.referring.erase(entry);
      told = true;
    }
  }
  if (!told) return;
  print_line(
      "cosock: a child task outlives a variable that it refers to: one that it captured by "
      "reference, or that it has a pointer to");
}

void child_made(const void* child, const void* function, std::size_t size) {
  registry& all = everything();
  const std::lock_guard lock(all.mutex);
  const auto words = static_cast<const char*>(function);
  // A capture by reference is stored as a pointer, so each aligned word may be one.
  for (std::size_t i = 0; i + sizeof(void*) <= size; i += sizeof(void*)) {
    const char* to;
    std::memcpy(&to, words + i, sizeof to);
    auto frame = all.frames.upper_bound(to);
    if (frame == all.frames.begin()) continue;
    --frame;
    // The frame that holds the captures may point into itself, as a short std::string does.
    const bool own = words >= frame->first && words < frame->first + frame->second;
    if (to >= frame->first + frame->second || own) continue;
    all.referring.emplace(frame->first, child);
    all.referred.emplace(child, frame->first);
  }
}

void child_gone(const void* child) noexcept {
  registry& all = everything();
  const std::lock_guard lock(all.mutex);
  auto entry = all.referred.lower_bound({child, nullptr});
  while (entry != all.referred.end() && entry->first == child) {
    all.referring.erase({entry->second, child});
    entry = all.referred.erase(entry);
  }
}

}  // namespace cosock::detail
