// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/loop_counters.hpp>

#define BOOST_TEST_MODULE loop_counters
#include "support.hpp"

#include <cosock/local.hpp>
#include <cosock/reader.hpp>
#include <cosock/sync.hpp>
#include <cosock/watch.hpp>
#include <cosock/when.hpp>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cosock::loop;
using cosock::loop_counters;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using std::chrono::steady_clock;

loop_counters counters() { return loop::current().counters(); }

void compute(std::chrono::nanoseconds span) {
  const auto end = steady_clock::now() + span;
  while (steady_clock::now() < end) continue;
}

std::uint64_t sum(const loop_counters& c, std::size_t first = 0) {
  return std::accumulate(c.delays.begin() + static_cast<std::ptrdiff_t>(first), c.delays.end(),
                         std::uint64_t{0});
}

/// The first bucket whose delays are all longer than this.
std::size_t bucket_above(std::chrono::nanoseconds delay) {
  std::size_t bucket = 0;
  while (loop_counters::delay_bound(bucket) < delay) ++bucket;
  return bucket + 1;
}

constexpr cosock::watch_options silent = {.slow_turn = cosock::unlimited};

}  // namespace

BOOST_AUTO_TEST_CASE(a_new_loop_has_counted_nothing) {
  const loop fresh;
  const loop_counters c = fresh.counters();
  for (const std::uint64_t n :
       {std::uint64_t{c.tasks}, std::uint64_t{c.ready}, std::uint64_t{c.descriptors},
        std::uint64_t{c.timers}, std::uint64_t{c.look_ups_running},
        std::uint64_t{c.look_ups_queued}, std::uint64_t{c.ready_peak}, c.completed_at_once,
        c.completed_after_wait, c.budget_yields, c.messages, sum(c)})
    BOOST_TEST(n == 0u);
  BOOST_TEST((c.longest_turn == 0ns));
}

BOOST_AUTO_TEST_CASE(tasks_count_until_they_end_or_are_destroyed) {
  const test::alarm_clock guard;
  loop on;
  cosock::event gate;
  auto both = on.start([](cosock::event& gate) -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> { co_await gate.wait(); });
      n.start([&]() -> task<> { co_await gate.wait(); });
      co_await cosock::yield();
      BOOST_TEST(counters().tasks == 4u);  // the root, this body, and its children
    });
    BOOST_TEST(counters().tasks == 1u);
  }(gate));
  for (int i = 0; i != 5; ++i) on.poll();
  BOOST_TEST(on.counters().tasks == 3u);
  {
    auto destroyed = on.start([](cosock::event& gate) -> task<> {
      co_await cosock::when_all(gate.wait(), gate.wait());
    }(gate));
    for (int i = 0; i != 5; ++i) on.poll();
    BOOST_TEST(on.counters().tasks == 6u);
  }
  BOOST_TEST(on.counters().tasks == 3u);
  gate.set();
  for (int i = 0; i != 5; ++i) on.poll();
  BOOST_TEST(both.done());
  BOOST_TEST(on.counters().tasks == 0u);
}

BOOST_AUTO_TEST_CASE(the_peak_of_what_was_ready_counts_more_than_a_turn_resumes) {
  const test::alarm_clock guard;
  for (const std::size_t number : {1u, 100u, 1023u, 1024u, 1025u, 5000u}) {
    loop on;
    std::vector<std::unique_ptr<cosock::task_handle<void>>> all;
    const auto nothing = []() -> task<> { co_return; };
    for (std::size_t i = 0; i != number; ++i)
      all.emplace_back(new cosock::task_handle<void>(on.start(nothing())));
    BOOST_TEST(on.counters().ready == number);
    BOOST_TEST(on.counters().ready_peak == 0u);
    while (on.poll() != 0) continue;
    BOOST_TEST(on.counters().ready == 0u);
    BOOST_TEST(on.counters().ready_peak == number);
  }
}

