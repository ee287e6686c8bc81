// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// run, poll and run_some, and which loop is the current one.

#include <cosock/loop.hpp>

#define BOOST_TEST_MODULE loop_run
#include "core_fixture.hpp"
#include "loop_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <memory>
#include <stdexcept>
#include <thread>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::error;
using cosock::task;
using test::fail;
using test::give;
using test::instance_counter;
using test::is;
using test::manual_event;
using test::never;
using test::sleep_and_give;
using test::wait_and_give;

}  // namespace

// run

BOOST_AUTO_TEST_CASE(run_gives_the_result_of_the_task) {
  cosock::loop loop;
  BOOST_TEST(loop.run(give(1)) == 1);
  BOOST_TEST(loop.run(sleep_and_give(2)) == 2);
  int target = 3;
  const auto refer = [&]() -> task<int&> { co_return target; };
  BOOST_TEST(&loop.run(refer()) == &target);
  const auto own = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
  BOOST_TEST(*loop.run(own()) == 4);
  const auto nothing = []() -> task<> { co_return; };
  loop.run(nothing());
}

BOOST_AUTO_TEST_CASE(run_throws_what_left_the_task) {
  cosock::loop loop;
  BOOST_CHECK_THROW(loop.run(fail(42)), int);
  BOOST_CHECK_THROW(loop.run(fail(std::runtime_error("x"))), std::runtime_error);
  BOOST_CHECK_EXCEPTION(loop.run(fail(system_error(error::busy))), system_error, is(error::busy));
  BOOST_CHECK_EXCEPTION(loop.run(fail(system_error(error::cancelled))), system_error,
                        is(error::cancelled));
  BOOST_TEST(loop.run(give(1)) == 1);
}

BOOST_AUTO_TEST_CASE(run_returns_when_its_task_has_ended_and_others_go_on_in_the_next_run) {
  cosock::loop loop;
  manual_event g;
  auto other = loop.start(wait_and_give(g, 5));
  BOOST_TEST(loop.run(sleep_and_give(1)) == 1);
  BOOST_TEST(!other.done());
  g.set();
  BOOST_TEST(loop.run(sleep_and_give(2)) == 2);
  BOOST_REQUIRE(other.done());
  BOOST_TEST(other.result() == 5);
}

BOOST_AUTO_TEST_CASE(run_inside_a_task_of_the_same_loop_is_a_logic_error) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  const auto work = [&]() -> task<int> {
    BOOST_CHECK_THROW(loop.run(give(1)), std::logic_error);
    BOOST_CHECK_THROW(cosock::loop::current().run(sleep_and_give(1)), std::logic_error);
    co_await cosock::yield();
    co_return 7;
  };
  BOOST_TEST(loop.run(work()) == 7);
  BOOST_TEST(loop.run(give(8)) == 8);
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_may_run_another_loop) {
  cosock::loop outer;
  const auto work = [&]() -> task<int> {
    cosock::loop inner;
    const int inside = inner.run(sleep_and_give(1));
    BOOST_TEST(&cosock::loop::current() == &outer);
    co_await cosock::yield();
    co_return inside + inner.run(give(2));
  };
  BOOST_TEST(outer.run(work()) == 3);
}

// poll and run_some

BOOST_AUTO_TEST_CASE(poll_runs_what_is_ready_and_does_not_wait) {
  cosock::loop loop;
  BOOST_TEST(loop.poll() == 0u);
  auto waiting = loop.start(never());
  BOOST_TEST(loop.poll() > 0u);
  BOOST_TEST(loop.poll() == 0u);
  BOOST_TEST(!waiting.done());
}

BOOST_AUTO_TEST_CASE(run_some_waits_until_something_is_ready) {
  cosock::loop loop;
  auto root = loop.start(sleep_and_give(3));
  while (!root.done()) loop.run_some();
  BOOST_TEST(root.result() == 3);
}

BOOST_AUTO_TEST_CASE(a_loop_is_not_polled_by_its_own_tasks) {
  cosock::loop loop;
  const auto polls = [&](bool waits) -> task<> {
    if (waits)
      loop.run_some();
    else
      loop.poll();
    co_return;
  };
  for (const bool waits : {false, true}) {
    BOOST_CHECK_THROW(loop.run(polls(waits)), std::logic_error);
    auto running = loop.start(polls(waits));
    while (!running.done()) loop.poll();
    BOOST_CHECK_THROW(running.result(), std::logic_error);
  }
  BOOST_TEST(loop.run(give(3)) == 3);
}

BOOST_AUTO_TEST_CASE(poll_and_run_some_work_after_run_and_before_it) {
  cosock::loop loop;
  for (int i = 0; i != 3; ++i) {
    auto root = loop.start(sleep_and_give(i));
    loop.poll();
    loop.run_some();
    BOOST_TEST(loop.run(sleep_and_give(i)) == i);
    while (!root.done()) loop.run_some();
    BOOST_TEST(root.result() == i);
  }
}

// current

BOOST_AUTO_TEST_CASE(current_is_the_loop_that_runs_on_this_thread) {
  BOOST_CHECK_THROW(static_cast<void>(cosock::loop::current()), std::logic_error);
  cosock::loop loop;
  BOOST_CHECK_THROW(static_cast<void>(cosock::loop::current()), std::logic_error);
  cosock::loop* in_task = nullptr;
  cosock::loop* after_wait = nullptr;
  cosock::loop* in_post = nullptr;
  const auto work = [&]() -> task<> {
    in_task = &cosock::loop::current();
    loop.post([&] { in_post = &cosock::loop::current(); });
    co_await cosock::sleep_for(1ms);
    after_wait = &cosock::loop::current();
  };
  loop.run(work());
  BOOST_TEST(in_task == &loop);
  BOOST_TEST(after_wait == &loop);
  BOOST_TEST(in_post == &loop);
  BOOST_CHECK_THROW(static_cast<void>(cosock::loop::current()), std::logic_error);
  bool threw = false;
  const auto elsewhere = [&]() -> task<> {
    std::thread([&] {
      try {
        static_cast<void>(cosock::loop::current());
      } catch (const std::logic_error&) {
        threw = true;
      }
    }).join();
    co_return;
  };
  loop.run(elsewhere());
  BOOST_TEST(threw);
}
