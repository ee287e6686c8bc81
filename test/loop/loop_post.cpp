// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Functions that are posted to a loop, by its tasks and by other threads.

#include <cosock/loop.hpp>

#define BOOST_TEST_MODULE loop_post
#include "core_fixture.hpp"
#include "loop_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::error;
using cosock::task;
using test::forever;
using test::give;
using test::is;
using test::manual_event;
using test::never;
using test::run_until_idle;
using test::sleep_and_give;
using test::wait_and_give;

}  // namespace

BOOST_AUTO_TEST_CASE(posted_functions_are_called_in_their_order) {
  cosock::loop loop;
  std::vector<int> order;
  for (int i = 0; i != 5; ++i) loop.post([&order, i] { order.push_back(i); });
  BOOST_TEST(order.empty());
  run_until_idle(loop);
  const std::vector<int> expected = {0, 1, 2, 3, 4};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_posted_function_may_be_moved_only_and_is_destroyed_after_its_call) {
  cosock::loop loop;
  auto shared = std::make_shared<int>(1);
  int seen = 0;
  loop.post([&seen, shared, p = std::make_unique<int>(2)] { seen = *shared + *p; });
  BOOST_TEST(shared.use_count() == 2);
  run_until_idle(loop);
  BOOST_TEST(seen == 3);
  BOOST_TEST(shared.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_posted_function_may_post_again_and_start_tasks) {
  cosock::loop loop;
  int calls = 0;
  std::unique_ptr<cosock::task_handle<int>> started;
  loop.post([&] {
    ++calls;
    loop.post([&] {
      ++calls;
      started.reset(new cosock::task_handle<int>(loop.start(give(9))));
    });
  });
  run_until_idle(loop);
  BOOST_TEST(calls == 2);
  BOOST_REQUIRE(started->done());
  BOOST_TEST(started->result() == 9);
}

BOOST_AUTO_TEST_CASE(what_is_posted_after_the_tasks_have_ended_is_called_in_the_next_run) {
  cosock::loop loop;
  loop.run(give(1));
  bool called = false;
  loop.post([&] { called = true; });
  BOOST_TEST(!called);
  loop.run(sleep_and_give(2));
  BOOST_TEST(called);
}

BOOST_AUTO_TEST_CASE(functions_that_were_never_called_are_destroyed_with_the_loop) {
  const auto shared = std::make_shared<int>(1);
  bool called = false;
  {
    cosock::loop loop;
    for (int i = 0; i != 3; ++i) loop.post([&called, shared] { called = true; });
    BOOST_TEST(shared.use_count() == 4);
  }
  BOOST_TEST(shared.use_count() == 1);
  BOOST_TEST(!called);
}

BOOST_AUTO_TEST_CASE(what_a_task_posts_while_it_is_destroyed_with_its_loop_is_destroyed) {
  const auto shared = std::make_shared<int>(1);
  auto loop = std::make_unique<cosock::loop>();
  struct posts_at_end {
    cosock::loop& to;
    std::shared_ptr<int> kept;
    ~posts_at_end() {
      to.post([kept = kept] {});
    }
  };
  const auto work = [&]() -> task<> {
    const posts_at_end last{*loop, shared};
    co_await forever();
  };
  auto root = loop->start(work());
  run_until_idle(*loop);
  loop.reset();
  BOOST_TEST(shared.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(other_threads_post_while_the_loop_runs) {
  constexpr int threads = 4;
  constexpr int each = 500;
  cosock::loop loop;
  int calls = 0;
  manual_event g;
  auto root = loop.start(wait_and_give(g, 1));
  std::vector<std::thread> posting;
  for (int t = 0; t != threads; ++t) {
    posting.emplace_back([&] {
      for (int i = 0; i != each; ++i)
        loop.post([&] {
          if (++calls == threads * each) g.set();
        });
    });
  }
  while (!root.done()) loop.run_some();
  for (auto& t : posting) t.join();
  BOOST_TEST(calls == threads * each);
}

BOOST_AUTO_TEST_CASE(a_post_from_another_thread_wakes_a_loop_that_waits) {
  cosock::loop loop;
  cosock::task_handle<void>* to_cancel = nullptr;
  for (int i = 0; i != 10; ++i) {
    auto waiting = loop.start(never());
    to_cancel = &waiting;
    std::thread other([&] { loop.post([&] { to_cancel->cancel(); }); });
    const auto watch = [&]() -> task<> {
      while (!waiting.done()) co_await cosock::sleep_for(1ms);
    };
    loop.run(watch());
    other.join();
    BOOST_CHECK_EXCEPTION(waiting.result(), system_error, is(error::cancelled));
  }
}

BOOST_AUTO_TEST_CASE(threads_that_post_to_a_loop_may_outlast_its_tasks) {
  for (int i = 0; i != 20; ++i) {
    std::atomic<int> called = 0;
    cosock::loop loop;
    std::thread other([&] {
      for (int k = 0; k != 50; ++k) loop.post([&] { ++called; });
    });
    loop.run(give(1));
    other.join();
    run_until_idle(loop);
    BOOST_TEST(called == 50);
  }
}
