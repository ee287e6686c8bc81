// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// shielded and with_grace: what a cancellation reaches later, or not at all.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel_shields
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "suspensions.hpp"

#include <cosock/nursery.hpp>

#include <string>
#include <vector>

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
using cosock::with_grace;
using cosock::with_nursery;
using cosock::with_timeout;
using test::forever;
using test::give_later;
using test::is;
using test::kind;
using test::protecting;
using test::run_until_idle;

}  // namespace

COROUTINE_TEST_CASE(what_is_shielded_runs_in_a_cancelled_scope) {
  cancel_scope scope;
  int value = 0;
  bool later = false;
  const auto body = [&]() -> task<> {
    scope.cancel();
    value = co_await shielded(give_later(3));
    co_await shielded(cosock::sleep_for(1ms));
    co_await shielded(cosock::yield());
    later = true;
    co_await cosock::yield();
    value = 0;
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::cancelled));
  BOOST_TEST(value == 3);
  BOOST_TEST(later);
}

BOOST_AUTO_TEST_CASE(what_is_shielded_goes_on_when_it_is_cancelled_while_it_waits) {
  for (const kind& k : protecting) {
    BOOST_TEST_CONTEXT(k.name) {
      cosock::loop loop;
      cosock::event e;
      error_code after;
      const auto body = [&]() -> task<> {
        co_await k.wait(e);
        after = (co_await as_result(cosock::yield())).error();
      };
      auto root = loop.start(body());
      run_until_idle(loop);
      root.cancel();
      run_until_idle(loop);
      BOOST_TEST(!root.done());
      e.set();
      run_until_idle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_NO_THROW(root.result());
      BOOST_TEST(after == error::cancelled);
    }
  }
}

COROUTINE_TEST_CASE(a_limit_of_its_own_ends_what_is_shielded) {
  cancel_scope scope;
  error_code inside;
  error_code after;
  const auto body = [&]() -> task<> {
    scope.cancel();
    inside = (co_await as_result(shielded(with_timeout(1ms, forever())))).error();
    after = (co_await as_result(cosock::yield())).error();
  };
  co_await scope.run(body());
  BOOST_TEST(inside == error::timed_out);
  BOOST_TEST(after == error::cancelled);
}

COROUTINE_TEST_CASE(a_scope_inside_a_shield_can_be_cancelled) {
  cancel_scope inner;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await shielded(inner.run(forever())), system_error,
                            is(error::cancelled));
    });
    co_await cosock::yield();
    inner.cancel();
  });
}

COROUTINE_TEST_CASE(shields_nest) {
  cancel_scope scope;
  int reached = 0;
  const auto inner = [&]() -> task<> {
    co_await shielded(cosock::yield());
    ++reached;
    co_await cosock::yield();  // still inside the outer shield
    ++reached;
  };
  const auto body = [&]() -> task<> {
    scope.cancel();
    co_await shielded(shielded(inner()));
    co_await cosock::yield();
    ++reached;
  };
  BOOST_CHECK_THROW(co_await scope.run(body()), system_error);
  BOOST_TEST(reached == 2);
}

COROUTINE_TEST_CASE(a_shield_keeps_a_limit_out_and_its_value_counts) {
  const auto slow = []() -> task<int> {
    co_await cosock::sleep_for(5ms);
    co_return 8;
  };
  BOOST_TEST(co_await with_timeout(1ms, shielded(slow())) == 8);
}

COROUTINE_TEST_CASE(a_shield_inside_a_cancelled_task_is_for_clean_up) {
  std::vector<std::string> order;
  const auto worker = [&]() -> task<> {
    bool cancelled = false;
    try {
      co_await forever();
    } catch (const system_error&) {
      cancelled = true;
    }
    if (cancelled) co_await shielded(with_timeout(10s, cosock::sleep_for(1ms)));
    order.push_back("cleaned up");
    throw system_error(error::cancelled);
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(worker);
    co_await cosock::yield();
    n.cancel();
  });
  order.push_back("left");
  BOOST_TEST((order == std::vector<std::string>{"cleaned up", "left"}));
}

COROUTINE_TEST_CASE(a_grace_ends_some_time_after_the_cancellation) {
  cancel_scope scope;
  clock::time_point cancelled_at;
  error_code inside;
  const auto body = [&]() -> task<> {
    const auto result = co_await as_result(with_grace(5ms, forever()));
    inside = result.error();
    result.value();
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::cancelled));
      BOOST_TEST((clock::now() - cancelled_at >= 5ms));
    });
    co_await cosock::sleep_for(2ms);
    cancelled_at = clock::now();
    scope.cancel();
  });
  BOOST_TEST(inside == error::cancelled);
}

COROUTINE_TEST_CASE(a_grace_lets_what_has_begun_complete) {
  cancel_scope scope;
  BOOST_TEST(co_await scope.run(with_grace(1h, give_later(1))) == 1);
  scope.cancel();
  BOOST_TEST(co_await scope.run(with_grace(1h, give_later(2))) == 2);
  BOOST_TEST(co_await scope.run(with_grace(std::chrono::hours::max(), give_later(3))) == 3);
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_grace(2ms, forever())), system_error,
                        is(error::cancelled));
}

COROUTINE_TEST_CASE(no_grace_is_none) {
  cancel_scope scope;
  scope.cancel();
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_grace(0s, give_later(1))), system_error,
                        is(error::cancelled));
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_grace(-1s, cosock::yield())), system_error,
                        is(error::cancelled));
}
