// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// cancel, and nurseries that are cancelled from outside.

#include <cosock/nursery.hpp>

#define BOOST_TEST_MODULE nursery_cancel
#include "manual_event.hpp"
#include "nursery_fixture.hpp"
#include "support.hpp"

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::error;
using cosock::nursery;
using cosock::shielded;
using cosock::task;
using cosock::with_nursery;
using cosock::with_timeout;
using test::fail_when_cancelled;
using test::forever;
using test::instance_counter;
using test::is;
using test::manual_event;
using test::note;
using test::run_until_idle;
using test::text;
using test::wait_for_ever;
using strings = std::vector<std::string>;

}  // namespace

COROUTINE_TEST_CASE(cancel_all_ends_everybody_and_returns_normally) {
  const int before = instance_counter::alive;
  bool body_passed = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(wait_for_ever);
    n.start(wait_for_ever);
    co_await cosock::yield();
    BOOST_TEST(!n.is_cancelled());
    n.cancel();
    n.cancel();
    BOOST_TEST(n.is_cancelled());
    BOOST_TEST(n.active() == 3u);
    co_await cosock::yield();
    body_passed = true;
  });
  BOOST_TEST(!body_passed);
  BOOST_TEST(instance_counter::alive == before);
}

COROUTINE_TEST_CASE(a_child_cancels_all) {
  bool reached = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(wait_for_ever);
    n.start([&]() -> task<> {
      n.cancel();
      reached = true;
      co_return;
    });
    co_await forever();
  });
  BOOST_TEST(reached);
}

COROUTINE_TEST_CASE(a_child_started_after_cancel_all_runs_to_its_first_wait) {
  strings order;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.cancel();
    n.start([&]() -> task<> {
      order.push_back("began");
      co_await cosock::yield();
      order.push_back("not reached");
    });
    n.start(note, std::ref(order), "completed");
    co_return;
  });
  const strings expected = {"began", "completed"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(an_error_after_cancel_all_is_thrown) {
  BOOST_CHECK_THROW(co_await with_nursery([](nursery& n) -> task<> {
                      n.start(fail_when_cancelled, text("x"));
                      co_await cosock::yield();
                      n.cancel();
                    }),
                    std::runtime_error);
}

COROUTINE_TEST_CASE(a_cancellation_from_outside_ends_all_and_is_thrown) {
  const int before = instance_counter::alive;
  cancel_scope scope;
  bool seen_inside = false;
  co_await with_nursery([&](nursery& outside) -> task<> {
    outside.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(with_nursery([&](nursery& n) -> task<> {
        n.start(wait_for_ever);
        n.start(wait_for_ever);
        const auto r = co_await as_result(forever());
        seen_inside = n.is_cancelled() && r.error() == error::cancelled;
      })),
                            system_error, is(error::cancelled));
    });
    co_await cosock::yield();
    co_await cosock::yield();
    scope.cancel();
  });
  BOOST_TEST(seen_inside);
  BOOST_TEST(instance_counter::alive == before);
}

COROUTINE_TEST_CASE(a_nursery_in_a_cancelled_scope_is_cancelled_from_the_start) {
  cancel_scope scope;
  scope.cancel();
  bool began = false;
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_nursery([&](nursery& n) -> task<> {
    began = n.is_cancelled();
    n.start(wait_for_ever);
    co_return;
  })),
                        system_error, is(error::cancelled));
  BOOST_TEST(began);
}

BOOST_AUTO_TEST_CASE(a_nursery_whose_tasks_all_complete_all_the_same_was_not_cancelled) {
  cosock::loop loop;
  manual_event first;
  manual_event second;
  const auto work = [&]() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] { return first.wait(); });
      co_await second.wait();
    });
  };
  auto root = loop.start(work());
  run_until_idle(loop);
  first.set();
  second.set();
  root.cancel();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_NO_THROW(root.result());
}

BOOST_AUTO_TEST_CASE(an_error_comes_before_a_cancellation_from_outside) {
  cosock::loop loop;
  const auto work = []() -> task<> {
    co_await with_nursery([](nursery& n) -> task<> {
      n.start(fail_when_cancelled, text("x"));
      n.start(wait_for_ever);
      co_return;
    });
  };
  auto root = loop.start(work());
  run_until_idle(loop);
  root.cancel();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_THROW(root.result(), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_child_that_refuses_to_end_at_once_is_waited_for) {
  cosock::loop loop;
  manual_event g;
  bool cleaned_up = false;
  const auto work = [&]() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await shielded(g.wait());
        cleaned_up = true;
      });
      co_await cosock::yield();
      throw std::runtime_error("body");
    });
  };
  auto root = loop.start(work());
  run_until_idle(loop);
  BOOST_TEST(!root.done());
  root.cancel();
  run_until_idle(loop);
  BOOST_TEST(!root.done());
  g.set();
  run_until_idle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_TEST(cleaned_up);
  BOOST_CHECK_THROW(root.result(), std::runtime_error);
}

COROUTINE_TEST_CASE(cancelling_an_inner_nursery_leaves_the_outer_one_alone) {
  bool outer_child_passed = false;
  co_await with_nursery([&](nursery& outer) -> task<> {
    outer.start([&]() -> task<> {
      for (int i = 0; i != 5; ++i) co_await cosock::yield();
      outer_child_passed = true;
    });
    co_await with_nursery([](nursery& inner) -> task<> {
      inner.start(wait_for_ever);
      inner.cancel();
      co_return;
    });
    BOOST_TEST(!outer.is_cancelled());
  });
  BOOST_TEST(outer_child_passed);
}

COROUTINE_TEST_CASE(cancelling_an_outer_nursery_reaches_the_inner_ones) {
  const int before = instance_counter::alive;
  co_await with_nursery([](nursery& outer) -> task<> {
    outer.start([]() -> task<> {
      co_await with_nursery([](nursery& inner) -> task<> {
        inner.start(wait_for_ever);
        inner.start([]() -> task<> {
          co_await with_nursery([](nursery& innermost) -> task<> {
            innermost.start(wait_for_ever);
            co_await with_timeout(1h, wait_for_ever());
          });
        });
        co_return;
      });
    });
    for (int i = 0; i != 3; ++i) co_await cosock::yield();
    outer.cancel();
  });
  BOOST_TEST(instance_counter::alive == before);
}
