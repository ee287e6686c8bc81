// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/promise.hpp>

#define BOOST_TEST_MODULE promise
#include "allocations.hpp"
#include "support.hpp"

#include <cosock/awaitable.hpp>
#include <cosock/when.hpp>

#include <memory>
#include <stdexcept>
#include <string>

namespace {

using boost::system::system_error;
using cosock::error;
using cosock::future;
using cosock::make_promise;
using cosock::promise;
using cosock::task;
using test::is;

static_assert(
    cosock::awaitable_of<decltype(std::declval<future<std::string>&>().get()), std::string>);
static_assert(cosock::awaitable_of<decltype(std::declval<future<>&>().get()), void>);

/// Counts the objects that exist.
struct tracked {
  explicit tracked(int v) : value(v) { ++alive; }
  tracked(tracked&& other) noexcept : value(other.value) { ++alive; }
  ~tracked() { --alive; }
  int value;
  static inline int alive = 0;
};

template <class T>
task<T> get(future<T>& from) {
  co_return co_await from.get();
}

}  // namespace

COROUTINE_TEST_CASE(a_value_that_was_set_before_is_returned_at_once) {
  auto [set, result] = make_promise<std::string>();
  BOOST_TEST(!result.is_ready());
  BOOST_TEST(set.is_wanted());
  BOOST_TEST(set.set_value(3, 'x'));
  BOOST_TEST(result.is_ready());
  BOOST_TEST(co_await result.get() == "xxx");
  BOOST_CHECK_EXCEPTION(co_await result.get(), system_error, is(error::closed));
}

BOOST_AUTO_TEST_CASE(a_task_that_waits_continues_later_and_not_inside_the_call) {
  cosock::loop loop;
  auto [set, result] = make_promise<int>();
  auto waiting = loop.start(get(result));
  loop.poll();
  BOOST_TEST(!waiting.done());
  BOOST_TEST(set.set_value(7));
  BOOST_TEST(!waiting.done());
  loop.poll();
  BOOST_REQUIRE(waiting.done());
  BOOST_TEST(waiting.result() == 7);
}

COROUTINE_TEST_CASE(nothing_and_values_that_only_move_can_be_sent) {
  auto [told, heard] = make_promise();
  const auto tell = [&]() -> task<> {
    BOOST_TEST(told.set_value());
    co_return;
  };
  co_await cosock::when_all(heard.get(), tell());

  auto [set, result] = make_promise<std::unique_ptr<int>>();
  BOOST_TEST(set.set_value(std::make_unique<int>(5)));
  BOOST_TEST(*co_await result.get() == 5);
}

COROUTINE_TEST_CASE(an_exception_is_thrown_as_it_was) {
  auto [set, result] = make_promise<int>();
  BOOST_TEST(set.set_exception(std::make_exception_ptr(std::out_of_range("seven"))));
  BOOST_CHECK_THROW(co_await result.get(), std::out_of_range);

  auto [other, failed] = make_promise<int>();
  other.set_exception(
      std::make_exception_ptr(cosock::transfer_error(make_error_code(error::busy), 4)));
  const auto outcome = co_await cosock::as_result(failed.get());
  BOOST_TEST((outcome.error() == error::busy));
  BOOST_CHECK_THROW(outcome.value(), cosock::transfer_error);
}

COROUTINE_TEST_CASE(a_promise_that_is_lost_is_an_error) {
  {
    auto [set, result] = make_promise<int>();
    { const auto lost = std::move(set); }
    BOOST_TEST(result.is_ready());
    BOOST_CHECK_EXCEPTION(co_await result.get(), system_error, is(error::broken_promise));
  }
  auto [set, result] = make_promise<int>();
  const auto lose = [](promise<int>) -> task<> { co_return; };
  const auto wait = [](future<int>& from) -> task<> {
    BOOST_CHECK_EXCEPTION(co_await from.get(), system_error, is(error::broken_promise));
  };
  co_await cosock::when_all(wait(result), lose(std::move(set)));

  auto [replaced, first] = make_promise<int>();
  auto [replacement, second] = make_promise<int>();
  replaced = std::move(replacement);
  BOOST_CHECK_EXCEPTION(co_await first.get(), system_error, is(error::broken_promise));
  BOOST_TEST(replaced.set_value(1));
  BOOST_TEST(co_await second.get() == 1);
}

COROUTINE_TEST_CASE(a_promise_knows_that_nobody_wants_its_value) {
  auto [set, result] = make_promise<tracked>();
  { const auto lost = std::move(result); }
  BOOST_TEST(!set.is_wanted());
  BOOST_TEST(!set.set_value(1));
  BOOST_TEST(tracked::alive == 0);
  co_return;
}

