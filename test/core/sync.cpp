// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/sync.hpp>

#define BOOST_TEST_MODULE sync
#include "allocations.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/when.hpp>

#include <algorithm>
#include <memory>
#include <vector>

namespace {

using boost::system::system_error;
using cosock::as_result;
using cosock::error;
using cosock::event;
using cosock::mutex;
using cosock::nursery;
using cosock::semaphore;
using cosock::task;
using cosock::with_nursery;
using cosock::yield;
using test::is;
using test::run_until_idle;

task<> wait_for(event& e) { co_await e.wait(); }
task<> hold(semaphore& s, std::size_t count, std::vector<int>& order, int number) {
  const auto held = co_await s.acquire(count);
  order.push_back(number);
  co_await yield();
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_event_wakes_everybody_and_stays_set) {
  cosock::loop loop;
  event e;
  auto first = loop.start(wait_for(e));
  auto second = loop.start(wait_for(e));
  run_until_idle(loop);
  e.set();
  e.set();
  BOOST_TEST(e.is_set());
  run_until_idle(loop);
  BOOST_TEST((first.done() && second.done()));
  auto third = loop.start(wait_for(e));
  run_until_idle(loop);
  BOOST_TEST(third.done());
}

BOOST_AUTO_TEST_CASE(an_event_that_is_reset_has_woken_those_who_waited) {
  cosock::loop loop;
  event e;
  auto first = loop.start(wait_for(e));
  run_until_idle(loop);
  e.set();
  e.reset();
  auto second = loop.start(wait_for(e));
  run_until_idle(loop);
  BOOST_TEST(first.done());
  BOOST_TEST(!second.done());
  BOOST_TEST(!e.is_set());
}

BOOST_AUTO_TEST_CASE(a_destroyed_semaphore_ends_those_who_wait_also_with_permits) {
  cosock::loop loop;
  auto s = std::make_unique<semaphore>(0);
  std::vector<int> order;
  auto granted = loop.start(hold(*s, 1, order, 1));
  auto waits = loop.start(hold(*s, 1, order, 2));
  run_until_idle(loop);
  s->release();
  s.reset();
  run_until_idle(loop);
  BOOST_CHECK_EXCEPTION(granted.result(), system_error, is(error::closed));
  BOOST_CHECK_EXCEPTION(waits.result(), system_error, is(error::closed));
  BOOST_TEST(order.empty());
}

BOOST_AUTO_TEST_CASE(permits_are_granted_in_order_and_many_are_not_overtaken_by_few) {
  cosock::loop loop;
  semaphore s(2);
  std::vector<int> order;
  const auto work = [&]() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(hold, std::ref(s), 1u, std::ref(order), 1);
      n.start(hold, std::ref(s), 2u, std::ref(order), 2);
      n.start(hold, std::ref(s), 1u, std::ref(order), 3);
      n.start(hold, std::ref(s), 1u, std::ref(order), 4);
      co_return;
    });
  };
  loop.run(work());
  const std::vector<int> expected = {1, 2, 3, 4};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
  BOOST_TEST(s.available() == 2u);
}

COROUTINE_TEST_CASE(never_more_tasks_than_permits) {
  semaphore s(3);
  int inside = 0;
  int most = 0;
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != 50; ++i)
      n.start(
          [&](int times) -> task<> {
            const auto held = co_await s.acquire();
            most = std::max(most, ++inside);
            for (int k = 0; k != times; ++k) co_await yield();
            --inside;
          },
          i % 4);
    co_return;
  });
  BOOST_TEST(most == 3);
  BOOST_TEST(s.available() == 3u);
}

BOOST_AUTO_TEST_CASE(what_is_cancelled_at_the_head_lets_those_behind_it_go_on) {
  cosock::loop loop;
  semaphore s(1);
  std::vector<int> order;
  auto many = loop.start(hold(s, 5, order, 1));
  run_until_idle(loop);
  auto few = loop.start(hold(s, 1, order, 2));
  run_until_idle(loop);
  BOOST_TEST(!few.done());
  many.cancel();
  run_until_idle(loop);
  BOOST_TEST(few.done());
  BOOST_CHECK_EXCEPTION(many.result(), system_error, is(error::cancelled));
  BOOST_TEST(s.available() == 1u);
}

