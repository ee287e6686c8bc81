// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Time limits: nested ones, of any length, and very many.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel_limits
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <cosock/nursery.hpp>
#include <cosock/sync.hpp>

#include <limits>
#include <thread>

namespace {

using namespace std::chrono_literals;
using boost::system::error_code;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::clock;
using cosock::error;
using cosock::nursery;
using cosock::shielded;
using cosock::task;
using cosock::with_deadline;
using cosock::with_grace;
using cosock::with_nursery;
using cosock::with_timeout;
using test::forever;
using test::give;
using test::give_later;
using test::is;
using test::run_in;
using test::virtual_loop;
using test::wait_for_ever;

}  // namespace

// Nested limits

namespace {

/// Notes the error and throws it on.
task<> noted(error_code& to, task<> of) {
  const auto result = co_await as_result(std::move(of));
  to = result.error();
  result.value();
}
task<> limited(std::chrono::nanoseconds limit) { co_await with_timeout(limit, forever()); }
task<> limited_until(clock::time_point at) { co_await with_deadline(at, forever()); }
task<> within(std::chrono::nanoseconds limit, task<> of) {
  co_await with_timeout(limit, std::move(of));
}

}  // namespace

COROUTINE_TEST_CASE(the_nearer_inner_limit_times_out_and_leaves_the_outer_one_alone) {
  error_code inner;
  bool went_on = false;
  const auto body = [&]() -> task<> {
    try {
      co_await noted(inner, limited(1ms));
    } catch (const system_error&) {
    }
    co_await cosock::sleep_for(1ms);
    went_on = true;
  };
  co_await with_timeout(1h, body());
  BOOST_TEST(inner == error::timed_out);
  BOOST_TEST(went_on);
}

COROUTINE_TEST_CASE(the_nearer_outer_limit_times_out_and_the_inner_one_is_cancelled) {
  error_code inner;
  error_code middle;
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, noted(middle, within(1h, noted(inner, limited(2h))))),
      system_error, is(error::timed_out));
  BOOST_TEST(inner == error::cancelled);
  BOOST_TEST(middle == error::cancelled);
}

COROUTINE_TEST_CASE(an_inner_limit_that_is_farther_changes_nothing) {
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, with_timeout(1h, forever())), system_error,
                        is(error::timed_out));
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, with_timeout(1ms, forever())), system_error,
                        is(error::timed_out));
}

BOOST_AUTO_TEST_CASE(of_two_limits_at_the_same_tick_the_outer_one_reports) {
  virtual_loop loop;
  const auto at = loop.now() + 1h;
  error_code inner;
  const auto work = [&]() -> task<> {
    co_await with_deadline(at, noted(inner, limited_until(at)));
  };
  BOOST_CHECK_EXCEPTION(loop.run(work()), system_error, is(error::timed_out));
  BOOST_TEST(inner == error::cancelled);
}

BOOST_AUTO_TEST_CASE(an_outer_cancellation_in_the_turn_of_a_time_out_is_a_cancellation) {
  virtual_loop loop;
  const auto at = loop.now() + 1h;
  cancel_scope outer;
  error_code inner;
  const auto canceller = [&]() -> task<> {
    co_await cosock::sleep_until(at);
    outer.cancel();
  };
  auto first = loop.start(canceller());
  BOOST_CHECK_EXCEPTION(loop.run(run_in(outer, noted(inner, limited_until(at)))), system_error,
                        is(error::cancelled));
  BOOST_TEST(inner == error::cancelled);
  BOOST_TEST(outer.is_cancelled());
  BOOST_TEST(!outer.timed_out());
}

COROUTINE_TEST_CASE(an_outer_cancellation_is_not_taken_for_a_time_out) {
  cancel_scope outer;
  error_code inner;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await outer.run(within(1h, noted(inner, limited(2h)))), system_error,
                            is(error::cancelled));
    });
    co_await cosock::yield();
    outer.cancel();
  });
  BOOST_TEST(inner == error::cancelled);
}

COROUTINE_TEST_CASE(a_scope_that_was_cancelled_does_not_time_out_later) {
  cancel_scope scope;
  const auto work = [&]() -> task<> {
    scope.cancel();
    co_await shielded(cosock::sleep_for(3ms));
    co_await cosock::yield();
  };
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, scope.run(work())), system_error,
                        is(error::cancelled));
  scope.set_deadline(clock::now() + 1ms);
  BOOST_TEST(!scope.timed_out());
}

// The length of limits

COROUTINE_TEST_CASE(limits_of_any_length_are_taken) {
  using std::chrono::duration;
  BOOST_TEST(co_await with_timeout(std::chrono::hours::max(), give_later(1)) == 1);
  BOOST_TEST(co_await with_timeout(std::chrono::nanoseconds::max(), give_later(2)) == 2);
  BOOST_TEST(co_await with_timeout(std::chrono::milliseconds::max(), give_later(3)) == 3);
  const duration<double> infinite(std::numeric_limits<double>::infinity());
  BOOST_TEST(co_await with_timeout(infinite, give_later(4)) == 4);
  const duration<float, std::ratio<3600>> fraction(0.5f);
  BOOST_TEST(co_await with_timeout(fraction, give_later(5)) == 5);
  BOOST_TEST(co_await with_deadline(clock::time_point::max(), give_later(6)) == 6);
  BOOST_TEST(co_await with_timeout(std::chrono::hours::max(),
                                   with_timeout(std::chrono::nanoseconds::max(), give_later(7))) ==
             7);
}

