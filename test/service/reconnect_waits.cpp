// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// How long a client waits before it connects again, and what its observer is told.

#include <cosock/reconnect.hpp>

#define BOOST_TEST_MODULE reconnect_waits
#include "loop_endings.hpp"
#include "manual_event.hpp"
#include "reconnect_machine.hpp"
#include "support.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::error_code;
using boost::system::system_error;
using cosock::error;
using cosock::reconnecting_client_options;
using cosock::retry_event;
using cosock::session_result;
using std::chrono::nanoseconds;
using test::fail;
using test::instance_counter;
using test::is;
using test::machine;
using test::system_code;
using test::tick;
using test::virtual_loop;
using test::waits_of;
namespace errc = boost::system::errc;
using retry_observer = cosock::observer<const retry_event&>;

static_assert(std::is_trivially_destructible_v<reconnecting_client_options>);

}  // namespace

BOOST_AUTO_TEST_CASE(the_waits_grow_up_to_the_cap_and_are_random_below_it) {
  constexpr int seeds = 300;
  constexpr std::size_t many = 12;
  std::vector<double> share(many);
  for (int seed = 1; seed <= seeds; ++seed) {
    reconnecting_client_options options;
    options.seed = static_cast<std::uint64_t>(seed);
    options.cap = 10s;
    const auto waits = waits_of(options, many);
    nanoseconds most = 100ms;
    for (std::size_t i = 0; i != many; ++i, most = std::min<nanoseconds>(2 * most, 10s)) {
      BOOST_REQUIRE((waits[i] >= 0ns && waits[i] <= most));
      share[i] += static_cast<double>(waits[i].count()) / static_cast<double>(most.count());
    }
  }
  for (const double each : share) {
    BOOST_TEST(each / seeds > 0.43);
    BOOST_TEST(each / seeds < 0.57);
  }
}

BOOST_AUTO_TEST_CASE(a_server_is_away_for_days_and_comes_back) {
  constexpr int many = 10'000;
  reconnecting_client_options options;
  options.seed = 1;
  machine m(options);
  m.connecting = [&] {
    if (m.connects != many) fail(system_code(ECONNREFUSED));
  };
  m.in_session = [] { return session_result::done; };
  virtual_loop loop;
  loop.run(m.run());
  BOOST_TEST(m.connects == many);
  const auto all = std::accumulate(m.waits.begin(), m.waits.end(), nanoseconds(0));
  BOOST_TEST((all > 40h && all < 43h));  // the mean is 15 s
  BOOST_TEST((loop.elapsed() >= all && loop.elapsed() <= all + many * tick));
}

BOOST_AUTO_TEST_CASE(the_waits_are_those_of_the_seed) {
  reconnecting_client_options one;
  one.seed = 1;
  reconnecting_client_options other;
  other.seed = 2;
  BOOST_TEST((waits_of(one, 10) == waits_of(one, 10)));
  BOOST_TEST((waits_of(one, 10) != waits_of(other, 10)));
  BOOST_TEST((waits_of({}, 10) != waits_of({}, 10)));
}

BOOST_AUTO_TEST_CASE(no_base_and_no_cap_is_too_small_or_too_large) {
  const auto largest = [](nanoseconds base, nanoseconds cap) {
    nanoseconds most = 0ns;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const auto waits = waits_of({.base = base, .cap = cap, .seed = seed}, 80);
      for (const nanoseconds each : waits) BOOST_TEST((each >= 0ns));
      most = std::max(most, *std::max_element(waits.begin(), waits.end()));
    }
    return most;
  };
  constexpr nanoseconds ever = nanoseconds::max();
  BOOST_TEST((largest(0ns, 1s) == 0ns));
  BOOST_TEST((largest(-1s, 1s) == 0ns));
  BOOST_TEST((largest(1s, 0ns) == 0ns));
  BOOST_TEST((largest(1s, -1s) == 0ns));
  BOOST_TEST((largest(5s, 1s) <= 1s));
  BOOST_TEST((largest(5s, 1s) > 900ms));
  BOOST_TEST((largest(1ns, ever) > ever / 2));
  BOOST_TEST((largest(ever, ever) > ever / 2));
}

