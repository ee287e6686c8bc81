// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// How everything that may suspend ends when it is cancelled, completed or destroyed.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel_waits
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "suspensions.hpp"

#include <memory>
#include <stdexcept>

namespace {

using boost::system::system_error;
using cosock::cancel_scope;
using cosock::error;
using cosock::task;
using test::all_kinds;
using test::before_a_deadline;
using test::cancellable;
using test::counted;
using test::gate;
using test::is;
using test::kind;
using test::run_in;
using test::settle;
using clock = std::chrono::steady_clock;

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_cancelled_before_it_starts_fails_at_once) {
  for (const kind& k : cancellable) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      cosock::loop loop;
      gate g;
      cancel_scope scope;
      scope.cancel();
      auto root = loop.start(run_in(scope, k.wait(g)));
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
      BOOST_TEST(counted::alive == before);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_cancelled_while_it_waits_ends_in_the_next_turn) {
  for (const kind& k : cancellable) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      cosock::loop loop;
      gate g;
      auto root = loop.start(k.wait(g));
      settle(loop);
      BOOST_TEST(!root.done());
      root.cancel();
      BOOST_TEST(!root.done());
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
      BOOST_TEST(counted::alive == before);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_completes_in_the_turn_of_its_cancellation_has_completed) {
  for (const kind& k : all_kinds()) {
    if (!k.completes) continue;
    BOOST_TEST_CONTEXT(k.name) {
      cosock::loop loop;
      gate g;
      auto root = loop.start(k.wait(g));
      settle(loop);
      BOOST_TEST(!root.done());
      g.open();
      root.cancel();
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_NO_THROW(root.result());
    }
  }
}

BOOST_AUTO_TEST_CASE(what_waits_completes_when_nothing_cancels_it) {
  for (const kind& k : all_kinds()) {
    if (!k.completes) continue;
    BOOST_TEST_CONTEXT(k.name) {
      cosock::loop loop;
      gate g;
      auto root = loop.start(k.wait(g));
      settle(loop);
      BOOST_TEST(!root.done());
      g.open();
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_NO_THROW(root.result());
    }
  }
}

BOOST_AUTO_TEST_CASE(what_waits_is_destroyed_with_its_loop) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      auto loop = std::make_unique<cosock::loop>();
      auto root = loop->start(k.wait(g));
      settle(*loop);
      BOOST_TEST(counted::alive > before);
      loop.reset();
      BOOST_TEST(counted::alive == before);
      BOOST_CHECK_THROW(root.result(), std::logic_error);
      root.cancel();
      g.open();
    }
  }
}

BOOST_AUTO_TEST_CASE(what_waits_is_destroyed_with_its_task) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      cosock::loop loop;
      gate g;
      {
        auto root = loop.start(k.wait(g));
        settle(loop);
        BOOST_TEST(counted::alive > before);
      }
      BOOST_TEST(counted::alive == before);
      g.open();
      settle(loop);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_was_cancelled_is_destroyed_before_its_turn_comes) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      cosock::loop loop;
      {
        auto root = loop.start(k.wait(g));
        settle(loop);
        root.cancel();
      }
      BOOST_TEST(counted::alive == before);
      settle(loop);
      gate again;
      auto other = std::make_unique<cosock::loop>();
      auto root = other->start(k.wait(again));
      settle(*other);
      root.cancel();
      other.reset();
      BOOST_TEST(counted::alive == before);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_completed_is_destroyed_before_its_turn_comes) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      cosock::loop loop;
      {
        auto root = loop.start(k.wait(g));
        settle(loop);
        g.open();
      }
      BOOST_TEST(counted::alive == before);
      settle(loop);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_never_had_a_turn_is_destroyed) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      cosock::loop loop;
      {
        auto root = loop.start(k.wait(g));
        root.cancel();
      }
      BOOST_TEST(counted::alive == before);
      settle(loop);
    }
  }
}

namespace {

task<> yield_once(bool& passed) {
  const counted local;
  co_await cosock::yield();
  passed = true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_before_it_starts) {
  bool passed = false;
  cosock::loop loop;
  auto root = loop.start(yield_once(passed));
  root.cancel();
  settle(loop);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_while_it_waits) {
  bool passed = false;
  cosock::loop loop;
  auto root = loop.start(yield_once(passed));
  loop.run_some();
  BOOST_TEST(!root.done());
  root.cancel();
  settle(loop);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_in_the_turn_in_which_it_would_go_on) {
  bool passed = false;
  cosock::loop loop;
  cosock::task_handle<void>* second = nullptr;
  const auto canceller = [&]() -> task<> {
    co_await cosock::yield();
    second->cancel();
  };
  auto first = loop.start(canceller());
  auto yields = loop.start(yield_once(passed));
  second = &yields;
  settle(loop);
  BOOST_TEST(first.done());
  BOOST_CHECK_EXCEPTION(yields.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_destroyed_with_its_task_and_with_its_loop) {
  const int before = counted::alive;
  bool passed = false;
  auto loop = std::make_unique<cosock::loop>();
  {
    auto root = loop->start(yield_once(passed));
    loop->run_some();
    BOOST_TEST(counted::alive == before + 1);
  }
  BOOST_TEST(counted::alive == before);
  settle(*loop);
  auto root = loop->start(yield_once(passed));
  loop->run_some();
  loop.reset();
  BOOST_TEST(counted::alive == before);
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_sleep_is_cancelled_in_the_turn_in_which_it_expires) {
  before_a_deadline([](clock::time_point at) {
    cosock::loop loop;
    cosock::task_handle<void>* sleeping = nullptr;
    const auto canceller = [&]() -> task<> {
      co_await cosock::sleep_until(at);
      sleeping->cancel();
    };
    const auto sleeper = [&]() -> task<> { co_await cosock::sleep_until(at); };
    auto first = loop.start(canceller());
    auto second = loop.start(sleeper());
    sleeping = &second;
    settle(loop);
    if (clock::now() >= at) return false;
    while (!second.done()) loop.run_some();
    BOOST_CHECK_EXCEPTION(second.result(), system_error, is(error::cancelled));
    return true;
  });
}
