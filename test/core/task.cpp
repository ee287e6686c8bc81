// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/task.hpp>

#define BOOST_TEST_MODULE task
#include "manual_event.hpp"
#include "support.hpp"

#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
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
void operator delete(void* p, std::size_t) noexcept {
  operator delete(p);
}
#endif

namespace {

using boost::system::system_error;
using cosock::task;
using test::counted;
using test::is;

task<int> give(int n) {
  co_return n;
}
task<> nothing_to_do() {
  co_return;
}

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

constexpr std::size_t small_stack = 256 * 1024;

/// Runs the function on a thread with a small stack (sanitizers may make it larger).
template <class F>
void on_small_stack(F function) {
  struct call {
    F function;
    std::exception_ptr error;
  } the_call{std::move(function), nullptr};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, small_stack);
  pthread_t thread;
  const int error = pthread_create(
      &thread, &attributes,
      [](void* p) -> void* {
        auto& c = *static_cast<call*>(p);
        try {
          c.function();
        } catch (...) {
          c.error = std::current_exception();
        }
        return nullptr;
      },
      &the_call);
  pthread_attr_destroy(&attributes);
  if (error != 0) throw std::runtime_error("no thread");
  pthread_join(thread, nullptr);
  if (the_call.error) std::rethrow_exception(the_call.error);
}

}  // namespace

// Results

COROUTINE_TEST_CASE(a_task_gives_its_result) {
  BOOST_TEST(co_await give(7) == 7);
}

COROUTINE_TEST_CASE(a_task_without_a_result_gives_nothing) {
  static_assert(std::is_void_v<decltype(nothing_to_do().operator co_await().await_resume())>);
  co_await nothing_to_do();
}

namespace {

task<std::string&> same(std::string& s) {
  co_return s;
}
task<const std::string&> same_const(const std::string& s) {
  co_return s;
}
task<std::unique_ptr<int>> own(int n) {
  co_return std::make_unique<int>(n);
}
task<std::unique_ptr<int>> own_local(int n) {
  auto p = std::make_unique<int>(n);
  co_return p;
}
task<std::string> converted() {
  co_return "text";
}

struct without_default {
  explicit without_default(int n) : n(n) {}
  int n;
};
task<without_default> make_without_default(int n) {
  co_return without_default(n);
}

struct counts_copies {
  explicit counts_copies(int& copies) : copies(&copies) {}
  counts_copies(const counts_copies& other) : copies(other.copies) { ++*copies; }
  counts_copies(counts_copies&&) = default;
  int* copies;
};
task<counts_copies> make_counting(int& copies) {
  counts_copies made(copies);
  co_return made;
}

struct throws_when_moved {
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved&&) { throw std::runtime_error("moved"); }
};
task<throws_when_moved> make_throwing() {
  counted local;
  co_return throws_when_moved();
}

}  // namespace

COROUTINE_TEST_CASE(a_task_gives_a_reference) {
  std::string s = "x";
  std::string& again = co_await same(s);
  BOOST_TEST(&again == &s);
  const std::string& constant = co_await same_const(s);
  BOOST_TEST(&constant == &s);
}

COROUTINE_TEST_CASE(a_task_gives_a_value_that_can_only_be_moved) {
  BOOST_TEST(*co_await own(3) == 3);
  const std::unique_ptr<int> p = co_await own_local(4);
  BOOST_TEST(*p == 4);
}

COROUTINE_TEST_CASE(a_task_converts_its_result) {
  BOOST_TEST(co_await converted() == "text");
}

COROUTINE_TEST_CASE(a_result_needs_no_default_constructor) {
  BOOST_TEST((co_await make_without_default(5)).n == 5);
}

COROUTINE_TEST_CASE(a_result_is_moved_and_never_copied) {
  int copies = 0;
  const counts_copies made = co_await make_counting(copies);
  BOOST_TEST(made.copies == &copies);
  BOOST_TEST(copies == 0);
}

COROUTINE_TEST_CASE(a_result_that_throws_when_moved_is_an_error_of_the_task) {
  const int before = counted::alive;
  BOOST_CHECK_THROW(co_await make_throwing(), std::runtime_error);
  BOOST_TEST(counted::alive == before);
}

