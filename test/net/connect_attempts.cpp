// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The order and the times of the attempts, with hosts that do what the test says.

#include <cosock/connect.hpp>

#define BOOST_TEST_MODULE connect_attempts
#include "connect_fixture.hpp"
#include "fake_hosts.hpp"
#include "manual_event.hpp"
#include "netns.hpp"

#include <algorithm>

using boost::system::system_error;
using boost::system::errc::connection_refused;
using cosock::as_result;
using cosock::connect;
using cosock::connect_options;
using cosock::endpoint;
using cosock::error;
using cosock::loop;
using cosock::task;
using cosock::task_handle;
using cosock::tcp_socket;
using test::contains;
using test::fake_hosts;
using test::finish;
using test::hosts_only;
using test::may_have_fake_hosts;
using test::refusal;
using test::run_until_idle;
using test::with_delay;
using namespace std::chrono_literals;

using connecting = task_handle<tcp_socket>;

namespace {

/// What every such test has.
struct fixture {
  fake_hosts hosts;
  loop on;
  const endpoint a = endpoint::parse("10.231.7.2:80");
  const endpoint b = endpoint::parse("10.231.7.3:80");
  const endpoint c = endpoint::parse("10.231.7.4:80");
  const endpoint v6_a = endpoint::parse("[fd31:7::2]:80");
  const endpoint v6_b = endpoint::parse("[fd31:7::3]:80");
  const endpoint v6_c = endpoint::parse("[fd31:7::4]:80");
  const std::size_t before = (run_until_idle(on), test::open_descriptors());

  connecting start(std::vector<endpoint> to, std::chrono::nanoseconds delay) {
    return on.start(connect(std::move(to), with_delay(delay)));
  }
  /// Expects this one to be asked next.
  void expect_attempt(const endpoint& host) { BOOST_TEST(hosts.next_attempt(on) == host); }
  void expect_quiet() { BOOST_TEST(!hosts.another_attempt(on)); }
  /// Expects that the connection to this one wins, and that nothing else is left.
  void expect_winner(connecting& client, const endpoint& host) {
    finish(on, client);
    {
      const tcp_socket winner = client.result();
      BOOST_TEST(winner.remote_endpoint() == host);
      BOOST_TEST(test::open_descriptors() == before + 1);
      expect_quiet();
      BOOST_TEST(!hosts.ended(host));
    }
    BOOST_TEST(hosts.ended(host));
    BOOST_TEST(test::open_descriptors() == before);
  }
  refusal expect_failure(connecting& client) {
    finish(on, client);
    BOOST_TEST(test::open_descriptors() == before);
    try {
      (void)client.result();
    } catch (const system_error& e) {
      return {e.code(), e.what()};
    }
    BOOST_ERROR("connected");
    return {};
  }
};

}  // namespace

#define PUPPETS_TEST_CASE(name)                                                      \
  static void name##_body(fixture&);                                                 \
  BOOST_AUTO_TEST_CASE(name, *boost::unit_test::precondition(may_have_fake_hosts)) { \
    test::in_network(                                                                \
        [] {                                                                         \
          fixture s;                                                                 \
          name##_body(s);                                                            \
        },                                                                           \
        names);                                                                      \
  }                                                                                  \
  static void name##_body([[maybe_unused]] fixture& s)

namespace {

const test::etc names = [] {
  test::etc files = hosts_only;
  files.hosts += "10.231.7.2 dual.test\n10.231.7.3 dual.test\nfd31:7::2 dual.test\n";
  return files;
}();

}  // namespace

PUPPETS_TEST_CASE(a_single_host_that_answers_quickly) {
  connecting client = s.start({s.a}, 1h);
  s.expect_attempt(s.a);
  s.hosts.accept(s.a);
  s.expect_winner(client, s.a);
}

PUPPETS_TEST_CASE(a_single_host_that_answers_slowly) {
  connecting client = s.start({s.v6_a}, 1ms);
  s.expect_attempt(s.v6_a);
  const auto begin = cosock::clock::now();
  while (cosock::clock::now() - begin < 10ms) s.expect_quiet();
  BOOST_TEST(!client.done());
  s.hosts.accept(s.v6_a);
  s.expect_winner(client, s.v6_a);
}

