// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of a call that is abandoned when it is cancelled. One that is waited for is in threads.cpp.

#include <cosock/threads.hpp>

#define BOOST_TEST_MODULE endings_threads
#include "operation_endings.hpp"
#include "scheduler_of.hpp"

#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>

namespace {

using cosock::task;
using test::completion;
using test::operation_kind;
using test::waitable;
using test::way;

/// A function that waits until the test lets it end, and the loop that waits for it.
struct held_call {
  explicit held_call(cosock::detail::scheduler& on) : loop(on) {}

  /// Lets it end, and blocks the thread until the loop has its result, if a task waits for it.
  void end() {
    if (!may_end->try_wait()) may_end->count_down();
    while (loop.pending_calls != 0 && !loop.has_ready()) std::this_thread::yield();
  }

  cosock::detail::scheduler& loop;
  std::shared_ptr<std::latch> may_end = std::make_shared<std::latch>(1);
};

waitable on_threads(cosock::loop& on) {
  const auto of = std::make_shared<held_call>(test::scheduler_of(on));
  static const auto call = [](std::shared_ptr<std::latch> may_end) -> task<> {
    const auto function = [may_end] {
      may_end->wait();
      return 7;
    };
    BOOST_TEST(co_await cosock::on_threads(function, cosock::abandon) == 7);
  };
  return {.wait = [of] { return call(of->may_end); }, .provide = [of] { of->end(); }};
}

std::vector<operation_kind> all_rows() {
  operation_kind row{.name = "on_threads", .make = on_threads, .completes = completion::in_loop};
  row.counts_descriptors = false;
  row.except = {{way::fail, "an exception of the function is its result: see threads.cpp"},
                {way::close, "there is no object"},
                {way::destroy, "there is no object"}};
  return {row};
}

const test::register_endings registered(all_rows());

}  // namespace
