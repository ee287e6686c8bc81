// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/time.hpp>

#define BOOST_TEST_MODULE time
#include "allocations.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <cosock/nursery.hpp>

#include <malloc.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::clock;
using cosock::error;
using cosock::nursery;
using cosock::sleep_for;
using cosock::sleep_until;
using cosock::task;
using cosock::with_nursery;
using cosock::yield;
using test::forever;
using test::instance_counter;
using test::is;
using test::run_until_idle;
using strings = std::vector<std::string>;

task<> sleep_and_note(clock::time_point until, std::vector<int>& in, int number) {
  co_await sleep_until(until);
  BOOST_TEST((clock::now() >= until));
  in.push_back(number);
}

task<> yield_and_note(strings& in, std::string what, int times) {
  for (int i = 0; i != times; ++i) {
    in.push_back(what);
    co_await yield();
  }
}

}  // namespace

COROUTINE_TEST_CASE(a_sleep_is_never_too_short) {
  for (const std::chrono::nanoseconds d : {1ns, 999ns, 65'535ns, 65'536ns, 65'537ns, 1'000'000ns,
                                           1'234'567ns, 4'194'304ns, 10'000'000ns}) {
    for (int i = 0; i != 3; ++i) {
      const auto begun = clock::now();
      co_await sleep_for(d);
      BOOST_TEST((clock::now() - begun >= d));
      const auto until = clock::now() + d;
      co_await sleep_until(until);
      BOOST_TEST((clock::now() >= until));
    }
  }
}

COROUTINE_TEST_CASE(durations_of_other_types_are_never_too_short) {
  const auto begun = clock::now();
  const std::chrono::duration<double> fraction(0.0012345);
  co_await sleep_for(fraction);
  BOOST_TEST((clock::now() - begun >= fraction));
  const auto again = clock::now();
  const std::chrono::duration<int, std::ratio<1, 3000>> third(4);
  co_await sleep_for(third);
  BOOST_TEST((clock::now() - again >= third));
}

VIRTUAL_TEST_CASE(sleeps_end_in_the_order_of_their_times) {
  std::vector<int> order;
  std::vector<int> numbers(20);
  for (int i = 0; i != 20; ++i) numbers[static_cast<std::size_t>(i)] = i;
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(7));
  const auto first = cosock::now() + 1h;
  co_await with_nursery([&](nursery& n) -> task<> {
    for (const int i : numbers) n.start(sleep_and_note, first + i * 300us, std::ref(order), i);
    co_return;
  });
  std::sort(numbers.begin(), numbers.end());
  BOOST_TEST(order == numbers, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(a_sleep_of_zero_or_less_lets_others_run_once) {
  using std::chrono::duration;
  strings order;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(yield_and_note, std::ref(order), "other", 9);
    co_await sleep_for(0s);
    order.push_back("zero");
    co_await sleep_for(-1s);
    order.push_back("negative");
    co_await sleep_for(std::chrono::hours::min());
    order.push_back("hours");
    const duration<double> ages(-std::numeric_limits<double>::infinity());
    co_await sleep_for(ages);
    order.push_back("infinity");
    co_await sleep_until(clock::time_point());
    order.push_back("past");
    co_await sleep_until(clock::time_point::min());
    order.push_back("minimum");
    co_await sleep_until(clock::now());
    order.push_back("now");
    n.cancel();
  });
  strings expected;
  for (const char* each : {"zero", "negative", "hours", "infinity", "past", "minimum", "now"}) {
    expected.push_back("other");
    expected.push_back(each);
  }
  expected.push_back("other");
  order.resize(std::min(order.size(), expected.size()));
  expected.resize(order.size());
  BOOST_TEST(order.size() >= 14u);
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_longest_sleeps_do_not_end) {
  cosock::loop loop;
  const std::chrono::duration<double> infinite(std::numeric_limits<double>::infinity());
  const auto sleep_in_vain = [](auto operation) -> task<> { co_await std::move(operation); };
  auto a = loop.start(sleep_in_vain(sleep_for(std::chrono::hours::max())));
  auto b = loop.start(sleep_in_vain(sleep_for(std::chrono::nanoseconds::max())));
  auto c = loop.start(sleep_in_vain(sleep_for(infinite)));
  auto d = loop.start(sleep_in_vain(sleep_until(clock::time_point::max())));
  const auto short_one = []() -> task<> { co_await sleep_for(2ms); };
  loop.run(short_one());
  BOOST_TEST((!a.done() && !b.done() && !c.done() && !d.done()));
}

COROUTINE_TEST_CASE(yielding_tasks_take_turns) {
  strings order;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(yield_and_note, std::ref(order), "a", 3);
    n.start(yield_and_note, std::ref(order), "b", 3);
    n.start(yield_and_note, std::ref(order), "c", 3);
    co_return;
  });
  const strings expected = {"a", "b", "c", "a", "b", "c", "a", "b", "c"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(a_yield_lets_the_loop_look_for_events) {
  bool called = false;
  cosock::loop::current().post([&] { called = true; });
  int yields = 0;
  while (!called) {
    co_await yield();
    ++yields;
  }
  BOOST_TEST(yields <= 3);
  // Timers, too, are not starved by a task that never waits for anything else.
  bool slept = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await sleep_for(2ms);
      slept = true;
    });
    while (!slept) co_await yield();
  });
  BOOST_TEST(slept);
}

