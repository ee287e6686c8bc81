// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/watch.hpp>

#define BOOST_TEST_MODULE slow_turns
#include "loop/blocked_turns.hpp"
#include "support.hpp"

#include <cosock/dump.hpp>
#include <cosock/run_options.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cosock::slow_turn_event;
using cosock::task;
using std::chrono::steady_clock;
using test::contains;

struct report {
  std::chrono::nanoseconds duration;
  bool ended;
  std::string where;
  std::string name;
};

/// Computes for this long.
void compute(std::chrono::nanoseconds span) {
  const auto end = steady_clock::now() + span;
  while (steady_clock::now() < end) continue;
}

std::string at(unsigned line) { return "slow_turns.cpp:" + std::to_string(line); }

/// What is reported of the task; a slow turn is one of 5 ms.
template <class F>
std::vector<report> reports_of(F work, cosock::time_span slow_turn = 5ms) {
  std::vector<report> all;
  auto observe = [&](const slow_turn_event& e) {
    all.push_back({e.duration, e.ended, std::string(e.where), std::string(e.name)});
  };
  cosock::loop loop;
  cosock::watch_turns(loop,
                      {.slow_turn = slow_turn, .reports_blocked = false, .on_slow_turn = observe});
  loop.run(work());
  return all;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_task_that_runs_for_long_is_reported_with_the_place_where_it_waited) {
  const test::alarm_clock guard;
  unsigned inner = 0;
  unsigned outer = 0;
  const auto computes = [&]() -> task<> {
    inner = __LINE__ + 1;
    co_await cosock::yield();
    compute(20ms);
  };
  const auto all = reports_of([&]() -> task<> {
    outer = __LINE__ + 1;
    co_await computes();
  });
  BOOST_REQUIRE(all.size() >= 1u);  // a busy machine may delay another turn
  bool found = false;
  for (const report& r : all)
    if (r.where == at(inner) + " < " + at(outer)) {
      found = true;
      BOOST_TEST((r.duration >= 19ms));
      BOOST_TEST(r.ended);
      BOOST_TEST(r.name == "");  // it has ended
    }
  BOOST_TEST(found);
}

BOOST_AUTO_TEST_CASE(the_first_turn_of_a_task_is_that_of_its_start) {
  const test::alarm_clock guard;
  const auto all = reports_of([]() -> task<> {
    compute(20ms);
    co_return;
  });
  BOOST_REQUIRE(all.size() >= 1u);
  BOOST_TEST(all.front().where == "its start");
}

BOOST_AUTO_TEST_CASE(a_task_that_goes_on_is_reported_with_its_name) {
  const test::alarm_clock guard;
  const auto all = reports_of([]() -> task<> {
    const auto computes = []() -> task<> {
      co_await cosock::yield();
      compute(20ms);
      co_await cosock::yield();
    };
    const auto idle = []() -> task<> { co_await cosock::sleep_for(1ms); };
    const auto both = [&](cosock::nursery& n) -> task<> {
      n.start([&]() -> task<> { co_await cosock::named("idle", idle()); });
      co_await cosock::named("busy", computes());
    };
    co_await cosock::with_nursery(both);
  });
  BOOST_REQUIRE(all.size() >= 1u);
  bool found = false;
  for (const report& r : all) found = found || r.name == "busy";
  BOOST_TEST(found);
}

BOOST_AUTO_TEST_CASE(a_task_that_is_fast_enough_is_not_reported) {
  const test::alarm_clock guard;
  const auto work = []() -> task<> {
    for (int i = 0; i != 100; ++i) co_await cosock::yield();
    compute(1ms);
  };
  BOOST_TEST(reports_of(work, 1h).empty());
  BOOST_TEST(reports_of(work, cosock::unlimited).empty());
}

BOOST_AUTO_TEST_CASE(a_task_that_does_not_end_is_reported_by_a_thread) {
  const test::alarm_clock guard;
  std::atomic<bool> reported = false;
  std::string where;
  auto observe = [&](const slow_turn_event& e) {
    if (e.ended || reported) return;
    where = e.where;
    reported = true;
  };
  cosock::loop loop;
  cosock::watch_turns(loop, {.slow_turn = 10ms, .on_slow_turn = observe});
  unsigned line = 0;
  loop.run([](std::atomic<bool>& reported, unsigned& line) -> task<> {
    line = __LINE__ + 1;
    co_await cosock::yield();
    while (!reported) continue;
  }(reported, line));
  BOOST_TEST(where == at(line));
}

BOOST_AUTO_TEST_CASE(a_task_that_does_not_end_is_reported_after_two_looks_and_the_limit) {
  using cosock::detail::blocked_after;
  BOOST_CHECK(blocked_after(1ns) == 20ms);
  BOOST_CHECK(blocked_after(10ms) == 20ms);
  BOOST_CHECK(blocked_after(50ms) == 100ms);
  BOOST_CHECK(blocked_after(10s) == 20s);
  BOOST_CHECK(blocked_after(20s) == 20s);
  BOOST_CHECK(blocked_after(1min) == 1min);
  BOOST_CHECK(blocked_after(std::chrono::nanoseconds::max()) == std::chrono::nanoseconds::max());
}

BOOST_AUTO_TEST_CASE(a_loop_may_be_watched_again_and_destroyed) {
  const test::alarm_clock guard;
  int first = 0;
  int second = 0;
  auto count_first = [&](const slow_turn_event&) { ++first; };
  auto count_second = [&](const slow_turn_event&) { ++second; };
  cosock::loop loop;
  cosock::watch_turns(loop,
                      {.slow_turn = 1ns, .reports_blocked = false, .on_slow_turn = count_first});
  cosock::watch_turns(loop,
                      {.slow_turn = 0ns, .reports_blocked = false, .on_slow_turn = count_second});
  loop.run([]() -> task<> {
    co_await cosock::yield();
    compute(1ms);
  }());
  BOOST_TEST(first == 0);
  BOOST_TEST(second > 0);
  for (int i = 0; i != 20; ++i) {
    cosock::loop watched;
    cosock::watch_turns(watched);
  }
}

BOOST_AUTO_TEST_CASE(a_forked_child_is_not_watched_and_ends) {
  const test::alarm_clock guard;
  cosock::loop loop;
  cosock::watch_turns(loop, {.slow_turn = 1ms});
  const pid_t child = ::fork();
  if (child == 0) {
    {
      cosock::loop own;
      own.run([]() -> task<> { co_await cosock::yield(); }());
      loop.run([]() -> task<> {
        compute(5ms);
        co_return;
      }());
    }
    ::_exit(7);
  }
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST(WEXITSTATUS(status) == 7);
}

BOOST_AUTO_TEST_CASE(a_program_prints_slow_turns_if_it_is_asked_to) {
  const test::alarm_clock guard;
  int errors[2];
  BOOST_REQUIRE(::pipe(errors) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(errors[1], 2);
    const auto program = []() -> task<> {
      co_await cosock::named("the sum", cosock::yield());
      compute(30ms);
    };
    ::_exit(cosock::run(program(), {.slow_turn = 5ms}));
  }
  ::close(errors[1]);
  std::string text;
  char part[512];
  for (ssize_t n; (n = ::read(errors[0], part, sizeof part)) > 0;)
    text.append(part, static_cast<std::size_t>(n));
  ::close(errors[0]);
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST(WEXITSTATUS(status) == 0);
  BOOST_TEST(text.starts_with("test_slow_turns: a task "), text);
  BOOST_TEST(contains(text, " ms since "), text);
  BOOST_TEST(contains(text, "slow_turns.cpp:"), text);
}