BOOST_AUTO_TEST_CASE(the_waits_begin_anew_after_a_connection_that_has_lasted) {
  for (const bool lasts : {false, true}) {
    std::vector<std::size_t> attempts;
    auto observe = [&](const retry_event& n) { attempts.push_back(n.attempt); };
    reconnecting_client_options options;
    options.base = 1s;
    options.stable = 60s;
    options.on_retry = observe;
    machine m(options);
    m.in_session = [&] {
      if (m.sessions == 5) m.duration = lasts ? 60s : 60s - tick;
      return m.sessions == 8 ? session_result::done : session_result::reconnect;
    };
    virtual_loop loop;
    loop.run(m.run());
    const std::vector<std::size_t> expected = lasts ? std::vector<std::size_t>{1, 2, 3, 4, 1, 2, 3}
                                                    : std::vector<std::size_t>{1, 2, 3, 4, 5, 6, 7};
    BOOST_TEST(attempts == expected, boost::test_tools::per_element());
    if (lasts) BOOST_TEST((m.waits[4] <= 1s));
  }
}

BOOST_AUTO_TEST_CASE(time_that_was_spent_on_connecting_does_not_count_as_a_connection) {
  reconnecting_client_options options;
  options.max_attempts = 2;
  machine m(options);
  m.connecting = [&] { m.duration = 1h; };
  virtual_loop loop;
  BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, is(error::end_of_stream));
  BOOST_TEST(m.connects == 2);
}

BOOST_AUTO_TEST_CASE(the_observer_is_told_the_error_the_delay_and_the_attempt) {
  struct seen {
    error_code error;
    std::string text;
    nanoseconds delay;
    std::size_t attempt;
  };
  std::vector<seen> all;
  machine* running = nullptr;
  auto observe = [&](const retry_event& n) {
    all.push_back({n.error, std::string(n.text), n.delay, n.attempt});
    BOOST_TEST(instance_counter::alive == 0);  // the connection is closed
    BOOST_TEST(running->waits.size() == all.size() - 1);
  };
  reconnecting_client_options options;
  options.on_retry = observe;
  machine m(options);
  running = &m;
  m.connecting = [&] {
    if (m.connects == 1) fail(system_code(ECONNREFUSED), "nobody there");
  };
  m.in_session = [&] {
    if (m.sessions == 1) fail(error::malformed_frame, "what is that");
    return m.sessions == 2 ? session_result::reconnect : session_result::done;
  };
  virtual_loop loop;
  loop.run(m.run());
  BOOST_REQUIRE(all.size() == 3u);
  BOOST_TEST((all[0].error == errc::connection_refused));
  BOOST_TEST((all[1].error == error::malformed_frame));
  BOOST_TEST((all[2].error == error::end_of_stream));
  BOOST_TEST(all[0].text.starts_with("nobody there"));
  BOOST_TEST(all[1].text.starts_with("what is that"));
  BOOST_TEST(all[2].text == "the connection has ended");
  for (std::size_t i = 0; i != 3; ++i) {
    BOOST_TEST((all[i].delay == m.waits[i]));
    BOOST_TEST(all[i].attempt == i + 1);
  }
}

BOOST_AUTO_TEST_CASE(anything_that_can_be_called_observes) {
  static int calls = 0;
  struct functor {
    void operator()(const retry_event&) const { ++calls; }
  };
  const functor constant;
  const std::function<void(const retry_event&)> wrapped = [](const retry_event&) { ++calls; };
  const retry_event notice{{}, "", 0ns, 1};
  void (*const plain)(const retry_event&) = [](const retry_event&) { ++calls; };
  retry_observer().operator()(notice);
  BOOST_TEST(calls == 0);
  for (const retry_observer& each :
       {retry_observer(constant), retry_observer(wrapped), retry_observer(plain),
        retry_observer(*plain), retry_observer([](const retry_event&) { ++calls; }),
        retry_observer([](const auto&) { ++calls; })})
    each(notice);
  BOOST_TEST(calls == 6);
  const reconnecting_client_options options{.on_retry = [](const retry_event&) { ++calls; }};
  options.on_retry(notice);
  BOOST_TEST(calls == 7);
}
