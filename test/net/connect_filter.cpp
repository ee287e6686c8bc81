// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// connect() with a filter of addresses.

#include <cosock/connect.hpp>

#define BOOST_TEST_MODULE connect_filter
#include "connect_fixture.hpp"
#include "name_server.hpp"
#include "netns.hpp"
#include "raw_socket.hpp"

#include <cosock/reconnect.hpp>

#include <string>
#include <vector>

namespace {

using cosock::address;
using cosock::address_range;
using cosock::as_result;
using cosock::connect;
using cosock::connect_options;
using cosock::endpoint;
using cosock::error;
using cosock::task;
using cosock::tcp_socket;
using test::black_hole;
using test::closed_port;
using test::failure_of;
using test::listener;
using test::refusal;
using test::to_one;
using namespace std::chrono_literals;

const address_range v4_loopback[] = {address_range::parse("127.0.0.0/8")};
const address_range v6_loopback[] = {address_range::parse("::1")};
const address_range loopback[] = {v4_loopback[0], v6_loopback[0]};

connect_options denying(std::span<const address_range> ranges) {
  return {.attempt_delay = 1h, .filter = {.deny = ranges}};
}

const std::string denied = ": the filter does not permit the address";

/// Where nobody may be connected to: a listener that must stay without a connection.
struct target : listener {
  using listener::listener;
  ~target() { BOOST_TEST(!has_connection()); }
};

}  // namespace

COROUTINE_TEST_CASE(an_endpoint_that_is_denied_is_not_connected_to) {
  target server;
  const std::string at = server.at().to_string();
  const std::size_t before = test::open_descriptors();
  const refusal why = co_await failure_of(to_one(server.at(), denying(v4_loopback)));
  BOOST_TEST(why.code == make_error_code(error::address_denied));
  BOOST_TEST(why.code == boost::system::errc::permission_denied);
  BOOST_TEST(why.text == at + denied);
  connect_options elsewhere;
  elsewhere.filter.allow = v6_loopback;
  const refusal not_allowed = co_await failure_of(to_one(server.at(), elsewhere));
  BOOST_TEST(not_allowed.text == at + denied);
  const auto result = co_await as_result(connect(server.at(), denying(v4_loopback)));
  BOOST_TEST(result.error() == make_error_code(error::address_denied));
  BOOST_TEST(error_message(result.error()) == at + denied);
  BOOST_TEST(test::open_descriptors() == before);
}

COROUTINE_TEST_CASE(an_endpoint_that_is_permitted_is_connected_to) {
  listener server;
  const tcp_socket other = co_await connect(server.at(), denying(v6_loopback));
  BOOST_TEST(other.remote_endpoint() == server.at());
  connect_options here;
  here.filter.allow = loopback;
  const tcp_socket allowed = co_await connect(server.at(), here);
  BOOST_TEST(allowed.remote_endpoint() == server.at());
}

/// The spellings of this machine's own address that the system takes.
COROUTINE_TEST_CASE(no_other_spelling_of_a_denied_address_is_connected_to) {
  target server;
  const std::uint16_t port = server.at().port();
  for (const char* host :
       {"127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0.0.0.0", "::ffff:0.0.0.0"}) {
    const refusal one =
        co_await failure_of(to_one(endpoint(address::parse(host), port), denying(v4_loopback)));
    BOOST_TEST(one.code == make_error_code(error::address_denied), host);
    const refusal by_text = co_await failure_of(connect(host, port, denying(v4_loopback)));
    BOOST_TEST(by_text.code == make_error_code(error::address_denied), host);
  }
  target v6(address::loopback_v6());
  for (const char* host : {"::1", "::"}) {
    const refusal by_text =
        co_await failure_of(connect(host, v6.at().port(), denying(v6_loopback)));
    BOOST_TEST(by_text.code == make_error_code(error::address_denied), host);
  }
  for (const char* host : {"2130706433", "0x7f.1", "0177.0.0.1", "127.1"}) {
    const refusal no_address = co_await failure_of(connect(host, port, denying(v4_loopback)));
    BOOST_TEST(no_address.code == make_error_code(error::host_not_found), host);
  }
}

COROUTINE_TEST_CASE(a_numeric_host_that_is_denied_is_named) {
  target server;
  const refusal why =
      co_await failure_of(connect("127.0.0.1", server.at().port(), denying(v4_loopback)));
  BOOST_TEST(why.text == "cannot connect to " + server.at().to_string() + denied);
  const refusal empty = co_await failure_of(connect("", server.at().port(), denying(loopback)));
  BOOST_TEST(empty.code == make_error_code(error::address_denied));
}

COROUTINE_TEST_CASE(of_several_endpoints_the_permitted_are_tried) {
  target first(address::parse("127.0.0.2"));
  listener second;
  target third(address::parse("127.0.0.2"));
  const address_range two[] = {address_range::parse("127.0.0.2")};
  const std::vector<endpoint> to = {first.at(), second.at(), third.at()};
  const tcp_socket client =
      co_await connect(to, denying(two));  // without a delay before the second
  BOOST_TEST(client.remote_endpoint() == second.at());
  const std::vector<endpoint> denied_only = {first.at(), third.at()};
  const refusal none = co_await failure_of(connect(denied_only, denying(two)));
  BOOST_TEST(none.code == make_error_code(error::address_denied));
  BOOST_TEST(none.text == "cannot connect: " + first.at().to_string() + denied + "; " +
                              third.at().to_string() + denied);
}

