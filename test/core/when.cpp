// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/when.hpp>

#define BOOST_TEST_MODULE when
#include "manual_event.hpp"
#include "support.hpp"

#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::error;
using cosock::multiple_errors;
using cosock::shielded;
using cosock::task;
using cosock::when_all;
using cosock::when_any;
using cosock::with_timeout;
using test::forever;
using test::instance_counter;
using test::is;
using test::manual_event;
using test::run_until_idle;
using strings = std::vector<std::string>;

task<int> give(int n) { co_return n; }
task<int> give_after(int yields, int n) {
  const instance_counter local;
  for (int i = 0; i != yields; ++i) co_await cosock::yield();
  co_return n;
}
task<int> never() {
  const instance_counter local;
  co_await forever();
  co_return 0;
}
task<int> give_all_the_same(int n) {
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  co_return n;
}
task<> do_nothing() { co_return; }
task<int&> refer(int& n) {
  co_await cosock::yield();
  co_return n;
}
task<std::unique_ptr<int>> own(int n) {
  co_await cosock::yield();
  co_return std::make_unique<int>(n);
}
template <class E>
task<int> fail_after(int yields, E e) {
  for (int i = 0; i != yields; ++i) co_await cosock::yield();
  throw e;
  co_return 0;
}
task<int> fail_when_cancelled() {
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  throw std::runtime_error("when cancelled");
}
task<> note(strings& in, std::string what) {
  in.push_back(what);
  co_await cosock::yield();
  in.push_back(what + " again");
}
task<int> wait_and_give(manual_event& g, int n) {
  co_await g.wait();
  co_return n;
}

}  // namespace

// when_all

COROUTINE_TEST_CASE(when_all_gives_every_result) {
  auto [a, b, c] = co_await when_all(give(1), give_after(2, 2), give(3));
  BOOST_TEST(a == 1);
  BOOST_TEST(b == 2);
  BOOST_TEST(c == 3);
}

COROUTINE_TEST_CASE(when_all_gives_results_of_all_types) {
  int target = 5;
  auto all = co_await when_all(do_nothing(), cosock::sleep_for(0s), refer(target), own(6),
                               as_result(give(7)));
  static_assert(
      std::is_same_v<decltype(all),
                     std::tuple<std::monostate, std::monostate, std::reference_wrapper<int>,
                                std::unique_ptr<int>, cosock::result<int>>>);
  BOOST_TEST(&std::get<2>(all).get() == &target);
  BOOST_TEST(*std::get<3>(all) == 6);
  BOOST_TEST(*std::get<4>(all) == 7);
}

COROUTINE_TEST_CASE(when_all_of_one_gives_a_tuple_of_one) {
  const auto one = co_await when_all(give(1));
  static_assert(std::is_same_v<decltype(one), const std::tuple<int>>);
  BOOST_TEST(std::get<0>(one) == 1);
  const auto pair = []() -> task<std::pair<int, int>> { co_return std::pair(1, 2); };
  const auto of_pair = co_await when_all(pair());
  static_assert(std::is_same_v<decltype(of_pair), const std::tuple<std::pair<int, int>>>);
  BOOST_TEST(std::get<0>(of_pair).second == 2);
  const auto nested = co_await when_all(when_all(give(3)));
  static_assert(std::is_same_v<decltype(nested), const std::tuple<std::tuple<int>>>);
  BOOST_TEST(std::get<0>(std::get<0>(nested)) == 3);
}

COROUTINE_TEST_CASE(when_all_of_nothing_gives_nothing) {
  const std::tuple<> none = co_await when_all();
  static_cast<void>(none);
  const std::vector<int> empty = co_await when_all(std::vector<task<int>>());
  BOOST_TEST(empty.empty());
}