COROUTINE_TEST_CASE(the_time_of_a_sleep_counts_from_the_await) {
  auto kept = sleep_for(10ms);
  co_await sleep_for(3ms);
  const auto begun = clock::now();
  co_await std::move(kept);
  BOOST_TEST((clock::now() - begun >= 10ms));
}

COROUTINE_TEST_CASE(a_shorter_sleep_ends_before_a_longer_one_that_began_earlier) {
  bool ended = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([]() -> task<> { co_await sleep_for(1h); });
    co_await yield();
    co_await sleep_for(1ms);
    ended = true;
    n.cancel();
  });
  BOOST_TEST(ended);
}

COROUTINE_TEST_CASE(sleeps_work_after_the_loop_stood_still) {
  for (int i = 0; i != 3; ++i) {
    co_await sleep_for(1ms);
    std::this_thread::sleep_for(7ms);
    const auto begun = clock::now();
    co_await sleep_for(2ms);
    BOOST_TEST((clock::now() - begun >= 2ms));
  }
}

BOOST_AUTO_TEST_CASE(sleeps_that_passed_while_the_thread_was_busy_end_in_the_order_of_their_times) {
  for (auto after = 2ms;; after *= 2) {
    cosock::loop loop;
    std::vector<int> order;
    const auto first = clock::now() + after;
    const auto work = [&]() -> task<> {
      co_await with_nursery([&](nursery& n) -> task<> {
        for (int i = 9; i != -1; --i) n.start(sleep_and_note, first + i * 1ms, std::ref(order), i);
        co_return;
      });
    };
    auto root = loop.start(work());
    run_until_idle(loop);
    if (clock::now() >= first) continue;
    std::this_thread::sleep_until(first + 20ms);
    while (!root.done()) loop.run_some();
    const std::vector<int> expected = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    BOOST_TEST(order == expected, boost::test_tools::per_element());
    break;
  }
}

BOOST_AUTO_TEST_CASE(a_sleep_is_cancelled_at_once_and_leaves_others_alone) {
  cosock::loop loop;
  const auto sleeper = [](std::chrono::nanoseconds d) -> task<> { co_await sleep_for(d); };
  auto first = loop.start(sleeper(1ms));
  auto second = loop.start(sleeper(1h));
  auto third = loop.start(sleeper(3ms));
  run_until_idle(loop);
  second.cancel();
  run_until_idle(loop);
  BOOST_REQUIRE(second.done());
  BOOST_CHECK_EXCEPTION(second.result(), system_error, is(error::cancelled));
  while (!first.done() || !third.done()) loop.run_some();
  first.result();
  third.result();
}

BOOST_AUTO_TEST_CASE(the_nearest_sleep_is_cancelled_and_the_next_one_still_ends) {
  cosock::loop loop;
  const auto sleeper = [](std::chrono::nanoseconds d) -> task<> { co_await sleep_for(d); };
  auto nearest = loop.start(sleeper(2ms));
  auto next = loop.start(sleeper(4ms));
  run_until_idle(loop);
  nearest.cancel();
  while (!next.done()) loop.run_some();
  next.result();
  BOOST_TEST(nearest.done());
}

COROUTINE_TEST_CASE(a_hundred_thousand_sleeps_end_and_none_too_early) {
  constexpr int many = 100'000;
  int ended = 0;
  int early = 0;
  std::mt19937 random(42);
  const auto sleeper = [&](std::chrono::microseconds d) -> task<> {
    const auto until = clock::now() + d;
    co_await sleep_for(d);
    if (clock::now() < until) ++early;
    ++ended;
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != many; ++i) n.start(sleeper, std::chrono::microseconds(random() % 20'000));
    co_return;
  });
  BOOST_TEST(ended == many);
  BOOST_TEST(early == 0);
}

namespace {

task<> cancel_many_sleeps(int many) {
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != many; ++i)
      n.start(
          [](int k) -> task<> {
            static_cast<void>(co_await as_result(sleep_for(1h + std::chrono::microseconds(k))));
          },
          i);
    co_await yield();
    n.cancel();
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_hundred_thousand_cancelled_sleeps_leave_nothing_behind) {
  cosock::loop loop;
  loop.run(cancel_many_sleeps(1000));
  [[maybe_unused]] const auto before = static_cast<long>(mallinfo2().uordblks);
  loop.run(cancel_many_sleeps(100'000));
#if !COSOCK_TEST_SANITIZED
  BOOST_TEST(static_cast<long>(mallinfo2().uordblks) - before < 4096);
#endif
  BOOST_TEST(loop.poll() == 0u);
}

BOOST_AUTO_TEST_CASE(timers_fire_although_there_was_no_memory) {
  const test::alarm_clock guard;
  int slept = 0;
  const auto sleeps = [&]() -> task<> {
    co_await cosock::sleep_for(1ms);
    const auto limited =
        co_await cosock::as_result(cosock::with_timeout(1ms, cosock::sleep_for(1h)));
    BOOST_TEST(limited.error() == cosock::error::timed_out);
    ++slept;
  };
  int worked = 0;
  test::fail_each_allocation([&] {
    try {
      cosock::loop loop;
      loop.run(sleeps());
      ++worked;
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  });
  BOOST_TEST(worked >= 5);
  BOOST_TEST(slept == worked);
}