// Exceptions

namespace {

struct own_exception : std::runtime_error {
  own_exception(std::string text, int number) : runtime_error(std::move(text)), number(number) {}
  int number;
};

template <class E>
task<int> fail_at_once(E e) {
  counted local;
  throw e;
  co_return 0;
}
template <class E>
task<int> fail_later(E e) {
  counted local;
  co_await cosock::yield();
  throw e;
  co_return 0;
}

task<int> pass_on(task<int> inner) {
  counted local;
  co_return co_await std::move(inner) + 1;
}

}  // namespace

COROUTINE_TEST_CASE(an_exception_of_any_type_reaches_the_awaiter) {
  BOOST_CHECK_THROW(co_await fail_at_once(std::runtime_error("x")), std::runtime_error);
  BOOST_CHECK_THROW(co_await fail_later(std::runtime_error("x")), std::runtime_error);
  BOOST_CHECK_THROW(co_await fail_at_once(42), int);
  BOOST_CHECK_THROW(co_await fail_later(42), int);
  const own_exception own("text", 7);
  const auto is_own = [](const own_exception& e) {
    return e.number == 7 && e.what() == std::string("text");
  };
  BOOST_CHECK_EXCEPTION(co_await fail_at_once(own), own_exception, is_own);
  BOOST_CHECK_EXCEPTION(co_await fail_later(own), own_exception, is_own);
  const system_error busy(cosock::error::busy);
  BOOST_CHECK_EXCEPTION(co_await fail_at_once(busy), system_error, is(cosock::error::busy));
  BOOST_CHECK_EXCEPTION(co_await fail_later(busy), system_error, is(cosock::error::busy));
}

COROUTINE_TEST_CASE(an_exception_passes_through_tasks_and_destroys_their_locals) {
  const int before = counted::alive;
  BOOST_CHECK_THROW(co_await pass_on(pass_on(fail_at_once(1))), int);
  BOOST_CHECK_THROW(co_await pass_on(pass_on(fail_later(1))), int);
  BOOST_TEST(counted::alive == before);
  BOOST_TEST(co_await pass_on(pass_on(give(1))) == 3);
}

COROUTINE_TEST_CASE(a_task_can_fail_and_be_followed_by_another) {
  for (int i = 0; i != 3; ++i) {
    BOOST_CHECK_THROW(co_await fail_later(i), int);
    BOOST_TEST(co_await give(i) == i);
  }
}

// Beginning, storing, moving, destroying

namespace {

task<> set(bool& flag) {
  flag = true;
  co_return;
}

task<> set_after(bool& flag, test::gate& gate) {
  counted local;
  co_await gate.wait();
  flag = true;
}

task<> hold(counted) {
  co_await test::forever();
}

struct note {
  note(std::vector<std::string>& in, std::string what) : in(in), what(std::move(what)) {}
  ~note() { in.push_back(what); }
  std::vector<std::string>& in;
  std::string what;
};
task<> inner_notes(std::vector<std::string>& in) {
  const note a(in, "inner first");
  const note b(in, "inner second");
  co_await test::forever();
}
task<> outer_notes(std::vector<std::string>& in) {
  const note a(in, "outer");
  co_await inner_notes(in);
}

}  // namespace

COROUTINE_TEST_CASE(nothing_runs_before_the_await) {
  bool ran = false;
  task<> kept = set(ran);
  BOOST_TEST(!ran);
  co_await cosock::yield();
  BOOST_TEST(!ran);
  co_await std::move(kept);
  BOOST_TEST(ran);
}

COROUTINE_TEST_CASE(tasks_are_kept_and_awaited_in_any_order) {
  std::vector<task<int>> kept;
  for (int i = 0; i != 100; ++i) kept.push_back(give(i));
  int sum = 0;
  for (std::size_t i = kept.size(); i-- != 0;) sum += co_await std::move(kept[i]);
  BOOST_TEST(sum == 4950);
}

