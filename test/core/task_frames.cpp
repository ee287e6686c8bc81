// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The memory of coroutine frames.

#include <cosock/task.hpp>

#define BOOST_TEST_MODULE task_frames
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "task_fixture.hpp"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#if !COSOCK_TEST_SANITIZED
namespace {
std::atomic<long> allocations = 0;
std::atomic<long> allocated = 0;
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  ++allocated;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  if (p) --allocated;
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }
#endif

namespace {

using cosock::task;
using test::await_many;
using test::chain;
using test::give;
using test::innermost;
using test::many;
using test::stack_range;

task<int> large_frame(int n) {
  std::array<unsigned char, 5000> local{};
  local[static_cast<std::size_t>(n) % local.size()] = 1;
  co_await cosock::yield();
  int sum = 0;
  for (unsigned char c : local) sum += c;
  co_return sum;
}

template <std::size_t Size>
task<std::size_t> frame_of() {
  std::array<unsigned char, Size> local;
  local.fill(static_cast<unsigned char>(Size));
  co_await cosock::yield();
  co_return static_cast<std::size_t>(
      std::count(local.begin(), local.end(), static_cast<unsigned char>(Size)));
}

task<int> few_awaits() {
  int sum = 0;
  for (int i = 0; i != 3; ++i) sum += co_await give(1);
  co_return sum;
}

/// Runs tasks when the thread ends, after the library has given up the frames it kept there.
struct late {
  ~late() {
    cosock::loop loop;
    *to = loop.run(few_awaits()) + loop.run(few_awaits());
  }
  int* to = nullptr;
};

}  // namespace

COROUTINE_TEST_CASE(frames_of_any_size_work) {
  for (int i = 0; i != 100; ++i) BOOST_TEST(co_await large_frame(i) == 1);
  for (int i = 0; i != 3; ++i) {
    BOOST_TEST(co_await frame_of<1>() == 1u);
    BOOST_TEST(co_await frame_of<63>() == 63u);
    BOOST_TEST(co_await frame_of<64>() == 64u);
    BOOST_TEST(co_await frame_of<1000>() == 1000u);
    BOOST_TEST(co_await frame_of<1900>() == 1900u);
    BOOST_TEST(co_await frame_of<2000>() == 2000u);
    BOOST_TEST(co_await frame_of<2048>() == 2048u);
    BOOST_TEST(co_await frame_of<100'000>() == 100'000u);
  }
}

BOOST_AUTO_TEST_CASE(a_task_made_on_one_thread_ends_on_another) {
  for (int i = 0; i != 20; ++i) {
    std::vector<task<int>> made;
    for (int k = 0; k != 100; ++k) made.push_back(few_awaits());
    int sum = 0;
    std::thread([&] {
      cosock::loop loop;
      for (auto& each : made) sum += loop.run(std::move(each));
    }).join();
    BOOST_TEST(sum == 300);
  }
}

BOOST_AUTO_TEST_CASE(tasks_run_while_a_thread_ends) {
  int result = 0;
  std::thread([&] {
    thread_local late last;  // made before the first frame, so it goes after all of them
    last.to = &result;
    cosock::loop loop;
    BOOST_TEST(loop.run(few_awaits()) == 3);
  }).join();
  BOOST_TEST(result == 6);
}

#if !COSOCK_TEST_SANITIZED

namespace {
task<long> allocations_of(int awaits) {
  const long before = allocations;
  for (int i = 0; i != awaits; ++i) co_await few_awaits();
  co_return allocations - before;
}

}  // namespace

COROUTINE_TEST_CASE(frames_are_recycled) {
  co_await allocations_of(1);
  BOOST_TEST(co_await allocations_of(1000) == 0);
}

BOOST_AUTO_TEST_CASE(a_million_tasks_leave_the_heap_where_it_was) {
  cosock::loop loop;
  stack_range stack;
  loop.run(await_many(100, stack));
  const std::size_t before = mallinfo2().uordblks;
  loop.run(await_many(many, stack));
  BOOST_TEST(mallinfo2().uordblks == before);
}

BOOST_AUTO_TEST_CASE(a_thread_that_ends_gives_its_frames_back) {
  const auto use = [] {
    cosock::loop loop;
    stack_range stack;
    for (const innermost last : {innermost::completes, innermost::yields})
      loop.run(chain(1000, last, stack));
  };
  std::thread(use).join();
  const long before = allocated;
  for (int i = 0; i != 3; ++i) std::thread(use).join();
  BOOST_TEST(allocated == before);
}
#endif