COROUTINE_TEST_CASE(limits_in_the_past_have_passed) {
  using std::chrono::duration;
  const auto timed_out = is(error::timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(0s, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(-1ns, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(std::chrono::hours::min(), forever()), system_error,
                        timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(std::chrono::nanoseconds::min(), forever()),
                        system_error, timed_out);
  const duration<double> ages(-std::numeric_limits<double>::infinity());
  BOOST_CHECK_EXCEPTION(co_await with_timeout(ages, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::time_point::min(), forever()), system_error,
                        timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::time_point(), forever()), system_error,
                        timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::now(), forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(0s, wait_for_ever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(0s, cosock::yield()), system_error, timed_out);
}

COROUTINE_TEST_CASE(a_task_that_never_waits_gives_its_value_after_its_limit) {
  BOOST_TEST(co_await with_timeout(0s, give(1)) == 1);
  BOOST_TEST(co_await with_deadline(clock::time_point::min(), give(2)) == 2);
}

COROUTINE_TEST_CASE(a_limit_is_never_early) {
  for (const auto limit : {1ms, 2ms, 5ms}) {
    const auto begun = clock::now();
    BOOST_CHECK_THROW(co_await with_timeout(limit, forever()), system_error);
    BOOST_TEST((clock::now() - begun >= limit));
    const auto at = clock::now() + limit;
    BOOST_CHECK_THROW(co_await with_deadline(at, wait_for_ever()), system_error);
    BOOST_TEST((clock::now() >= at));
  }
}

COROUTINE_TEST_CASE(the_time_of_a_limit_counts_from_the_await) {
  auto kept = with_timeout(20ms, forever());
  co_await cosock::sleep_for(3ms);
  const auto begun = clock::now();
  BOOST_CHECK_THROW(co_await std::move(kept), system_error);
  BOOST_TEST((clock::now() - begun >= 20ms));
}

// Many

COROUTINE_TEST_CASE(a_hundred_thousand_deadlines_are_pending_and_go_away) {
  constexpr int many = 100'000;
  int cancelled = 0;
  const auto child = [&](int i) -> task<> {
    const auto r = co_await as_result(
        with_timeout(1h + std::chrono::milliseconds(i % 997), with_timeout(2h, forever())));
    if (r.error() == error::cancelled) ++cancelled;
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != many; ++i) n.start(child, i);
    co_await cosock::yield();
    BOOST_TEST(n.active() == static_cast<std::size_t>(many) + 1);
    n.cancel();
  });
  BOOST_TEST(cancelled == many);
}

COROUTINE_TEST_CASE(a_hundred_thousand_deadlines_expire) {
  constexpr int many = 100'000;
  int timed_out = 0;
  const auto child = [&](int i) -> task<> {
    const auto r =
        co_await as_result(with_timeout(std::chrono::microseconds(1 + i % 5000), forever()));
    if (r.error() == error::timed_out) ++timed_out;
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != many; ++i) n.start(child, i);
    co_return;
  });
  BOOST_TEST(timed_out == many);
}

COROUTINE_TEST_CASE(a_limit_that_reaches_a_grace_keeps_the_other_timers_of_a_late_loop) {
  bool woken = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([]() -> task<> {
      const auto r = co_await as_result(with_timeout(10ms, with_grace(20ms, forever())));
      BOOST_TEST(r.error() == error::timed_out);
    });
    n.start([&]() -> task<> {
      co_await cosock::sleep_for(15ms);
      woken = true;
    });
    n.start([]() -> task<> {
      std::this_thread::sleep_for(30ms);  // the loop is late: both timers are due when it looks
      co_return;
    });
    co_return;
  });
  BOOST_TEST(woken);
}

COROUTINE_TEST_CASE(limits_that_have_passed_let_the_others_have_their_turn) {
  cosock::event done;
  const auto past = cosock::clock::now() - 1s;
  cosock::cancel_scope scope;
  scope.set_deadline(past);
  const auto a_task = [&]() -> task<> { co_await done.wait(); };
  for (int which = 0; which != 5; ++which) {
    done.reset();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await cosock::sleep_for(1ms);
        done.set();
      });
      while (!done.is_set()) {
        boost::system::error_code e;
        if (which == 0) e = (co_await as_result(with_timeout(0s, done.wait()))).error();
        if (which == 1) e = (co_await as_result(with_deadline(past, done.wait()))).error();
        if (which == 2) e = (co_await as_result(with_timeout(0s, a_task()))).error();
        if (which == 3) e = (co_await as_result(scope.run(done.wait()))).error();
        if (which == 4)
          e = (co_await as_result(with_timeout(1h, with_timeout(0s, done.wait())))).error();
        BOOST_TEST(e == error::timed_out);
      }
    });
  }
}

BOOST_AUTO_TEST_CASE(
    a_limit_that_has_passed_is_destroyed_while_it_lets_the_others_have_their_turn) {
  const test::alarm_clock guard;
  cosock::event never;
  for (const bool scoped : {false, true}) {
    cosock::cancel_scope scope;
    scope.set_deadline(cosock::clock::time_point());
    const auto work = [&]() -> task<> {
      for (;;)
        if (scoped)
          static_cast<void>(co_await as_result(scope.run(never.wait())));
        else
          static_cast<void>(co_await as_result(with_timeout(0s, never.wait())));
    };
    {
      cosock::loop loop;
      auto running = loop.start(work());
      for (int i = 0; i != 10; ++i) loop.run_some();
      BOOST_TEST(!running.done());
    }
    cosock::loop loop;
    {
      auto running = loop.start(work());
      for (int i = 0; i != 10; ++i) loop.run_some();
    }
    BOOST_TEST(loop.run([&]() -> task<int> {
      BOOST_TEST((co_await as_result(scope.run(never.wait()))).error() == error::timed_out);
      co_return 1;
    }()) == 1);
  }
}
