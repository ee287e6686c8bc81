// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Tasks that begin, are kept, moved and destroyed.

#include <cosock/task.hpp>

#define BOOST_TEST_MODULE task_life
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "task_fixture.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace {

using cosock::task;
using test::give;
using test::instance_counter;
using test::nothing_to_do;

task<> set(bool& flag) {
  flag = true;
  co_return;
}

task<> set_after(bool& flag, test::manual_event& gate) {
  instance_counter local;
  co_await gate.wait();
  flag = true;
}

task<> hold(instance_counter) { co_await test::forever(); }

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
  const int before = instance_counter::alive;
  task<> kept = hold({});
  BOOST_TEST(instance_counter::alive == before + 1);
  kept = nothing_to_do();
  BOOST_TEST(instance_counter::alive == before);
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
  const int before = instance_counter::alive;
  bool ran = false;
  {
    const task<> never = set(ran);
    const task<> holding = hold({});
    BOOST_TEST(instance_counter::alive == before + 1);
  }
  BOOST_TEST(!ran);
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_destroyed_while_it_waits_ends_there) {
  const int before = instance_counter::alive;
  bool passed = false;
  test::manual_event gate;
  cosock::loop loop;
  {
    auto root = loop.start(set_after(passed, gate));
    test::run_until_idle(loop);
    BOOST_TEST(!root.done());
    BOOST_TEST(instance_counter::alive == before + 1);
  }
  BOOST_TEST(instance_counter::alive == before);
  gate.set();
  test::run_until_idle(loop);
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_task_destroyed_between_its_wake_up_and_its_turn_ends_there) {
  const int before = instance_counter::alive;
  bool passed = false;
  test::manual_event gate;
  cosock::loop loop;
  {
    auto root = loop.start(set_after(passed, gate));
    test::run_until_idle(loop);
    gate.set();
    BOOST_TEST(!root.done());
  }
  BOOST_TEST(instance_counter::alive == before);
  test::run_until_idle(loop);
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(destroying_waiting_tasks_destroys_the_inner_locals_first) {
  std::vector<std::string> order;
  cosock::loop loop;
  {
    auto root = loop.start(outer_notes(order));
    test::run_until_idle(loop);
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
