// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// cancel_scope: runs, cancellations and deadlines of one.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel_scope
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <cosock/nursery.hpp>

#include <optional>
#include <stdexcept>
#include <thread>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::clock;
using cosock::error;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::fail;
using test::forever;
using test::give;
using test::give_later;
using test::is;
using test::run_in;
using test::run_until_idle;
using test::wait_for_ever;

}  // namespace

// cancel_scope

COROUTINE_TEST_CASE(a_scope_gives_what_runs_in_it) {
  cancel_scope scope;
  BOOST_TEST(co_await scope.run(give_later(4)) == 4);
  BOOST_TEST(!scope.is_cancelled());
  BOOST_TEST(!scope.timed_out());
  BOOST_TEST(co_await scope.run(give_later(5)) == 5);
}

COROUTINE_TEST_CASE(a_scope_is_cancelled_before_it_runs) {
  cancel_scope scope;
  scope.cancel();
  BOOST_TEST(scope.is_cancelled());
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::yield()), system_error, is(error::cancelled));
  BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::cancelled));
  BOOST_TEST(!scope.timed_out());
}

COROUTINE_TEST_CASE(a_scope_is_cancelled_while_it_runs_and_after) {
  cancel_scope scope;
  bool ended = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::cancelled));
      ended = true;
    });
    co_await cosock::yield();
    BOOST_TEST(!ended);
    scope.cancel();
    BOOST_TEST(!ended);
    BOOST_TEST(scope.is_cancelled());
    scope.cancel();
    co_await cosock::yield();
    BOOST_TEST(ended);
    scope.cancel();
  });
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::yield()), system_error, is(error::cancelled));
}

COROUTINE_TEST_CASE(a_scope_cancels_itself_from_inside) {
  cancel_scope scope;
  bool before = false;
  bool after = false;
  const auto body = [&]() -> task<> {
    scope.cancel();
    before = true;
    co_await cosock::yield();
    after = true;
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::cancelled));
  BOOST_TEST(before);
  BOOST_TEST(!after);
}

COROUTINE_TEST_CASE(a_cancelled_scope_does_not_cancel_what_is_outside) {
  cancel_scope inner;
  cancel_scope outer;
  const auto body = [&]() -> task<> {
    inner.cancel();
    BOOST_CHECK_THROW(co_await inner.run(cosock::yield()), system_error);
    co_await cosock::yield();
  };
  co_await outer.run(body());
  BOOST_TEST(!outer.is_cancelled());
}

COROUTINE_TEST_CASE(a_scope_inside_a_cancelled_one_is_cancelled_and_has_not_timed_out) {
  cancel_scope outer;
  cancel_scope inner;
  inner.set_deadline(clock::now() + 1h);
  outer.cancel();
  BOOST_CHECK_EXCEPTION(co_await outer.run(inner.run(forever())), system_error,
                        is(error::cancelled));
  BOOST_TEST(inner.is_cancelled());
  BOOST_TEST(!inner.timed_out());
}

COROUTINE_TEST_CASE(a_second_run_at_the_same_time_is_a_logic_error) {
  cancel_scope scope;
  bool first_ended = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::cancelled));
      first_ended = true;
    });
    co_await cosock::yield();
    BOOST_CHECK_THROW(co_await scope.run(cosock::yield()), std::logic_error);
    BOOST_CHECK_THROW(co_await scope.run(give(1)), std::logic_error);
    BOOST_CHECK_THROW(co_await as_result(scope.run(give(1))), std::logic_error);
    co_await cosock::yield();
    BOOST_TEST(!first_ended);
    scope.cancel();
  });
  BOOST_TEST(first_ended);
}

COROUTINE_TEST_CASE(a_scope_runs_again_after_a_run_that_failed) {
  cancel_scope scope;
  BOOST_CHECK_THROW(co_await scope.run(fail(5)), int);
  BOOST_TEST(co_await scope.run(give(6)) == 6);
}

COROUTINE_TEST_CASE(the_deadline_of_a_scope_times_it_out) {
  cancel_scope scope;
  const auto at = clock::now() + 2ms;
  scope.set_deadline(at);
  BOOST_TEST(!scope.timed_out());
  BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::timed_out));
  BOOST_TEST((clock::now() >= at));
  BOOST_TEST(scope.timed_out());
  BOOST_TEST(scope.is_cancelled());
}

