// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Chains of tasks, and how much of the stack they use.

#include <cosock/task.hpp>

#include "manual_event.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>

namespace test {

using cosock::task;

inline task<> nothing_to_do() { co_return; }

/// The part of the stack that was in use wherever note() was called.
class stack_range {
 public:
  [[gnu::noinline]] void note() noexcept {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    low_ = std::min(low_, here);
    high_ = std::max(high_, here);
  }
  std::size_t bytes() const noexcept { return high_ - low_; }

 private:
  std::uintptr_t low_ = UINTPTR_MAX;
  std::uintptr_t high_ = 0;
};

template <class E>
task<int> fail_at_once(E e) {
  instance_counter local;
  throw e;
  co_return 0;
}

inline task<int> noting(stack_range& stack) {
  stack.note();
  co_return 1;
}

inline task<int> await_many(int times, stack_range& stack) {
  int sum = 0;
  for (int i = 0; i != times; ++i) {
    sum += co_await noting(stack);
    stack.note();
  }
  co_return sum;
}

enum class innermost { completes, yields, throws, waits };

inline task<int> chain(int length, innermost last, stack_range& stack) {
  stack.note();
  if (length != 0) {
    const int below = co_await chain(length - 1, last, stack);
    stack.note();
    co_return below + 1;
  }
  if (last == innermost::yields) co_await cosock::yield();
  if (last == innermost::throws) throw std::runtime_error("innermost");
  if (last == innermost::waits) co_await test::forever();
  co_return 0;
}

inline constexpr int many = 1'000'000;
inline constexpr int length = 100'000;

}  // namespace test
