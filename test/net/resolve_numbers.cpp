// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Look-ups that need no name server: they never leave the loop, or the system answers by itself.

#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE resolve_numbers
#include "look_ups.hpp"
#include "manual_event.hpp"
#include "netns.hpp"

using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::resolve;
using cosock::reverse_resolve;
using cosock::task;
using cosock::with_timeout;
using test::code_of;
using test::contains;
using test::failure_of;
using test::joined;
using test::threads;
using namespace std::chrono_literals;

using endpoints = std::vector<endpoint>;

// What never leaves the loop.

BOOST_AUTO_TEST_CASE(a_numeric_host_is_resolved_at_once_and_without_a_thread) {
  const std::size_t before = threads().size();
  loop l;
  for (const char* host :
       {"127.0.0.1", "192.0.2.255", "::1", "2001:db8::1", "fe80::1%lo", "::ffff:192.0.2.1"}) {
    auto look_up = l.start(resolve(host, 80));
    while (l.poll() != 0) continue;
    BOOST_REQUIRE(look_up.done());
    BOOST_TEST(joined(look_up.result()) == endpoint(address::parse(host), 80).to_string());
  }
  BOOST_TEST(threads().size() == before);
}

COROUTINE_TEST_CASE(a_mapped_address_is_an_ipv4_address_if_one_is_wanted) {
  const std::string mapped = "::ffff:192.0.2.1";
  BOOST_TEST(joined(co_await resolve(mapped, 80, {.family = cosock::family::v4})) ==
             "192.0.2.1:80");
  for (const auto other : {cosock::family::any, cosock::family::v6})
    BOOST_TEST(joined(co_await resolve(mapped, 80, {.family = other})) == "[::ffff:192.0.2.1]:80");
  BOOST_CHECK_EXCEPTION((void)co_await resolve("::1", 80, {.family = cosock::family::v4}),
                        boost::system::system_error,
                        [](const auto& e) { return e.code() == cosock::error::host_not_found; });
}

COROUTINE_TEST_CASE(a_port_is_a_decimal_number) {
  for (const char* port : {"0", "1", "80", "00080", "65535"}) {
    const endpoints found = co_await resolve("127.0.0.1", port);
    BOOST_TEST(found.at(0).port() == std::atoi(port));
  }
  const endpoints most = co_await resolve("::1", 65535);
  BOOST_TEST(joined(most) == "[::1]:65535");
}

COROUTINE_TEST_CASE(a_bad_port_is_refused_with_its_text) {
  const std::vector<std::string> ports = {"",
                                          "65536",
                                          "70000",
                                          "-1",
                                          "+1",
                                          " 80",
                                          "99999999999999",
                                          "/",
                                          "\xff",
                                          "\x7f",
                                          "!abc",
                                          std::string("80\0", 3),
                                          std::string("http\0", 5),
                                          std::string("\0", 1),
                                          std::string(64, 'x'),
                                          std::string(100'000, 'x'),
                                          std::string(100'000, '1')};
  const std::vector<std::string> hosts = {"127.0.0.1", "", "name.that.is.never.looked.up.test"};
  for (const std::string& host : hosts)
    for (const std::string& port : ports) {
      const std::string text = co_await failure_of(resolve(host, port), error::service_not_found);
      std::string shown = port.substr(0, 40);
      if (const auto nul = shown.find('\0'); nul != shown.npos) shown.replace(nul, 1, "\\x00");
      if (shown == "\x7f") shown = "\\x7f";
      BOOST_TEST(contains(text, '"' + shown), text);
      BOOST_TEST(contains(text, "65535"), text);
    }
}

COROUTINE_TEST_CASE(the_wanted_family_holds_for_numeric_hosts) {
  const endpoints v4 = co_await resolve("127.0.0.1", 1, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.1:1");
  const endpoints v6 = co_await resolve("::1", 1, {.family = family::v6});
  BOOST_TEST(joined(v6) == "[::1]:1");
  const std::string no_v6 =
      co_await failure_of(resolve("127.0.0.1", 1, {.family = family::v6}), error::host_not_found);
  BOOST_TEST(contains(no_v6, "127.0.0.1"), no_v6);
  const std::string no_v4 =
      co_await failure_of(resolve("::1", 1, {.family = family::v4}), error::host_not_found);
  BOOST_TEST(contains(no_v4, "::1"), no_v4);
}

COROUTINE_TEST_CASE(an_empty_host_is_loopback_or_all_interfaces) {
  const endpoints active = co_await resolve("", 80);
  BOOST_TEST(joined(active) == "[::1]:80 127.0.0.1:80");
  const endpoints passive = co_await resolve("", 80, {.passive = true});
  BOOST_TEST(passive.size() == 1u);  // [::] has the IPv4 connections too
  const endpoints v4 = co_await resolve("", 80, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.1:80");
  const endpoints any_v6 = co_await resolve("", 80, {.family = family::v6, .passive = true});
  BOOST_TEST(joined(any_v6) == "[::]:80");
}

COROUTINE_TEST_CASE(a_host_that_can_be_no_name_is_not_found) {
  const std::vector<std::string> hosts = {std::string("localhost\0", 10), std::string("\0", 1),
                                          std::string("127.0.0.1\0x", 11), std::string(256, 'a'),
                                          std::string(100'000, 'a')};
  for (const std::string& host : hosts) {
    const std::string text = co_await failure_of(resolve(host, 80), error::host_not_found);
    BOOST_TEST(contains(text, "no such host"), text);
    BOOST_TEST(text.size() < 300u);
    if (host.size() < 20) BOOST_TEST(contains(text, "\\x00"), text);
  }
}

BOOST_AUTO_TEST_CASE(cancelled_before_it_starts_it_does_nothing) {
  const std::size_t before = threads().size();
  loop l;
  for (const char* host : {"127.0.0.1", "", "localhost", "a.test"}) {
    auto look_up = l.start(resolve(host, 80));
    look_up.cancel();
    while (l.poll() != 0) continue;
    BOOST_REQUIRE(look_up.done());
    BOOST_TEST(code_of(look_up) == make_error_code(error::cancelled));
  }
  auto reverse = l.start(reverse_resolve(address::loopback_v4()));
  reverse.cancel();
  while (l.poll() != 0) continue;
  BOOST_TEST(code_of(reverse) == make_error_code(error::cancelled));
  BOOST_TEST(threads().size() == before);
}

COROUTINE_TEST_CASE(numeric_look_ups_without_end_let_other_tasks_run) {
  const auto endless = []() -> task<> {
    for (;;) (void)co_await resolve("127.0.0.1", 80);
  };
  const auto ended = co_await as_result(with_timeout(10ms, endless()));
  BOOST_TEST(ended.error() == make_error_code(error::timed_out));
}

// What the system knows by itself.

CHILD_COROUTINE_TEST_CASE(localhost_is_loopback) {
  const endpoints found = co_await resolve("localhost", 80);
  BOOST_TEST(!found.empty());
  for (const endpoint& each : found) {
    BOOST_TEST(each.address().is_loopback(), each);
    BOOST_TEST(each.port() == 80);
  }
}