COROUTINE_TEST_CASE(when_all_runs_its_operands_side_by_side_in_their_order) {
  strings order;
  co_await when_all(note(order, "a"), note(order, "b"), note(order, "c"));
  const strings expected = {"a", "b", "c", "a again", "b again", "c again"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(when_all_of_a_vector_gives_a_vector) {
  std::vector<task<int>> tasks;
  for (int i = 0; i != 100; ++i) tasks.push_back(give_after(i % 3, i));
  const std::vector<int> all = co_await when_all(std::move(tasks));
  BOOST_TEST(all.size() == 100u);
  for (int i = 0; i != 100; ++i) BOOST_TEST(all[static_cast<std::size_t>(i)] == i);

  std::vector<task<>> voids;
  voids.push_back(do_nothing());
  voids.push_back(do_nothing());
  const std::vector<std::monostate> nothings = co_await when_all(std::move(voids));
  BOOST_TEST(nothings.size() == 2u);

  int target = 1;
  std::vector<task<int&>> references;
  references.push_back(refer(target));
  const auto referred = co_await when_all(std::move(references));
  BOOST_TEST(&referred.at(0).get() == &target);

  std::vector<task<bool>> truths;
  const auto truth = [](bool b) -> task<bool> { co_return b; };
  truths.push_back(truth(true));
  truths.push_back(truth(false));
  const std::vector<bool> told = co_await when_all(std::move(truths));
  BOOST_TEST((told[0] && !told[1]));

  std::vector<task<std::unique_ptr<int>>> owners;
  owners.push_back(own(8));
  const auto owned = co_await when_all(std::move(owners));
  BOOST_TEST(*owned.at(0) == 8);
}

COROUTINE_TEST_CASE(the_first_error_cancels_the_others_and_is_thrown) {
  const int before = instance_counter::alive;
  BOOST_CHECK_THROW(co_await when_all(never(), fail_after(2, 42), forever()), int);
  BOOST_CHECK_EXCEPTION(co_await when_all(fail_after(0, system_error(error::busy)), never()),
                        system_error, is(error::busy));
  std::vector<task<int>> tasks;
  tasks.push_back(never());
  tasks.push_back(fail_after(1, std::runtime_error("x")));
  BOOST_CHECK_THROW(co_await when_all(std::move(tasks)), std::runtime_error);
  BOOST_TEST(instance_counter::alive == before);
}

COROUTINE_TEST_CASE(when_all_keeps_all_errors_in_their_order) {
  const auto both = [](const multiple_errors& e) {
    return e.errors().size() == 2 && e.code() == error::busy &&
           cosock::error_message(e.errors()[1]) == "when cancelled";
  };
  BOOST_CHECK_EXCEPTION(
      co_await when_all(fail_when_cancelled(), fail_after(1, system_error(error::busy))),
      multiple_errors, both);
  const auto r =
      co_await as_result(when_all(fail_when_cancelled(), fail_after(1, system_error(error::busy))));
  BOOST_TEST(r.error() == error::busy);
}

BOOST_AUTO_TEST_CASE(when_all_cancelled_from_outside_throws_cancelled) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  manual_event g;
  const auto work = [&]() -> task<> { co_await when_all(g.wait(), never(), give(1)); };
  auto root = loop.start(work());
  run_until_idle(loop);
  g.set();
  run_until_idle(loop);
  BOOST_TEST(!root.done());
  root.cancel();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(when_all_cancelled_after_all_have_completed_gives_the_results) {
  cosock::loop loop;
  manual_event first;
  manual_event second;
  const auto work = [&]() -> task<int> {
    const auto both = co_await when_all(wait_and_give(first, 1), wait_and_give(second, 2));
    co_return std::get<0>(both) + std::get<1>(both);
  };
  auto root = loop.start(work());
  run_until_idle(loop);
  first.set();
  second.set();
  root.cancel();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_TEST(root.result() == 3);
}

COROUTINE_TEST_CASE(when_all_in_a_cancelled_scope_gives_what_needs_no_wait) {
  cancel_scope scope;
  scope.cancel();
  const auto both = co_await scope.run(when_all(give(1), give(2)));
  BOOST_TEST(std::get<0>(both) + std::get<1>(both) == 3);
  BOOST_CHECK_EXCEPTION(co_await scope.run(when_all(give(1), cosock::yield())), system_error,
                        is(error::cancelled));
}

// when_any

COROUTINE_TEST_CASE(when_any_gives_the_first_and_cancels_the_others) {
  const int before = instance_counter::alive;
  auto any = co_await when_any(never(), give_after(2, 5), forever());
  BOOST_TEST(any.index == 1u);
  BOOST_TEST(!any.get<0>());
  BOOST_TEST(any.get<1>().value() == 5);
  BOOST_TEST(!any.get<2>());
  BOOST_TEST(instance_counter::alive == before);
}

COROUTINE_TEST_CASE(when_any_gives_the_first_of_every_position) {
  for (int winner = 0; winner != 3; ++winner) {
    const auto operand = [&](int i) { return i == winner ? give_after(1, i) : never(); };
    auto any = co_await when_any(operand(0), operand(1), operand(2));
    BOOST_TEST(any.index == static_cast<std::size_t>(winner));
    BOOST_TEST(any.get<0>().has_value() == (winner == 0));
    BOOST_TEST(any.get<1>().has_value() == (winner == 1));
    BOOST_TEST(any.get<2>().has_value() == (winner == 2));
  }
}

COROUTINE_TEST_CASE(when_any_gives_results_of_all_types) {
  int target = 5;
  const auto any = co_await when_any(refer(target), never());
  BOOST_TEST(any.index == 0u);
  BOOST_TEST(&any.get<0>()->get() == &target);
  auto owned = co_await when_any(never(), own(6));
  BOOST_TEST(**owned.get<1>() == 6);
  const auto done = co_await when_any(do_nothing(), never());
  BOOST_TEST((done.get<0>() == std::monostate{}));
  const auto slept = co_await when_any(never(), cosock::sleep_for(1ms));
  BOOST_TEST(slept.index == 1u);
  BOOST_TEST(slept.get<1>().has_value());
}

COROUTINE_TEST_CASE(when_any_of_one_waits_for_it) {
  auto any = co_await when_any(give_after(1, 4));
  BOOST_TEST(any.index == 0u);
  BOOST_TEST(*any.get<0>() == 4);
}

COROUTINE_TEST_CASE(both_that_are_ready_at_once_hand_over_their_results) {
  auto any = co_await when_any(give(1), give(2));
  BOOST_TEST(any.index == 0u);
  BOOST_TEST(*any.get<0>() == 1);
  BOOST_TEST(*any.get<1>() == 2);
}

BOOST_AUTO_TEST_CASE(both_that_become_ready_in_one_turn_hand_over_their_results) {
  cosock::loop loop;
  manual_event first;
  manual_event second;
  const auto work = [&]() -> task<> {
    auto any = co_await when_any(wait_and_give(first, 1), wait_and_give(second, 2));
    BOOST_TEST(any.index == 1u);
    BOOST_TEST(*any.get<0>() == 1);
    BOOST_TEST(*any.get<1>() == 2);
  };
  auto root = loop.start(work());
  run_until_idle(loop);
  second.set();
  first.set();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  root.result();
}

COROUTINE_TEST_CASE(a_loser_that_completes_all_the_same_hands_over_its_result) {
  auto any = co_await when_any(give_all_the_same(1), give_after(1, 2), never());
  BOOST_TEST(any.index == 1u);
  BOOST_TEST(*any.get<0>() == 1);
  BOOST_TEST(*any.get<1>() == 2);
  BOOST_TEST(!any.get<2>());
}

BOOST_AUTO_TEST_CASE(a_loser_that_refuses_to_end_at_once_is_waited_for) {
  cosock::loop loop;
  manual_event g;
  const auto stubborn = [&]() -> task<int> {
    co_await shielded(g.wait());
    co_return 7;
  };
  const auto work = [&]() -> task<> {
    auto any = co_await when_any(stubborn(), give_after(1, 2));
    BOOST_TEST(any.index == 1u);
    BOOST_TEST(*any.get<0>() == 7);
    BOOST_TEST(*any.get<1>() == 2);
  };
  auto root = loop.start(work());
  run_until_idle(loop);
  BOOST_TEST(!root.done());
  g.set();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  root.result();
}

COROUTINE_TEST_CASE(when_any_of_a_vector_gives_a_vector_of_optionals) {
  std::vector<task<int>> tasks;
  for (int i = 0; i != 10; ++i) tasks.push_back(i == 7 ? give_after(2, i) : never());
  const auto any = co_await when_any(std::move(tasks));
  BOOST_TEST(any.index == 7u);
  BOOST_TEST(any.results.size() == 10u);
  for (std::size_t i = 0; i != 10; ++i) BOOST_TEST(any.results[i].has_value() == (i == 7));
  BOOST_TEST(any.results[7].value() == 7);
}

COROUTINE_TEST_CASE(when_any_of_an_empty_vector_is_refused) {
  BOOST_CHECK_THROW(co_await when_any(std::vector<task<int>>()), std::invalid_argument);
  BOOST_CHECK_THROW(co_await as_result(when_any(std::vector<task<>>())), std::invalid_argument);
}

COROUTINE_TEST_CASE(an_error_of_any_operand_is_thrown) {
  const int before = instance_counter::alive;
  BOOST_CHECK_THROW(co_await when_any(never(), fail_after(1, 42)), int);
  BOOST_CHECK_THROW(co_await when_any(fail_when_cancelled(), give_after(1, 1)), std::runtime_error);
  BOOST_CHECK_THROW(co_await when_any(fail_when_cancelled(), fail_after(1, 42)), multiple_errors);
  BOOST_CHECK_EXCEPTION(co_await when_any(never(), fail_after(1, system_error(error::cancelled))),
                        system_error, is(error::cancelled));
  BOOST_TEST(instance_counter::alive == before);
}

COROUTINE_TEST_CASE(as_result_keeps_the_errors_of_operands_apart) {
  auto any = co_await when_any(as_result(fail_after(1, system_error(error::busy))),
                               as_result(never()), as_result(give_all_the_same(3)));
  BOOST_TEST(any.index == 0u);
  BOOST_TEST(any.get<0>()->error() == error::busy);
  BOOST_TEST(any.get<1>()->error() == error::cancelled);
  BOOST_TEST(any.get<2>()->value() == 3);
}

BOOST_AUTO_TEST_CASE(when_any_cancelled_from_outside_throws_cancelled) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  const auto work = []() -> task<> { co_await when_any(never(), forever()); };
  auto root = loop.start(work());
  run_until_idle(loop);
  root.cancel();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(when_any_cancelled_from_outside_gives_what_has_completed) {
  for (const bool vector : {false, true}) {
    cosock::loop loop;
    manual_event g;
    const auto work = [&]() -> task<int> {
      if (vector) {
        std::vector<task<int>> tasks;
        tasks.push_back(never());
        tasks.push_back(wait_and_give(g, 5));
        const auto any = co_await when_any(std::move(tasks));
        co_return any.results[any.index].value();
      }
      const auto any = co_await when_any(never(), wait_and_give(g, 5));
      co_return any.get<1>().value();
    };
    auto root = loop.start(work());
    run_until_idle(loop);
    g.set();
    root.cancel();
    run_until_idle(loop);
    BOOST_REQUIRE(root.done());
    BOOST_TEST(root.result() == 5);
  }
}

COROUTINE_TEST_CASE(combinators_nest) {
  auto any =
      co_await when_any(when_all(give_after(3, 1), never()),
                        when_all(give_after(1, 2), give_after(2, 3)), when_any(never(), never()));
  BOOST_TEST(any.index == 1u);
  BOOST_TEST(!any.get<0>());
  BOOST_TEST(std::get<0>(*any.get<1>()) + std::get<1>(*any.get<1>()) == 5);
  BOOST_TEST(!any.get<2>());

  auto all = co_await when_all(when_any(never(), give(1)), with_timeout(1h, when_all(give(2))),
                               as_result(with_timeout(1ms, when_any(never(), forever()))));
  BOOST_TEST(*std::get<0>(all).get<1>() == 1);
  BOOST_TEST(std::get<0>(std::get<1>(all)) == 2);
  BOOST_TEST(std::get<2>(all).error() == error::timed_out);
}

COROUTINE_TEST_CASE(a_race_against_time_keeps_the_result) {
  auto late = co_await when_any(never(), cosock::sleep_for(1ms));
  BOOST_TEST(late.index == 1u);
  auto early = co_await when_any(give_after(1, 3), cosock::sleep_for(1h));
  BOOST_TEST(early.index == 0u);
  BOOST_TEST(*early.get<0>() == 3);
}

COROUTINE_TEST_CASE(what_was_never_awaited_never_runs) {
  strings order;
  {
    const auto all = when_all(note(order, "a"), note(order, "b"));
    const auto any = when_any(note(order, "a"), note(order, "b"));
  }
  co_await cosock::yield();
  BOOST_TEST(order.empty());
}

COROUTINE_TEST_CASE(many_operands_are_awaited_at_once) {
  std::vector<task<int>> tasks;
  for (int i = 0; i != 10'000; ++i) tasks.push_back(give_after(1, 1));
  const auto all = co_await when_all(std::move(tasks));
  BOOST_TEST(std::accumulate(all.begin(), all.end(), 0) == 10'000);
  std::vector<task<int>> racers;
  for (int i = 0; i != 1000; ++i) racers.push_back(i == 500 ? give_after(1, i) : never());
  const auto any = co_await when_any(std::move(racers));
  BOOST_TEST(any.index == 500u);
}