COROUTINE_TEST_CASE(a_deadline_in_the_past_lets_nothing_begin) {
  cancel_scope scope;
  scope.set_deadline(clock::now() - 1s);
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::yield()), system_error, is(error::timed_out));
  BOOST_TEST(scope.timed_out());
}

COROUTINE_TEST_CASE(a_deadline_that_was_cleared_in_time_is_none) {
  cancel_scope scope;
  scope.set_deadline(clock::now() - 1s);
  scope.clear_deadline();
  BOOST_TEST(co_await scope.run(give_later(1)) == 1);
}

namespace {

/// A loop that runs one task in a scope, and is at its first wait.
struct pending_scope {
  explicit pending_scope(std::optional<std::chrono::nanoseconds> limit = std::nullopt) {
    if (limit) set_limit(*limit);
    run_until_idle(loop);
    BOOST_TEST(!root.done());
  }
  void set_limit(std::chrono::nanoseconds limit) { scope.set_deadline(loop.now() + limit); }
  cancel_scope scope;
  test::virtual_loop loop;
  cosock::task_handle<void> root = loop.start(run_in(scope, wait_for_ever()));
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_deadline_is_set_sooner_while_the_scope_runs) {
  pending_scope p(1h);
  p.set_limit(1min);
  p.loop.advance(1min - 1s);
  BOOST_TEST(!p.root.done());
  p.loop.advance(2s);
  BOOST_TEST(test::ended_with(p.root, error::timed_out));
  BOOST_TEST(p.scope.timed_out());
}

BOOST_AUTO_TEST_CASE(a_deadline_set_into_the_past_counts_at_once) {
  pending_scope p(1h);
  p.set_limit(0s);
  BOOST_TEST(p.scope.is_cancelled());
  BOOST_TEST(!p.root.done());
  run_until_idle(p.loop);
  BOOST_TEST(test::ended_with(p.root, error::timed_out));
}

BOOST_AUTO_TEST_CASE(a_deadline_is_set_later_while_the_scope_runs) {
  pending_scope p(1min);
  p.set_limit(1h);
  p.loop.advance(1h - 1s);
  BOOST_TEST(!p.root.done());
  BOOST_TEST(!p.scope.is_cancelled());
  p.scope.cancel();
  run_until_idle(p.loop);
  BOOST_TEST(test::ended_with(p.root, error::cancelled));
  BOOST_TEST(!p.scope.timed_out());
}

BOOST_AUTO_TEST_CASE(a_deadline_is_cleared_while_the_scope_runs) {
  pending_scope p(1min);
  p.scope.clear_deadline();
  p.loop.advance(1h);
  BOOST_TEST(!p.root.done());
  BOOST_TEST(!p.scope.is_cancelled());
  p.set_limit(1s);
  p.loop.advance(2s);
  BOOST_TEST(test::ended_with(p.root, error::timed_out));
}

BOOST_AUTO_TEST_CASE(a_deadline_is_set_for_the_first_time_while_the_scope_runs) {
  pending_scope p;
  p.set_limit(1s);
  p.loop.advance(2s);
  BOOST_TEST(test::ended_with(p.root, error::timed_out));
}

COROUTINE_TEST_CASE(a_deadline_set_from_inside_before_the_first_wait_counts) {
  cancel_scope scope;
  const auto body = [&]() -> task<> {
    scope.set_deadline(clock::now() + 1ms);
    co_await forever();
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::timed_out));
  cancel_scope past;
  bool passed = false;
  const auto late = [&]() -> task<> {
    past.set_deadline(clock::now());
    co_await cosock::yield();
    passed = true;
  };
  BOOST_CHECK_EXCEPTION(co_await past.run(late()), system_error, is(error::timed_out));
  BOOST_TEST(!passed);
}

// Other threads

BOOST_AUTO_TEST_CASE(a_scope_is_cancelled_from_another_thread_through_the_loop) {
  for (int i = 0; i != 20; ++i) {
    cosock::loop loop;
    cancel_scope scope;
    auto root = loop.start(run_in(scope, wait_for_ever()));
    if (i % 2 == 0) run_until_idle(loop);
    std::thread other([&] { loop.post([&scope] { scope.cancel(); }); });
    while (!root.done()) loop.run_some();
    other.join();
    BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  }
}