BOOST_AUTO_TEST_CASE(what_is_destroyed_at_the_head_lets_those_behind_it_go_on) {
  cosock::loop loop;
  semaphore s(1);
  std::vector<int> order;
  auto* many = new cosock::task_handle<void>(loop.start(hold(s, 5, order, 1)));
  run_until_idle(loop);
  auto few = loop.start(hold(s, 1, order, 2));
  run_until_idle(loop);
  BOOST_TEST(!few.done());
  delete many;
  run_until_idle(loop);
  BOOST_TEST(few.done());
  BOOST_TEST(s.available() == 1u);
}

BOOST_AUTO_TEST_CASE(permits_of_a_task_destroyed_before_it_ran_go_to_the_next) {
  cosock::loop loop;
  semaphore s(0);
  std::vector<int> order;
  {
    auto doomed = loop.start(hold(s, 1, order, 1));
    run_until_idle(loop);
    s.release();
    BOOST_TEST(s.available() == 0u);
  }
  BOOST_TEST(s.available() == 1u);
  auto second = loop.start(hold(s, 1, order, 2));
  run_until_idle(loop);
  BOOST_TEST(second.done());
  const std::vector<int> expected = {2};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(trying_never_waits_and_never_overtakes) {
  cosock::loop loop;
  semaphore s(2);
  {
    const auto two = s.try_acquire(2);
    BOOST_TEST(!!two);
    BOOST_TEST(!s.try_acquire());
  }
  BOOST_TEST(s.available() == 2u);
  std::vector<int> order;
  auto waits = loop.start(hold(s, 3, order, 1));
  run_until_idle(loop);
  BOOST_TEST(!s.try_acquire());
  s.release();
  run_until_idle(loop);
  BOOST_TEST(waits.done());
  BOOST_TEST(s.available() == 3u);
}

BOOST_AUTO_TEST_CASE(a_permit_is_given_back_once) {
  semaphore s(1);
  auto a = s.try_acquire();
  auto b = std::move(a);
  BOOST_TEST(!a);
  BOOST_TEST(!!b);
  a = std::move(b);
  a.release();
  a.release();
  BOOST_TEST(s.available() == 1u);
  auto c = s.try_acquire();
  c.forget();
  c.release();
  BOOST_TEST(s.available() == 0u);
}

COROUTINE_TEST_CASE(a_mutex_keeps_what_waits_inside_from_being_interleaved) {
  mutex m;
  std::vector<int> order;
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != 5; ++i)
      n.start(
          [&](int number) -> task<> {
            const auto held = co_await m.lock();
            BOOST_TEST(m.is_locked());
            BOOST_TEST(!m.try_lock());
            order.push_back(number);
            co_await yield();
            order.push_back(number);
          },
          i);
    co_return;
  });
  const std::vector<int> expected = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
  BOOST_TEST(!m.is_locked());
}

COROUTINE_TEST_CASE(a_task_that_never_has_to_wait_lets_others_run) {
  for (int kind = 0; kind != 2; ++kind) {
    bool other = false;
    mutex m;
    event e;
    e.set();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await yield();
        other = true;
      });
      while (!other) {
        if (kind == 0)
          static_cast<void>(co_await m.lock());
        else
          co_await e.wait();
      }
    });
    BOOST_TEST(other);
    BOOST_TEST(!m.is_locked());
  }
}

COROUTINE_TEST_CASE(a_permit_that_a_loser_of_when_any_got_all_the_same_is_not_lost) {
  semaphore s(0);
  event e;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await yield();
      e.set();
      s.release();
    });
    auto both = co_await cosock::when_any(e.wait(), s.acquire());
    BOOST_TEST(both.index == 0u);
    BOOST_TEST(both.get<1>().has_value());
    BOOST_TEST(s.available() == 0u);
  });
  BOOST_TEST(s.available() == 1u);
}

COROUTINE_TEST_CASE(waiting_allocates_nothing) {
  semaphore s(0);
  event e;
  const auto rounds = [&](int times) -> task<> {
    for (int i = 0; i != times; ++i) {
      const auto held = co_await s.acquire();
      co_await e.wait();
      e.reset();
    }
  };
  const auto drive = [&](int times) -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(rounds, times);
      while (n.active() != 1) {
        if (s.available() == 0) s.release();
        e.set();
        co_await yield();
      }
    });
  };
  co_await drive(1);
  test::allocations_until_failure = 1'000'000;
  co_await drive(100);
  const long used = 1'000'000 - test::allocations_until_failure.exchange(-1);
  BOOST_TEST(used < 20);  // frames and the nursery, once
}