COROUTINE_TEST_CASE(a_second_result_is_refused) {
  auto [set, result] = make_promise<int>();
  set.set_value(1);
  BOOST_CHECK_THROW(set.set_value(2), std::logic_error);
  BOOST_CHECK_THROW(set.set_exception(std::make_exception_ptr(1)), std::logic_error);
  const auto moved = std::move(set);
  BOOST_CHECK_THROW(set.set_value(3), std::logic_error);
  BOOST_TEST(!set.is_wanted());
  BOOST_TEST(co_await result.get() == 1);
}

COROUTINE_TEST_CASE(one_task_waits_at_a_time) {
  auto [set, result] = make_promise<int>();
  const auto intrude = [&, &set = set, &result = result]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await result.get(), system_error, is(error::busy));
    set.set_value(1);
  };
  BOOST_TEST(std::get<0>(co_await cosock::when_all(get(result), intrude())) == 1);
}

BOOST_AUTO_TEST_CASE(a_cancelled_get_leaves_the_result) {
  cosock::loop loop;
  auto [set, result] = make_promise<int>();
  auto waiting = loop.start(get(result));
  loop.poll();
  waiting.cancel();
  set.set_value(4);  // too late: it is cancelled already
  loop.poll();
  BOOST_REQUIRE(waiting.done());
  BOOST_CHECK_EXCEPTION(waiting.result(), system_error, is(error::cancelled));
  BOOST_TEST(loop.run(get(result)) == 4);
}

BOOST_AUTO_TEST_CASE(a_result_that_came_before_the_cancellation_counts) {
  cosock::loop loop;
  auto [set, result] = make_promise<int>();
  auto waiting = loop.start(get(result));
  loop.poll();
  set.set_value(4);
  waiting.cancel();
  loop.poll();
  BOOST_TEST(waiting.result() == 4);
}

BOOST_AUTO_TEST_CASE(in_a_cancelled_scope_nothing_is_taken) {
  cosock::loop loop;
  auto [set, result] = make_promise<int>();
  set.set_value(4);
  cosock::cancel_scope scope;
  scope.cancel();
  const auto attempt = [&, &result = result]() -> task<> { co_await scope.run(result.get()); };
  BOOST_CHECK_EXCEPTION(loop.run(attempt()), system_error, is(error::cancelled));
  BOOST_TEST(loop.run(get(result)) == 4);
}

BOOST_AUTO_TEST_CASE(a_future_that_is_destroyed_ends_the_wait) {
  cosock::loop loop;
  auto [set, kept] = make_promise<int>();
  auto result = std::make_unique<future<int>>(std::move(kept));
  auto waiting = loop.start(get(*result));
  loop.poll();
  result.reset();
  loop.poll();
  BOOST_CHECK_EXCEPTION(waiting.result(), system_error, is(error::closed));
  BOOST_TEST(!set.is_wanted());
}

BOOST_AUTO_TEST_CASE(a_future_that_is_destroyed_after_the_result_came_does_not_take_it_back) {
  cosock::loop loop;
  auto [set, kept] = make_promise<tracked>();
  auto result = std::make_unique<future<tracked>>(std::move(kept));
  const auto wait = [](future<tracked>& from) -> task<int> {
    co_return (co_await from.get()).value;
  };
  auto waiting = loop.start(wait(*result));
  loop.poll();
  set.set_value(9);
  result.reset();
  { const auto lost = std::move(set); }
  loop.poll();
  BOOST_TEST(waiting.result() == 9);
  BOOST_TEST(tracked::alive == 0);
}

BOOST_AUTO_TEST_CASE(a_future_may_be_moved_while_a_task_waits) {
  cosock::loop loop;
  auto [set, result] = make_promise<int>();
  auto waiting = loop.start(get(result));
  loop.poll();
  auto moved = std::move(result);
  BOOST_CHECK_EXCEPTION(loop.run(get(result)), system_error, is(error::closed));
  set.set_value(2);
  loop.poll();
  BOOST_TEST(waiting.result() == 2);
}

BOOST_AUTO_TEST_CASE(the_loop_and_the_task_may_end_while_it_waits) {
  auto [set, result] = make_promise<tracked>();
  {
    cosock::loop loop;
    const auto wait = [](future<tracked>& from) -> task<> { co_await from.get(); };
    { auto dropped = loop.start(wait(result)); }
    auto waiting = loop.start(wait(result));
    loop.poll();
  }
  BOOST_TEST(set.set_value(1));
  BOOST_TEST(result.is_ready());
  { const auto lost = std::move(result); }
  BOOST_TEST(tracked::alive == 1);  // the promise has it still
  { const auto lost = std::move(set); }
  BOOST_TEST(tracked::alive == 0);
}

COROUTINE_TEST_CASE(the_pair_is_one_allocation_and_the_rest_none) {
  constexpr long many = 1000;
  test::allocations_until_failure = many;
  auto [set, result] = make_promise<int>();
  set.set_value(1);
  const int value = co_await result.get();
  const long made = many - test::allocations_until_failure.exchange(-1);
  BOOST_TEST(value == 1);
  BOOST_TEST(made == 1);
}