COROUTINE_TEST_CASE(a_later_and_larger_peak_counts) {
  for (const std::size_t number : {10u, 3u, 2000u, 10u, 4000u, 30u}) {
    co_await with_nursery([&](nursery& n) -> task<> {
      for (std::size_t i = 0; i != number; ++i) n.start([]() -> task<> { co_return; });
      co_return;
    });
    co_await cosock::yield();  // a turn counts when it ends
    BOOST_TEST(counters().ready_peak >= number);
    BOOST_TEST(counters().ready_peak <= 2 * 4000u);
  }
}

COROUTINE_TEST_CASE(descriptors_and_timers_count_while_they_are_waited_for) {
  co_await cosock::yield();  // the limit of this test has its timer then
  const loop_counters before = counters();
  {
    auto [a, b] = cosock::local_pair();
    char byte;
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i != 3; ++i) n.start([]() -> task<> { co_await cosock::sleep_for(1h); });
      n.start([&]() -> task<> {
        co_await cosock::with_timeout(1s, a.receive(cosock::buffer(&byte, 1)));
      });
      co_await cosock::yield();
      co_await cosock::yield();
      BOOST_TEST(counters().descriptors == before.descriptors + 2);
      BOOST_TEST(counters().timers == before.timers + 4);
      n.cancel();
    });
  }
  BOOST_TEST(counters().descriptors == before.descriptors);
  BOOST_TEST(counters().timers == before.timers);
}

COROUTINE_TEST_CASE(an_operation_counts_as_one_that_waited_or_one_that_did_not) {
  auto [a, b] = cosock::local_pair();
  cosock::buffered_reader lines(b);
  co_await cosock::yield();
  loop_counters last = counters();
  const auto check = [&](std::uint64_t at_once, std::uint64_t after_wait, const char* what) {
    const loop_counters now = counters();
    BOOST_TEST(now.completed_at_once - last.completed_at_once == at_once, what);
    BOOST_TEST(now.completed_after_wait - last.completed_after_wait == after_wait, what);
    last = now;
  };
  co_await a.send("12\n");
  check(1, 0, "send");
  co_await cosock::yield();
  check(0, 1, "yield");
  co_await lines.read_line();
  check(1, 0, "a line that has arrived");
  co_await cosock::sleep_for(1ms);
  check(0, 1, "sleep");
  // The second time a receive tries before it waits: the first one has filled its buffer, so there could be more.
  char byte;
  for (int i = 0; i != 2; ++i) {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> { co_await a.receive(cosock::buffer(&byte, 1)); });
      co_await cosock::yield();
      co_await cosock::yield();
      check(0, 2, "a receive that waits, and yields");
      co_await b.send("x");
    });
    check(1, 1, "that receive, and its send");
  }
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await lines.read_line(); });
    co_await cosock::yield();
    co_await cosock::yield();
    check(0, 2, "a reader that waits");
    co_await a.send("x\n");
  });
  check(1, 1, "that reader, and its send");
  BOOST_TEST(last.budget_yields == 0u);
}

COROUTINE_TEST_CASE(a_task_that_never_waits_yields_by_its_budget) {
  cosock::event set;
  set.set();
  co_await cosock::yield();
  const loop_counters before = counters();
  for (int i = 0; i != 100; ++i) co_await set.wait();
  const loop_counters after = counters();
  const std::uint64_t at_once = after.completed_at_once - before.completed_at_once;
  const std::uint64_t yields = after.budget_yields - before.budget_yields;
  BOOST_TEST(at_once + yields == 100u);
  BOOST_TEST(after.completed_after_wait - before.completed_after_wait == yields);
  BOOST_TEST(yields == 3u);  // 32 at once, then a turn for the next
}

BOOST_AUTO_TEST_CASE(messages_count_when_they_are_delivered) {
  const test::alarm_clock guard;
  loop on;
  std::thread([&] {
    for (int i = 0; i != 3; ++i) on.post([] {});
  }).join();
  BOOST_TEST(on.counters().messages == 0u);
  on.poll();
  BOOST_TEST(on.counters().messages == 3u);
}

