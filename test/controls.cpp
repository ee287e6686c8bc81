// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Commits the fault that is named, to prove that the sanitizers see it: a clean run says something
// only if a dirty one would not have been. controls.sh runs it and reads the report.

#include <cosock/loop.hpp>
#include <cosock/time.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

using namespace std::chrono_literals;

namespace {

// Made and destroyed out of line, or the compiler could do without a frame.
[[gnu::noinline]] cosock::task<> note_address(int** to) {
  int local = 7;
  *to = &local;
  co_await cosock::sleep_for(1h);
  std::printf("%d\n", local);
}

[[gnu::noinline]] void use_after_free() {
  int* local = nullptr;
  cosock::loop loop;
  {
    cosock::task_handle<void> task = loop.start(note_address(&local));
    loop.poll();
    std::printf("before: %d\n", *static_cast<volatile int*>(local));
  }
  std::printf("after: %d\n", *static_cast<volatile int*>(local));
}

struct leaky {
  struct promise_type : cosock::detail::promise_base {
    leaky get_return_object() noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
  };
};

[[gnu::noinline]] leaky never_destroyed(int n) {
  std::printf("%d\n", n);
  co_return;
}

// More than one: the address of the last may still lie about on the stack.
[[gnu::noinline]] void leak() {
  for (int i = 0; i != 100; ++i) never_destroyed(i);
}

// Relaxed: the threads meet here, and the sanitizer sees no order between them. Without it one may
// end before the other begins, and a mutex that both take then puts them in order.
[[gnu::noinline]] cosock::task<> count_up(std::atomic<int>* arrived, int* shared) {
  arrived->fetch_add(1, std::memory_order_relaxed);
  while (arrived->load(std::memory_order_relaxed) != 2) co_await cosock::yield();
  for (int i = 0; i != 1000; ++i) {
    ++*shared;
    co_await cosock::yield();
  }
}

[[gnu::noinline]] void race() {
  std::atomic<int> arrived = 0;
  int shared = 0;
  const auto run = [&] {
    cosock::loop loop;
    loop.run(count_up(&arrived, &shared));
  };
  std::thread other(run);
  run();
  other.join();
  std::printf("%d\n", shared);
}

}  // namespace

int main(int argc, char** argv) {
  const char* fault = argc == 2 ? argv[1] : "";
  if (!std::strcmp(fault, "use-after-free")) use_after_free();
  if (!std::strcmp(fault, "leak")) leak();
  if (!std::strcmp(fault, "race")) race();
  return 0;
}
