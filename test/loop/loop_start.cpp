// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Tasks that are started on a loop.

#include <cosock/loop.hpp>

#define BOOST_TEST_MODULE loop_start
#include "core_fixture.hpp"
#include "loop_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <memory>
#include <stdexcept>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::error;
using cosock::task;
using test::fail;
using test::give;
using test::instance_counter;
using test::is;
using test::never;
using test::run_until_idle;
using test::sleep_and_give;

}  // namespace

BOOST_AUTO_TEST_CASE(a_started_task_first_runs_when_the_loop_does) {
  cosock::loop loop;
  bool ran = false;
  const auto work = [&]() -> task<int> {
    ran = true;
    co_return 1;
  };
  auto root = loop.start(work());
  BOOST_TEST(!ran);
  BOOST_TEST(!root.done());
  BOOST_CHECK_THROW(root.result(), std::logic_error);
  BOOST_TEST(loop.poll() > 0u);
  BOOST_TEST(ran);
  BOOST_TEST(root.done());
  BOOST_TEST(root.result() == 1);
}

BOOST_AUTO_TEST_CASE(started_tasks_give_results_of_every_type) {
  cosock::loop loop;
  int target = 3;
  const auto refer = [&]() -> task<int&> { co_return target; };
  const auto own = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
  const auto nothing = []() -> task<> { co_return; };
  auto reference = loop.start(refer());
  auto owner = loop.start(own());
  auto none = loop.start(nothing());
  auto failing = loop.start(fail(42));
  run_until_idle(loop);
  BOOST_TEST(&reference.result() == &target);
  BOOST_TEST(*owner.result() == 4);
  none.result();
  BOOST_REQUIRE(failing.done());
  BOOST_CHECK_THROW(failing.result(), int);
}

BOOST_AUTO_TEST_CASE(a_started_task_is_cancelled) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  auto root = loop.start(never());
  run_until_idle(loop);
  root.cancel();
  BOOST_TEST(!root.done());
  root.cancel();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  root.cancel();
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_cancelled_before_its_first_turn_runs_to_its_first_wait) {
  cosock::loop loop;
  bool began = false;
  bool passed = false;
  const auto work = [&]() -> task<> {
    began = true;
    co_await cosock::yield();
    passed = true;
  };
  auto root = loop.start(work());
  root.cancel();
  run_until_idle(loop);
  BOOST_TEST(began);
  BOOST_TEST(!passed);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
}

BOOST_AUTO_TEST_CASE(a_task_that_completes_although_it_was_cancelled_gives_its_result) {
  cosock::loop loop;
  auto root = loop.start(give(6));
  root.cancel();
  run_until_idle(loop);
  BOOST_TEST(root.result() == 6);
}

BOOST_AUTO_TEST_CASE(destroying_a_running_task_destroys_it_where_it_stands) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  {
    auto waiting = loop.start(never());
    auto fresh = loop.start(never());
    loop.run(sleep_and_give(1));
    BOOST_TEST(instance_counter::alive == before + 2);
  }
  BOOST_TEST(instance_counter::alive == before);
  { const auto never_began = loop.start(never()); }
  run_until_idle(loop);
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_starts_and_destroys_others_on_its_own_loop) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  const auto work = [&]() -> task<int> {
    auto child = cosock::loop::current().start(sleep_and_give(5));
    {
      auto dropped = loop.start(never());
      co_await cosock::yield();
      BOOST_TEST(!dropped.done());
      BOOST_TEST(instance_counter::alive == before + 2);
    }
    BOOST_TEST(instance_counter::alive == before + 1);
    while (!child.done()) co_await cosock::sleep_for(1ms);
    co_return child.result();
  };
  BOOST_TEST(loop.run(work()) == 5);
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(many_tasks_run_on_one_loop) {
  cosock::loop loop;
  std::vector<std::unique_ptr<cosock::task_handle<int>>> all;
  for (int i = 0; i != 1000; ++i)
    all.emplace_back(new cosock::task_handle<int>(loop.start(give(i))));
  run_until_idle(loop);
  int sum = 0;
  for (auto& each : all) sum += each->result();
  BOOST_TEST(sum == 499'500);
}
