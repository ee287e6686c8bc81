// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Look-ups in a network with names in it.

#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE resolve_names
#include "look_ups.hpp"
#include "name_server.hpp"
#include "netns.hpp"

#include <algorithm>

using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::resolve;
using cosock::reverse_resolve;
using cosock::task;
using test::contains;
using test::failure_of;
using test::joined;
using test::name_server;
using test::resolver_threads;

using endpoints = std::vector<endpoint>;

namespace {

/// In an order that does not depend on the machine's routes.
std::string sorted(endpoints all) {
  std::sort(all.begin(), all.end());
  return joined(std::move(all));
}

}  // namespace

NETWORK_COROUTINE_TEST_CASE(localhost_is_the_loopback_of_the_hosts_file) {
  const endpoints both = co_await resolve("localhost", 80);
  BOOST_TEST(sorted(both) == "127.0.0.1:80 [::1]:80");
  const endpoints v4 = co_await resolve("localhost", 80, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.1:80");
  const endpoints v6 = co_await resolve("localhost", 80, {.family = family::v6});
  BOOST_TEST(joined(v6) == "[::1]:80");
}

BOOST_AUTO_TEST_CASE(localhost_is_loopback_where_the_system_does_not_know_it,
                     *boost::unit_test::precondition(test::may_have_a_network)) {
  test::etc files;
  files.hosts = "127.0.0.5 listed.localhost\n";
  const auto body = []() -> task<> {
    name_server names;
    for (const char* host : {"localhost", "LocalHost.", "app.localhost", "a.b.localhost"}) {
      const endpoints both = co_await resolve(host, 80);
      BOOST_TEST(joined(both) == "[::1]:80 127.0.0.1:80", host);
    }
    const endpoints v4 = co_await resolve("localhost", "http", {.family = family::v4});
    BOOST_TEST(joined(v4) == "127.0.0.1:80");
    const endpoints listed = co_await resolve("listed.localhost", 80);
    BOOST_TEST(joined(listed) == "127.0.0.5:80");
    for (const char* host : {"mylocalhost", "localhost.test", "localhos"}) {
      const auto other = co_await as_result(resolve(host, 80));
      BOOST_TEST(other.error() == make_error_code(error::host_not_found), host);
    }
    const auto unknown = co_await as_result(resolve("localhost", "no-such-service"));
    BOOST_TEST(unknown.error() == make_error_code(error::service_not_found));
  };
  test::in_network([&] { test::run_case(body()); }, files);
}

BOOST_AUTO_TEST_CASE(an_address_that_the_hosts_file_has_twice_is_given_once,
                     *boost::unit_test::precondition(test::may_have_a_network)) {
  test::etc files;
  files.hosts = "127.0.0.5 twice.test\n127.0.0.6 twice.test\n127.0.0.5 other twice.test\n";
  const auto body = []() -> task<> {
    const endpoints found = co_await resolve("twice.test", 80);
    BOOST_TEST(sorted(found) == "127.0.0.5:80 127.0.0.6:80");
  };
  test::in_network([&] { test::run_case(body()); }, files);
}

NETWORK_COROUTINE_TEST_CASE(a_service_that_only_udp_has_is_known) {
  BOOST_TEST(joined(co_await resolve("127.0.0.1", "tftp")) == "127.0.0.1:69");
  BOOST_TEST(joined(co_await resolve("localhost", "tftp", {.family = family::v4})) ==
             "127.0.0.1:69");
  const auto none = co_await as_result(resolve("localhost", "tftpp"));
  BOOST_TEST(none.error() == make_error_code(error::service_not_found));
}

NETWORK_COROUTINE_TEST_CASE(a_name_gives_every_address_it_has) {
  name_server names;
  const endpoints dual = co_await resolve("dual.test", 80);
  BOOST_TEST(sorted(dual) == "127.0.0.2:80 [::1]:80");
  const endpoints v4 = co_await resolve("v4.test", 0);
  BOOST_TEST(sorted(v4) == "127.0.0.4:0");
  const endpoints v6 = co_await resolve("v6.test", 65535);
  BOOST_TEST(sorted(v6) == "[::6]:65535");
  endpoints many = co_await resolve("many.test", 7);
  std::sort(many.begin(), many.end());
  BOOST_REQUIRE(many.size() == 20u);
  for (std::size_t i = 0; i != 20; ++i)
    BOOST_TEST(many[i].to_string() == "127.0.1." + std::to_string(i + 1) + ":7");
}

NETWORK_COROUTINE_TEST_CASE(the_wanted_family_is_all_that_is_asked_for) {
  name_server names;
  const endpoints v4 = co_await resolve("dual.test", 80, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.2:80");
  BOOST_TEST(names.asked("dual.test") == 1);
  const endpoints v6 = co_await resolve("dual.test", 80, {.family = family::v6});
  BOOST_TEST(joined(v6) == "[::1]:80");
  const std::string text =
      co_await failure_of(resolve("v6.test", 80, {.family = family::v4}), error::host_not_found);
  BOOST_TEST(contains(text, "v6.test"), text);
}

NETWORK_COROUTINE_TEST_CASE(a_service_may_have_a_name) {
  name_server names;
  const endpoints numeric = co_await resolve("192.0.2.1", "http");
  BOOST_TEST(joined(numeric) == "192.0.2.1:80");
  const endpoints empty = co_await resolve("", "http");
  BOOST_TEST(joined(empty) == "[::1]:80 127.0.0.1:80");
  const endpoints passive = co_await resolve("", "http", {.family = family::v4, .passive = true});
  BOOST_TEST(joined(passive) == "0.0.0.0:80");
  const endpoints scoped = co_await resolve("fe80::1%lo", "http");
  BOOST_TEST(joined(scoped) == "[fe80::1%lo]:80");
  const endpoints name = co_await resolve("dual.test", "http");
  BOOST_TEST(sorted(name) == "127.0.0.2:80 [::1]:80");
  const endpoints digit_first = co_await resolve("dual.test", "3com-tsmux");
  BOOST_TEST(sorted(digit_first) == "127.0.0.2:106 [::1]:106");
}

NETWORK_COROUTINE_TEST_CASE(an_unknown_service_is_refused_with_its_text) {
  name_server names;
  const std::vector<std::string> hosts = {"127.0.0.1", "", "localhost", "dual.test", "nosuch.test"};
  const std::vector<std::string> services = {"nosuch", "abc!", "80x", "80 ", "0x50", "8.0", "1e3"};
  for (const std::string& host : hosts)
    for (const std::string& service : services) {
      const std::string text =
          co_await failure_of(resolve(host, service), error::service_not_found);
      BOOST_TEST(contains(text, '"' + service + "\": neither a port from 0 to 65535 nor a known"),
                 text);
    }
}

NETWORK_COROUTINE_TEST_CASE(an_unknown_host_is_not_found) {
  name_server names;
  for (const char* host : {"nosuch.test", "256.1.1.1", "1.2.3.4.5", "fe80::1%nosuch", "::g",
                           "[::1]", "a b", "a..b", "-",
                           "b\xc3\xbc"
                           "cher.test"}) {
    const std::string text = co_await failure_of(resolve(host, 80), error::host_not_found);
    BOOST_TEST(contains(text, host), text);
    BOOST_TEST(contains(text, "no such host"), text);
  }
  const std::string controls =
      co_await failure_of(resolve("\x1b[2Jhost\n", 80), error::host_not_found);
  BOOST_TEST(contains(controls, "\\x1b[2Jhost\\x0a: "), controls);
}

NETWORK_COROUTINE_TEST_CASE(a_name_server_that_fails_is_told_from_an_unknown_host) {
  name_server names;
  for (const char* host : {"broken.test", "refused.test"}) {
    const std::string text = co_await failure_of(resolve(host, 80), error::resolver_failed);
    BOOST_TEST(contains(text, host), text);
    BOOST_TEST(contains(text, "name server"), text);
  }
  const auto result = co_await as_result(resolve("broken.test", 80));
  BOOST_TEST(result.error() == boost::system::errc::resource_unavailable_try_again);
}

NETWORK_COROUTINE_TEST_CASE(no_name_server_at_all_is_an_error_of_the_name_server) {
  (void)co_await failure_of(resolve("dual.test", 80), error::resolver_failed);
}

NETWORK_COROUTINE_TEST_CASE(reverse_resolve_gives_the_name_of_an_address) {
  name_server names;
  BOOST_TEST(co_await reverse_resolve(address::loopback_v4()) == "localhost");
  BOOST_TEST(co_await reverse_resolve(address::loopback_v6()) == "localhost");
  BOOST_TEST(co_await reverse_resolve(address::parse("127.0.0.2")) == "two.test");
}

NETWORK_COROUTINE_TEST_CASE(reverse_resolve_of_an_address_without_a_name_fails) {
  name_server names;
  for (const char* of : {"127.0.0.3", "192.0.2.1", "2001:db8::1"}) {
    const std::string text =
        co_await failure_of(reverse_resolve(address::parse(of)), error::host_not_found);
    BOOST_TEST(contains(text, of), text);
  }
  (void)co_await failure_of(reverse_resolve(address::parse("127.0.0.9")), error::resolver_failed);
}

NETWORK_COROUTINE_TEST_CASE(many_look_ups_at_once_each_get_their_own_answer) {
  name_server names;
  const auto one = [](int i) -> task<> {
    const std::string number = std::to_string(i % 200);
    const endpoints found = co_await resolve("n" + number + ".example", 1, {.family = family::v4});
    if (joined(found) != "127.1.0." + number + ":1") BOOST_ERROR(joined(found));
  };
  co_await cosock::with_nursery([&one](cosock::nursery& in) -> task<> {
    for (int i = 0; i != 400; ++i) in.start(one, i);
    co_return;
  });
  BOOST_TEST(resolver_threads() <= 16u);
  BOOST_TEST(names.asked_in_all() == 400);
}