BOOST_AUTO_TEST_CASE(the_bounds_of_delays_are_powers_of_two_of_16_microseconds) {
  BOOST_TEST((loop_counters::delay_bound(0) == 16us));
  BOOST_TEST((loop_counters::delay_bound(1) == 32us));
  BOOST_TEST((loop_counters::delay_bound(15) == 524'288us));
  BOOST_TEST((loop_counters::delay_bound(16) == 524'288us));
  BOOST_TEST((loop_counters::delay_bound(17) == 524'288us));
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_not_watched_measures_no_delays) {
  const test::alarm_clock guard;
  loop on;
  on.run([]() -> task<> {
    co_await cosock::yield();
    compute(1ms);
  }());
  BOOST_TEST(sum(on.counters()) == 0u);
  BOOST_TEST((on.counters().longest_turn == 0ns));
}

BOOST_AUTO_TEST_CASE(the_delay_that_a_task_causes_for_others_is_measured) {
  const test::alarm_clock guard;
  loop on;
  cosock::watch_turns(on, silent);
  on.run([]() -> task<> {
    co_await cosock::when_all(
        []() -> task<> {
          co_await cosock::yield();
          compute(40ms);
        }(),
        [](int) -> task<> { co_await cosock::yield(); }(0));
  }());
  const loop_counters c = on.counters();
  BOOST_TEST((c.longest_turn >= 39ms));
  BOOST_TEST(sum(c) >= 3u);
  BOOST_TEST(sum(c, bucket_above(19ms)) >= 1u);
  BOOST_TEST((c.delay_sum >= 39ms));
}

BOOST_AUTO_TEST_CASE(input_that_came_while_a_task_computed_counts_as_delayed) {
  const test::alarm_clock guard;
  loop on;
  cosock::watch_turns(on, silent);
  on.run([]() -> task<> {
    auto [a, b] = cosock::local_pair();
    auto& socket = a;
    auto& peer = b;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        char byte;
        co_await socket.receive(cosock::buffer(&byte, 1));
      });
      co_await cosock::sleep_for(1ms);
      BOOST_TEST(::send(peer.native_handle(), "x", 1, 0) == 1);
      compute(40ms);
    });
  }());
  BOOST_TEST(sum(on.counters(), bucket_above(19ms)) >= 1u);
}

BOOST_AUTO_TEST_CASE(a_loop_that_waits_is_not_late) {
  const test::alarm_clock guard;
  loop on;
  cosock::watch_turns(on, silent);
  // A busy machine may delay one of the sleeps, but not all of them.
  on.run([]() -> task<> {
    for (int i = 0; i != 20; ++i) co_await cosock::sleep_for(5ms);
  }());
  const loop_counters c = on.counters();
  BOOST_TEST(sum(c) >= 21u);
  BOOST_TEST(sum(c, bucket_above(2ms)) < 20u);
}

BOOST_AUTO_TEST_CASE(a_task_may_have_its_loop_watched_in_another_way) {
  const test::alarm_clock guard;
  loop on;
  cosock::watch_turns(on, silent);
  on.run([]() -> task<> {
    co_await cosock::yield();
    compute(30ms);
    cosock::watch_turns(loop::current(), silent);
    co_await cosock::yield();
    BOOST_TEST((counters().longest_turn < 25ms));
    compute(5ms);
  }());
  BOOST_TEST((on.counters().longest_turn >= 5ms));
}

BOOST_AUTO_TEST_CASE(a_task_of_a_watched_loop_may_fork) {
  const test::alarm_clock guard;
  loop on;
  cosock::watch_turns(on, {.slow_turn = 1h});
  const auto program = [](pid_t& child) -> task<> {
    co_await cosock::yield();
    child = ::fork();
    for (int i = 0; i != 3; ++i) co_await cosock::yield();
    if (child == 0) ::_exit(sum(counters()) == 0 ? 7 : 8);
  };
  pid_t child = -1;
  on.run(program(child));
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST(WEXITSTATUS(status) == 7);
}
