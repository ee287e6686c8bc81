// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Neither long chains of tasks nor long loops grow the stack.

#include <cosock/task.hpp>

#define BOOST_TEST_MODULE task_depth
#include "manual_event.hpp"
#include "support.hpp"
#include "task_fixture.hpp"

#include <pthread.h>

#include <stdexcept>

namespace {

using boost::system::system_error;
using cosock::task;
using test::await_many;
using test::chain;
using test::fail_at_once;
using test::innermost;
using test::is;
using test::length;
using test::many;
using test::stack_range;

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
    test::run_until_idle(loop);
    BOOST_TEST(!root.done());
    root.cancel();
    test::run_until_idle(loop);
    BOOST_TEST(root.done());
    BOOST_CHECK_EXCEPTION(root.result(), system_error, is(cosock::error::cancelled));
  });
  BOOST_TEST(stack.bytes() < little);
}