PUPPETS_TEST_CASE(a_single_host_that_refuses) {
  connecting client = s.start({s.v6_a}, 1h);
  s.expect_attempt(s.v6_a);
  s.expect_quiet();
  BOOST_TEST(!client.done());
  s.hosts.refuse(s.v6_a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(why.text == "cannot connect: [fd31:7::2]:80: Connection refused");
}

PUPPETS_TEST_CASE(a_host_that_a_router_cannot_reach) {
  connecting client = s.start({s.a}, 1h);
  s.expect_attempt(s.a);
  s.hosts.lose(s.a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == boost::system::errc::host_unreachable);
  BOOST_TEST(contains(why.text, "No route to host"), why.text);
}

PUPPETS_TEST_CASE(silent_hosts_are_joined_by_the_next_one_after_the_delay) {
  const auto begin = cosock::clock::now();
  connecting client = s.start({s.a, s.b, s.c}, 20ms);
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  BOOST_TEST((cosock::clock::now() - begin >= 20ms));
  s.expect_attempt(s.c);
  BOOST_TEST((cosock::clock::now() - begin >= 40ms));
  s.expect_quiet();
  BOOST_TEST(test::open_descriptors() == s.before + 3);
  s.hosts.accept(s.c);
  s.expect_winner(client, s.c);
}

PUPPETS_TEST_CASE(the_delay_is_250_ms_unless_the_options_say_otherwise) {
  connecting client = s.on.start(connect(std::vector<endpoint>{s.a, s.b}));
  s.expect_attempt(s.a);
  const auto begin = cosock::clock::now();
  s.expect_attempt(s.b);
  const auto taken = cosock::clock::now() - begin;
  BOOST_TEST((taken >= 240ms));  // it began a little before the attempt was seen
  s.hosts.accept(s.b);
  s.expect_winner(client, s.b);
}

PUPPETS_TEST_CASE(without_a_delay_all_are_tried_at_once) {
  connecting client = s.start({s.a, s.b, s.c}, 0ns);
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  s.expect_attempt(s.c);
  s.hosts.accept(s.b);
  s.expect_winner(client, s.b);
}

PUPPETS_TEST_CASE(an_earlier_host_may_still_win) {
  connecting client = s.start({s.a, s.b, s.c}, 5ms);
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  s.hosts.accept(s.a);
  finish(s.on, client);
  const tcp_socket winner = client.result();
  BOOST_TEST(winner.remote_endpoint() == s.a);
  BOOST_TEST(test::open_descriptors() == s.before + 1);
}

PUPPETS_TEST_CASE(a_quick_success_leaves_the_others_alone) {
  connecting client = s.start({s.a, s.b, s.c}, 1h);
  s.expect_attempt(s.a);
  s.expect_quiet();
  s.hosts.accept(s.a);
  s.expect_winner(client, s.a);
}

PUPPETS_TEST_CASE(a_failure_starts_the_next_attempt_at_once) {
  connecting client = s.start({s.a, s.b, s.c}, 1h);
  s.expect_attempt(s.a);
  s.expect_quiet();
  s.hosts.refuse(s.a);
  s.expect_attempt(s.b);
  s.expect_quiet();
  s.hosts.lose(s.b);
  s.expect_attempt(s.c);
  s.hosts.accept(s.c);
  s.expect_winner(client, s.c);
}

PUPPETS_TEST_CASE(a_late_failure_starts_the_next_attempt_and_no_more_than_that) {
  connecting client = s.start({s.a, s.b, s.c, s.v6_a}, 100ms);
  const auto begin = cosock::clock::now();
  s.expect_attempt(s.a);
  s.expect_attempt(s.v6_a);  // after the delay
  BOOST_TEST((cosock::clock::now() - begin >= 95ms));
  s.hosts.refuse(s.a);
  s.expect_attempt(s.b);
  const auto restarted = cosock::clock::now();
  s.expect_attempt(s.c);  // the delay counts from the last attempt
  BOOST_TEST((cosock::clock::now() - restarted >= 95ms));
  s.hosts.refuse(s.b);
  s.hosts.refuse(s.c);
  s.expect_quiet();
  s.hosts.accept(s.v6_a);
  s.expect_winner(client, s.v6_a);
}

PUPPETS_TEST_CASE(all_hosts_fail_each_in_its_own_way) {
  connecting client = s.start({s.a, s.v6_a, s.b}, 0ns);
  for (const endpoint& each : {s.a, s.v6_a, s.b}) s.expect_attempt(each);
  s.hosts.lose(s.b);
  s.expect_quiet();
  s.hosts.refuse(s.v6_a);
  s.expect_quiet();
  BOOST_TEST(!client.done());
  s.hosts.refuse(s.a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == boost::system::errc::host_unreachable);  // the first to fail
  BOOST_TEST(
      why.text ==
      "cannot connect: 10.231.7.2:80: Connection refused; [fd31:7::2]:80: Connection refused;"
      " 10.231.7.3:80: No route to host");
}

PUPPETS_TEST_CASE(of_several_successes_at_once_one_wins_and_the_others_are_closed) {
  connecting client = s.start({s.a, s.b, s.v6_a, s.c}, 0ns);
  const std::vector<endpoint> all = {s.a, s.v6_a, s.b, s.c};
  for (const endpoint& each : all) s.expect_attempt(each);
  for (const endpoint& each : all) s.hosts.accept(each);
  finish(s.on, client);
  {
    const tcp_socket winner = client.result();
    BOOST_TEST(test::open_descriptors() == s.before + 1);
    for (const endpoint& each : all)
      BOOST_TEST(s.hosts.ended(each) == (each != winner.remote_endpoint()), each);
  }
  for (const endpoint& each : all) BOOST_TEST(s.hosts.ended(each), each);
}

PUPPETS_TEST_CASE(a_connection_made_in_the_turn_of_its_cancellation_is_closed) {
  cosock::cancel_scope scopes[2];
  int connected = 0;
  int cancelled = 0;
  const auto one = [&](int which, endpoint to) -> task<> {
    const auto result = co_await as_result(scopes[which].run(connect(to)));
    if (result.has_value()) {
      ++connected;
      scopes[1 - which].cancel();
    } else if (result.error() == error::cancelled) {
      ++cancelled;
    }
  };
  auto a = s.on.start(one(0, s.a));
  auto b = s.on.start(one(1, s.b));
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  s.hosts.accept(s.a);
  s.hosts.accept(s.b);
  finish(s.on, a);
  finish(s.on, b);
  BOOST_TEST(connected == 1);
  BOOST_TEST(cancelled == 1);
  BOOST_TEST(test::open_descriptors() == s.before);
  BOOST_TEST(s.hosts.ended(s.a));
  BOOST_TEST(s.hosts.ended(s.b));
}

PUPPETS_TEST_CASE(address_families_take_turns) {
  connecting v6_first = s.start({s.v6_a, s.v6_b, s.v6_c, s.a, s.b}, 0ns);
  for (const endpoint& each : {s.v6_a, s.a, s.v6_b, s.b, s.v6_c}) s.expect_attempt(each);
  v6_first.cancel();
  (void)s.expect_failure(v6_first);

  const auto on = [](const endpoint& e) { return endpoint(e.address(), 81); };
  connecting v4_first = s.start({on(s.a), on(s.b), on(s.c), on(s.v6_a)}, 0ns);
  for (const endpoint& each : {s.a, s.v6_a, s.b, s.c}) s.expect_attempt(on(each));
  v4_first.cancel();
  (void)s.expect_failure(v4_first);
}

PUPPETS_TEST_CASE(a_family_that_is_missing_costs_nothing) {
  connecting v4 = s.start({s.a, s.b, s.c}, 0ns);
  for (const endpoint& each : {s.a, s.b, s.c}) s.expect_attempt(each);
  s.hosts.accept(s.b);
  s.expect_winner(v4, s.b);
  connecting v6 = s.start({s.v6_a, s.v6_b, s.v6_c}, 0ns);
  for (const endpoint& each : {s.v6_a, s.v6_b, s.v6_c}) s.expect_attempt(each);
  s.hosts.accept(s.v6_c);
  s.expect_winner(v6, s.v6_c);
}

PUPPETS_TEST_CASE(the_addresses_of_a_name_are_raced) {
  connecting client = s.on.start(connect("dual.test", 80, with_delay(0ns)));
  std::vector<endpoint> asked;
  for (int i = 0; i != 3; ++i) asked.push_back(s.hosts.next_attempt(s.on));
  std::sort(asked.begin(), asked.end());
  BOOST_TEST((asked == std::vector<endpoint>{s.a, s.b, s.v6_a}));
  s.hosts.accept(s.b);
  finish(s.on, client);
  const tcp_socket winner = client.result();
  BOOST_TEST(winner.remote_endpoint() == s.b);
}

PUPPETS_TEST_CASE(cancelled_during_the_attempts_it_closes_them_all) {
  connecting client = s.start({s.a, s.v6_a, s.b, s.c}, 1ms);
  for (const endpoint& each : {s.a, s.v6_a, s.b}) s.expect_attempt(each);
  BOOST_TEST(test::open_descriptors() >= s.before + 3);
  client.cancel();
  BOOST_TEST(s.expect_failure(client).code == make_error_code(error::cancelled));
  s.hosts.accept(s.a);  // too late: the system refuses it
  run_until_idle(s.on);
  BOOST_TEST(s.hosts.ended(s.a));
}

PUPPETS_TEST_CASE(cancelled_after_the_last_failure_it_does_not_go_on) {
  // The failure of the first and the cancellation come in the same turn of the loop.
  connecting client = s.start({s.a, s.b}, 1h);
  s.expect_attempt(s.a);
  s.hosts.refuse(s.a);
  client.cancel();
  BOOST_TEST(s.expect_failure(client).code == make_error_code(error::cancelled));
  s.expect_quiet();
}

PUPPETS_TEST_CASE(the_limit_ends_all_attempts_and_names_them) {
  connect_options options = with_delay(1ms);
  options.timeout = 50ms;
  connecting client = s.on.start(connect(std::vector<endpoint>{s.a, s.v6_a}, options));
  s.expect_attempt(s.a);
  s.hosts.refuse(s.a);
  s.expect_attempt(s.v6_a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == make_error_code(error::timed_out));
  BOOST_TEST(
      why.text ==
      "cannot connect: the time limit of 50 ms has passed: 10.231.7.2:80: Connection refused; "
      "[fd31:7::2]:80: no answer");
}
