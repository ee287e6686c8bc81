// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_connect
#include "network_fixture.hpp"

#include <cosock/connect.hpp>

#include <ostream>
#include <stdexcept>

// connect() to names (Happy Eyeballs, RFC 8305) at exact times: a connection takes 20 ms, there and back.

namespace {

using cosock::connect_options;
using cosock::family;
using cosock::task;
using cosock::tcp_socket;
using namespace std::chrono_literals;

/// When a connection was made, and over which family.
struct connected {
  std::chrono::milliseconds after;
  bool v6;
  bool operator==(const connected&) const = default;
};
std::ostream& operator<<(std::ostream& out, const connected& c) {
  return out << (c.v6 ? "IPv6 after " : "IPv4 after ") << c.after.count() << " ms";
}

struct servers : test::two_far_hosts {
  servers() {
    server.start(test::echo_server);
    for (cosock::testing::host* other : {&silent, &refusing})
      net.link(client, *other, {.latency = 10ms});
    silent.crash();
  }

  connected connect(const connect_options& options = {}) {
    connected result = {};
    run_client([&]() -> task<> {
      const auto begin = cosock::now();
      const tcp_socket socket = co_await cosock::connect("name.test", 7, options);
      result.after = std::chrono::duration_cast<std::chrono::milliseconds>(cosock::now() - begin);
      result.v6 = socket.remote_endpoint().address().is_v6();
    });
    return result;
  }
  /// The message of the error.
  std::string failure(const connect_options& options = {}) {
    std::string text;
    run_client([&]() -> task<> {
      try {
        co_await cosock::connect("name.test", 7, options);
      } catch (const boost::system::system_error& e) {
        text = e.what();
      }
    });
    return text;
  }
  void set(std::initializer_list<std::string_view> addresses,
           const cosock::testing::name_options& options) {
    net.set_name("name.test", addresses, options);
  }

  cosock::testing::host& silent = net.host({"10.0.0.3", "2001:db8::3"});
  cosock::testing::host& refusing = net.host({"10.0.0.4", "2001:db8::4"});
};

constexpr const char* v4 = "10.0.0.1";
constexpr const char* v6 = "2001:db8::1";

}  // namespace

BOOST_FIXTURE_TEST_CASE(both_answers_at_once_prefer_v6, servers) {
  set({v4, v6}, {});
  BOOST_TEST(connect() == (connected{20ms, true}));
}

BOOST_FIXTURE_TEST_CASE(an_answer_that_never_comes_delays_the_other_family_by_50_ms, servers) {
  set({v4}, {.family = family::v4});
  set({v6}, {.family = family::v6, .answers = false});
  BOOST_TEST(connect() == (connected{70ms, false}));
}

BOOST_FIXTURE_TEST_CASE(v6_addresses_do_not_wait_for_the_answer_about_v4, servers) {
  set({v4}, {.family = family::v4, .answers = false});
  set({v6}, {.family = family::v6});
  BOOST_TEST(connect() == (connected{20ms, true}));
}

BOOST_FIXTURE_TEST_CASE(that_there_are_no_v6_addresses_ends_the_wait_for_them, servers) {
  set({v4}, {.family = family::v4});
  BOOST_TEST(connect() == (connected{20ms, false}));
  set({}, {.family = family::v6, .fails = true});
  BOOST_TEST(connect() == (connected{20ms, false}));
  set({}, {.family = family::v6, .delay = 30ms});
  BOOST_TEST(connect() == (connected{50ms, false}));
}

BOOST_FIXTURE_TEST_CASE(v6_addresses_that_come_in_time_are_first, servers) {
  set({v4}, {.family = family::v4});
  set({v6}, {.family = family::v6, .delay = 49ms});
  BOOST_TEST(connect() == (connected{69ms, true}));
  set({v6}, {.family = family::v6, .delay = 51ms});
  BOOST_TEST(connect() == (connected{70ms, false}));
}

BOOST_FIXTURE_TEST_CASE(a_silent_address_delays_the_next_by_the_attempt_delay, servers) {
  set({v4, "2001:db8::3"}, {});
  BOOST_TEST(connect() == (connected{270ms, false}));
  BOOST_TEST(connect({.attempt_delay = 100ms}) == (connected{120ms, false}));
  BOOST_TEST(connect({.attempt_delay = 0s}) == (connected{20ms, false}));
}

BOOST_FIXTURE_TEST_CASE(an_address_that_refuses_does_not_delay_the_next, servers) {
  set({v4, "2001:db8::4"}, {});
  BOOST_TEST(connect() == (connected{40ms, false}));
}

BOOST_FIXTURE_TEST_CASE(the_families_take_turns, servers) {
  set({"2001:db8::3", v6, "10.0.0.3"}, {});
  BOOST_TEST(connect() == (connected{520ms, true}));
}

BOOST_FIXTURE_TEST_CASE(an_answer_that_comes_later_joins_the_attempts, servers) {
  set({"10.0.0.3"}, {.family = family::v4});
  set({v6}, {.family = family::v6, .delay = 2s});
  BOOST_TEST(connect() == (connected{2020ms, true}));
}

BOOST_FIXTURE_TEST_CASE(the_first_connection_wins_although_an_earlier_attempt_would_succeed,
                        servers) {
  set({v4, "2001:db8::3"}, {});
  net.at(net.elapsed() + 260ms, [this] { silent.restart(); });  // its SYN is sent again after 1 s
  BOOST_TEST(connect() == (connected{270ms, false}));
}

BOOST_FIXTURE_TEST_CASE(the_limit_names_what_was_tried, servers) {
  set({"10.0.0.3"}, {.family = family::v4});
  set({}, {.family = family::v6, .answers = false});
  const std::string text = failure({.timeout = 3s});
  BOOST_TEST(text.find("the time limit of 3 s has passed") != text.npos, text);
  BOOST_TEST(text.find("10.0.0.3:7") != text.npos, text);
  set({}, {.answers = false});
  const std::string none = failure({.timeout = 3s});
  BOOST_TEST(none.find("during the look-up") != none.npos, none);
}

BOOST_FIXTURE_TEST_CASE(addresses_of_another_family_are_refused, servers) {
  BOOST_CHECK_THROW(set({v4}, {.family = family::v6}), std::invalid_argument);
  BOOST_CHECK_THROW(set({v6}, {.family = family::v4}), std::invalid_argument);
}