COROUTINE_TEST_CASE(the_error_of_a_permitted_address_comes_first) {
  target other(address::parse("127.0.0.2"));
  const closed_port closed;
  const address_range two[] = {address_range::parse("127.0.0.2")};
  const std::vector<endpoint> to = {other.at(), closed.at(), other.at()};
  const refusal why = co_await failure_of(connect(to, denying(two)));
  BOOST_TEST(why.code == boost::system::errc::connection_refused);
  BOOST_TEST(why.text == "cannot connect: " + other.at().to_string() + denied + "; " +
                             closed.at().to_string() + ": Connection refused; " +
                             other.at().to_string() + denied);
  // Even if trying again cannot help either.
  const std::vector<endpoint> without_scope = {other.at(), endpoint::parse("[fe80::1]:80")};
  const refusal invalid = co_await failure_of(connect(without_scope, denying(two)));
  BOOST_TEST(invalid.code == boost::system::errc::invalid_argument);
  black_hole hole;
  connect_options options = denying(two);
  options.timeout = 10ms;
  const std::vector<endpoint> silent = {other.at(), hole.at()};
  const refusal late = co_await failure_of(connect(silent, options));
  BOOST_TEST(late.code == make_error_code(error::timed_out));
}

COROUTINE_TEST_CASE(a_cancellation_is_not_hidden_by_the_filter) {
  target server;
  cosock::cancel_scope scope;
  scope.cancel();
  const auto one = co_await as_result(scope.run(connect(server.at(), denying(v4_loopback))));
  BOOST_TEST(one.error() == make_error_code(error::cancelled));
  const auto host =
      co_await as_result(scope.run(connect("127.0.0.1", server.at().port(), denying(v4_loopback))));
  BOOST_TEST(host.error() == make_error_code(error::cancelled));
}

HOSTS_TEST_CASE(of_a_host_the_permitted_addresses_are_tried) {
  listener v4;
  const std::uint16_t port = v4.at().port();
  const tcp_socket client = co_await connect("both.test", port, denying(v6_loopback));
  BOOST_TEST(client.remote_endpoint() == v4.at());
  listener v6(address::loopback_v6());
  const tcp_socket other = co_await connect("both.test", v6.at().port(), denying(v4_loopback));
  BOOST_TEST(other.remote_endpoint() == v6.at());
}

HOSTS_TEST_CASE(a_host_without_a_permitted_address_is_named) {
  const refusal both = co_await failure_of(connect("both.test", 80, denying(loopback)));
  BOOST_TEST(both.code == make_error_code(error::address_denied));
  BOOST_TEST(both.text ==
             "cannot connect to both.test:80: [::1]:80" + denied + "; 127.0.0.1:80" + denied);
  connect_options internal;
  internal.filter.deny = address_range::non_global_networks();
  const refusal all = co_await failure_of(connect("two.test", 80, internal));
  BOOST_TEST(all.code == make_error_code(error::address_denied));
  connect_options v4 = denying(v4_loopback);
  v4.family = cosock::family::v4;
  const refusal one = co_await failure_of(connect("both.test", 80, v4));
  BOOST_TEST(one.text == "cannot connect to both.test:80: 127.0.0.1:80" + denied);
  const refusal unknown = co_await failure_of(connect("nosuch.test", 80, denying(loopback)));
  BOOST_TEST(unknown.code == make_error_code(error::host_not_found));
}

NETWORK_COROUTINE_TEST_CASE(answers_of_a_name_server_are_filtered) {
  test::name_server names;
  listener server(address::parse("127.0.0.2"));
  const tcp_socket client = co_await connect("dual.test", server.at().port(), denying(v6_loopback));
  BOOST_TEST(client.remote_endpoint() == server.at());
  const refusal none = co_await failure_of(connect("dual.test", 80, denying(loopback)));
  BOOST_TEST(none.code == make_error_code(error::address_denied));
  BOOST_TEST(test::contains(none.text, "127.0.0.2:80" + denied), none.text);
  // The answer about the other family may still bring a permitted address.
  const refusal broken = co_await failure_of(connect("broken-v6.test", 80, denying(v4_loopback)));
  BOOST_TEST(broken.code == make_error_code(error::address_denied));
}

COROUTINE_TEST_CASE(a_client_that_reconnects_applies_the_filter) {
  target server;
  cosock::reconnecting_client client({.base = 0s});
  const auto session = [](tcp_socket&) -> task<> { co_return; };
  const auto end = co_await as_result(
      client.run("127.0.0.1", server.at().port(), session, denying(v4_loopback)));
  BOOST_TEST(end.error() == make_error_code(error::address_denied));
  BOOST_TEST(error_message(end.error()) == "cannot connect to " + server.at().to_string() + denied);
  listener other;
  cosock::reconnecting_client permitted({.base = 0s});
  int sessions = 0;
  const auto twice = [&](tcp_socket&) -> task<cosock::session_result> {
    co_return ++sessions == 2 ? cosock::session_result::done : cosock::session_result::reconnect;
  };
  co_await permitted.run("127.0.0.1", other.at().port(), twice, denying(v6_loopback));
  BOOST_TEST(sessions == 2);
}
