// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "core/timer_wheel.hpp"

#define BOOST_TEST_MODULE timer_wheel
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

using cosock::detail::timer_wheel;

namespace {

struct entry final : cosock::detail::timer {
  void expire() noexcept override {}
};

}  // namespace

BOOST_AUTO_TEST_CASE(an_empty_wheel_has_nothing_to_do) {
  auto w = std::make_unique<timer_wheel>();
  BOOST_TEST(w->next() == timer_wheel::never);
  w->advance(1u << 30, [](auto&) { BOOST_ERROR("nothing was inserted"); });
  BOOST_TEST(w->next() == timer_wheel::never);
}

BOOST_AUTO_TEST_CASE(times_are_rounded_so_that_nothing_is_early) {
  BOOST_TEST(timer_wheel::tick_at_or_after(-5) == 0u);
  BOOST_TEST(timer_wheel::tick_at_or_after(0) == 0u);
  BOOST_TEST(timer_wheel::tick_at_or_after(1) == 1u);
  BOOST_TEST(timer_wheel::tick_at_or_after(65536) == 1u);
  BOOST_TEST(timer_wheel::tick_at_or_before(65535) == 0u);
  BOOST_TEST(timer_wheel::time_of(3) == 3 * 65536);
  BOOST_TEST(timer_wheel::time_of(timer_wheel::tick_at_or_after(INT64_MAX)) == INT64_MAX);
}

// Against the plainest model there is: after each step of time exactly those are due whose tick has
// come, whatever was inserted and stopped in between.
BOOST_AUTO_TEST_CASE(timers_expire_at_their_tick_and_stopped_ones_never) {
  for (unsigned seed = 1; seed != 41; ++seed) {
    std::mt19937_64 random(seed);
    auto w = std::make_unique<timer_wheel>();
    std::vector<entry> entries(300);
    std::vector<std::uint64_t> expected(entries.size(), 0);  // 0: not running
    std::uint64_t now = random() % 1000000;
    w->advance(now, [](auto&) {});
    for (int step = 0; step != 400; ++step) {
      for (int i = 0; i != 5; ++i) {
        const std::size_t which = random() % entries.size();
        entries[which].unlink();
        expected[which] = 0;
        if (random() % 4 == 0) continue;
        const std::uint64_t ahead = random() >> (20 + random() % 44);  // of every magnitude
        entries[which].tick = now + ahead;
        w->insert(entries[which]);
        expected[which] = entries[which].tick;
        BOOST_REQUIRE(expected[which] > now);
      }
      // Not running counts as the latest of all.
      const std::uint64_t first = *std::min_element(expected.begin(), expected.end(),
                                                    [](auto a, auto b) { return a - 1 < b - 1; });
      if (first != 0)
        BOOST_REQUIRE(w->next() <= first);
      else
        BOOST_REQUIRE(w->next() == timer_wheel::never);
      now += random() >> (20 + random() % 44);
      if (random() % 3 == 0 && first != 0) now = std::max(now, first);
      w->advance(now, [&](cosock::detail::timer& t) {
        const auto which = static_cast<std::size_t>(&static_cast<entry&>(t) - entries.data());
        BOOST_REQUIRE(expected[which] != 0u);
        BOOST_REQUIRE(expected[which] <= now);
        expected[which] = 0;
      });
      BOOST_REQUIRE(std::all_of(expected.begin(), expected.end(),
                                [&](std::uint64_t tick) { return tick == 0 || tick > now; }));
    }
    for (entry& e : entries) e.unlink();
    BOOST_TEST(w->next() == timer_wheel::never);
  }
}

BOOST_AUTO_TEST_CASE(timers_are_due_in_the_order_of_their_ticks_and_of_their_insertion) {
  for (unsigned seed = 1; seed != 41; ++seed) {
    std::mt19937_64 random(seed);
    auto w = std::make_unique<timer_wheel>();
    std::vector<entry> entries(200);
    std::uint64_t now = random() >> 20;
    w->advance(now, [](auto&) {});
    for (entry& e : entries) {
      e.tick = now + 1 + (random() >> (30 + random() % 34)) / 8 * 8;  // with equal ones
      w->insert(e);
    }
    const entry* last = nullptr;
    std::size_t count = 0;
    while (count != entries.size()) {
      now += random() >> (20 + random() % 44);
      w->advance(now, [&](cosock::detail::timer& t) {
        const entry* const next = &static_cast<entry&>(t);
        if (last) BOOST_REQUIRE((last->tick < t.tick || (last->tick == t.tick && last < next)));
        last = next;
        ++count;
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(a_timer_inserted_while_others_are_due_has_its_turn) {
  auto w = std::make_unique<timer_wheel>();
  std::vector<entry> entries(3);
  entries[0].tick = 5;
  w->insert(entries[0]);
  std::vector<std::uint64_t> due;
  w->advance(1000, [&](cosock::detail::timer& t) {
    due.push_back(t.tick);
    if (due.size() != 1) return;
    entries[1].tick = 3;  // has passed: the next tick
    entries[2].tick = 2000;
    w->insert(entries[1]);
    w->insert(entries[2]);
  });
  const std::vector<std::uint64_t> expected = {5, 6};
  BOOST_TEST(due == expected, boost::test_tools::per_element());
  BOOST_TEST(w->next() > 1000u);
  BOOST_TEST(w->next() <= 2000u);
  w->advance(1999, [](auto&) { BOOST_ERROR("too early"); });
  w->advance(2000, [&](auto&) { due.clear(); });
  BOOST_TEST(due.empty());
}

BOOST_AUTO_TEST_CASE(the_farthest_tick_is_reached) {
  auto w = std::make_unique<timer_wheel>();
  std::vector<entry> entries(1);
  entries[0].tick = timer_wheel::tick_at_or_after(INT64_MAX);
  w->advance(12345, [](auto&) {});
  w->insert(entries[0]);
  int due = 0;
  w->advance(entries[0].tick - 1, [&](auto&) { ++due; });
  BOOST_TEST(due == 0);
  w->advance(entries[0].tick, [&](auto&) { ++due; });
  BOOST_TEST(due == 1);
}

BOOST_AUTO_TEST_CASE(a_due_timer_may_stop_another_of_the_same_tick) {
  auto w = std::make_unique<timer_wheel>();
  std::vector<entry> entries(3);
  for (entry& e : entries) {
    e.tick = 70;
    w->insert(e);
  }
  int due = 0;
  w->advance(100, [&](auto&) {
    ++due;
    for (entry& e : entries) e.unlink();
  });
  BOOST_TEST(due == 1);
}