COROUTINE_TEST_CASE(awaiting_a_task_twice_is_a_logic_error) {
  task<int> kept = give(1);
  BOOST_TEST(co_await std::move(kept) == 1);
  BOOST_CHECK_THROW(co_await std::move(kept), std::logic_error);
  BOOST_CHECK_THROW(co_await std::move(kept), std::logic_error);
}

COROUTINE_TEST_CASE(awaiting_a_task_that_was_moved_from_is_a_logic_error) {
  task<int> first = give(1);
  task<int> second = std::move(first);
  BOOST_CHECK_THROW(co_await std::move(first), std::logic_error);
  BOOST_TEST(co_await std::move(second) == 1);
}

COROUTINE_TEST_CASE(awaiting_an_empty_task_through_other_operations_is_a_logic_error) {
  task<int> empty = give(1);
  { const task<int> moved = std::move(empty); }
  BOOST_CHECK_THROW(co_await cosock::with_timeout(std::chrono::hours(1), std::move(empty)),
                    std::logic_error);
  BOOST_CHECK_THROW(co_await cosock::as_result(std::move(empty)), std::logic_error);
  BOOST_CHECK_THROW(co_await cosock::shielded(std::move(empty)), std::logic_error);
}

BOOST_AUTO_TEST_CASE(running_an_empty_task_is_a_logic_error) {
  cosock::loop loop;
  task<int> empty = give(1);
  { const task<int> moved = std::move(empty); }
  BOOST_CHECK_THROW(loop.run(std::move(empty)), std::logic_error);
  BOOST_TEST(loop.run(give(2)) == 2);
}

COROUTINE_TEST_CASE(assigning_a_task_destroys_the_one_that_was_there) {
  const int before = counted::alive;
  task<> kept = hold({});
  BOOST_TEST(counted::alive == before + 1);
  kept = nothing_to_do();
  BOOST_TEST(counted::alive == before);
  co_await std::move(kept);
}

COROUTINE_TEST_CASE(swapping_tasks_swaps_what_they_do) {
  task<int> a = give(1);
  task<int> b = give(2);
  a.swap(b);
  BOOST_TEST(co_await std::move(a) == 2);
  BOOST_TEST(co_await std::move(b) == 1);
}

BOOST_AUTO_TEST_CASE(a_task_destroyed_before_its_await_never_runs_and_destroys_its_arguments) {
  const int before = counted::alive;
  bool ran = false;
  {
    const task<> never = set(ran);
    const task<> holding = hold({});
    BOOST_TEST(counted::alive == before + 1);
  }
  BOOST_TEST(!ran);
  BOOST_TEST(counted::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_destroyed_while_it_waits_ends_there) {
  const int before = counted::alive;
  bool passed = false;
  test::gate gate;
  cosock::loop loop;
  {
    auto root = loop.start(set_after(passed, gate));
    test::settle(loop);
    BOOST_TEST(!root.done());
    BOOST_TEST(counted::alive == before + 1);
  }
  BOOST_TEST(counted::alive == before);
  gate.open();
  test::settle(loop);
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_task_destroyed_between_its_wake_up_and_its_turn_ends_there) {
  const int before = counted::alive;
  bool passed = false;
  test::gate gate;
  cosock::loop loop;
  {
    auto root = loop.start(set_after(passed, gate));
    test::settle(loop);
    gate.open();
    BOOST_TEST(!root.done());
  }
  BOOST_TEST(counted::alive == before);
  test::settle(loop);
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(destroying_waiting_tasks_destroys_the_inner_locals_first) {
  std::vector<std::string> order;
  cosock::loop loop;
  {
    auto root = loop.start(outer_notes(order));
    test::settle(loop);
    BOOST_TEST(order.empty());
  }
  const std::vector<std::string> expected = {"inner second", "inner first", "outer"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

namespace {

task<std::size_t> length_of(std::string s) {
  co_await cosock::yield();
  co_return s.size();
}
task<std::size_t> length_of_both(const std::string& a, const std::string& b) {
  co_await cosock::yield();
  co_return a.size() + b.size();
}

}  // namespace

COROUTINE_TEST_CASE(arguments_by_value_live_as_long_as_the_task) {
  task<std::size_t> kept = length_of(std::string(1000, 'x'));
  co_await cosock::yield();
  BOOST_TEST(co_await std::move(kept) == 1000u);
}

COROUTINE_TEST_CASE(temporaries_by_reference_live_until_the_end_of_the_await) {
  BOOST_TEST(co_await length_of_both(std::string(1000, 'x'), std::string(10, 'y')) == 1010u);
}

// Depth

namespace {

task<int> noting(stack_range& stack) {
  stack.note();
  co_return 1;
}

task<int> await_many(int times, stack_range& stack) {
  int sum = 0;
  for (int i = 0; i != times; ++i) {
    sum += co_await noting(stack);
    stack.note();
  }
  co_return sum;
}

task<int> fail_many(int times, stack_range& stack) {
  int caught = 0;
  for (int i = 0; i != times; ++i) {
    try {
      co_await fail_at_once(i);
    } catch (int) {
      ++caught;
    }
    stack.note();
  }
  co_return caught;
}

task<int> await_many_at_depth(int depth, int times, stack_range& stack) {
  if (depth == 0) co_return co_await await_many(times, stack);
  co_return co_await await_many_at_depth(depth - 1, times, stack);
}

enum class innermost { completes, yields, throws, waits };

task<int> chain(int length, innermost last, stack_range& stack) {
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

constexpr int many = 1'000'000;
constexpr int length = 100'000;
constexpr std::size_t little = 64 * 1024;

}  // namespace

BOOST_AUTO_TEST_CASE(a_million_awaits_of_tasks_that_complete_at_once_do_not_grow_the_stack) {
  stack_range stack;
  on_small_stack([&] {
    cosock::loop loop;
    BOOST_TEST(loop.run(await_many(many, stack)) == many);
  });
  BOOST_TEST(stack.bytes() < little);
}

BOOST_AUTO_TEST_CASE(awaits_at_the_bottom_of_many_tasks_do_not_grow_the_stack) {
  stack_range stack;
  on_small_stack([&] {
    cosock::loop loop;
    for (const int depth : {0, 1, 30, 31, 32, 33, 64, 1000})
      BOOST_TEST(loop.run(await_many_at_depth(depth, 10'000, stack)) == 10'000);
  });
  BOOST_TEST(stack.bytes() < little);
}

BOOST_AUTO_TEST_CASE(awaits_of_tasks_that_fail_at_once_do_not_grow_the_stack) {
  stack_range stack;
  on_small_stack([&] {
    cosock::loop loop;
    BOOST_TEST(loop.run(fail_many(10'000, stack)) == 10'000);
  });
  BOOST_TEST(stack.bytes() < little);
}

BOOST_AUTO_TEST_CASE(a_chain_of_100000_tasks_does_not_grow_the_stack) {
  for (const innermost last : {innermost::completes, innermost::yields}) {
    stack_range stack;
    on_small_stack([&] {
      cosock::loop loop;
      BOOST_TEST(loop.run(chain(length, last, stack)) == length);
    });
    BOOST_TEST(stack.bytes() < little);
  }
}

BOOST_AUTO_TEST_CASE(an_exception_passes_through_a_chain_of_100000_tasks) {
  stack_range stack;
  on_small_stack([&] {
    cosock::loop loop;
    BOOST_CHECK_THROW(loop.run(chain(length, innermost::throws, stack)), std::runtime_error);
  });
  BOOST_TEST(stack.bytes() < little);
}

BOOST_AUTO_TEST_CASE(a_chain_of_100000_tasks_is_cancelled_while_it_waits) {
  stack_range stack;
  on_small_stack([&] {
    cosock::loop loop;
    auto root = loop.start(chain(length, innermost::waits, stack));
    test::settle(loop);
    BOOST_TEST(!root.done());
    root.cancel();
    test::settle(loop);
    BOOST_TEST(root.done());
    BOOST_CHECK_EXCEPTION(root.result(), system_error, is(cosock::error::cancelled));
  });
  BOOST_TEST(stack.bytes() < little);
}

// Frames

namespace {

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
