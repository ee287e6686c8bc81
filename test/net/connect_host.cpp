// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// connect() to a host and a port, and to a list of endpoints.

#include <cosock/connect.hpp>

#define BOOST_TEST_MODULE connect_host
#include "allocations.hpp"
#include "connect_fixture.hpp"
#include "manual_event.hpp"
#include "netns.hpp"
#include "raw_socket.hpp"

#include <cosock/when.hpp>

using boost::system::errc::connection_refused;
using cosock::address;
using cosock::as_result;
using cosock::connect;
using cosock::connect_options;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::task;
using cosock::task_handle;
using cosock::tcp_socket;
using cosock::with_timeout;
using test::black_hole;
using test::closed_port;
using test::contains;
using test::failure_of;
using test::finish;
using test::listener;
using test::raw_socket;
using test::refusal;
using test::run_until_idle;
using test::to_one;
using test::with_delay;
using namespace std::chrono_literals;

using connecting = task_handle<tcp_socket>;

// connect(host, port) and connect(endpoints), on loopback

COROUTINE_TEST_CASE(a_host_and_a_port_are_connected_to) {
  listener server;
  const tcp_socket by_number = co_await connect("127.0.0.1", server.at().port());
  BOOST_TEST(by_number.remote_endpoint() == server.at());
  const tcp_socket by_text = co_await connect("127.0.0.1", std::to_string(server.at().port()));
  BOOST_TEST(by_text.remote_endpoint() == server.at());
}

COROUTINE_TEST_CASE(refused_everywhere_it_names_every_address_and_why) {
  const closed_port a;
  const closed_port b;
  const std::vector<endpoint> to = {a.at(), b.at(), endpoint::parse("255.255.255.255:80")};
  const refusal why = co_await failure_of(connect(to));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(contains(why.text, "cannot connect: " + a.at().to_string() + ": Connection refused; " +
                                    b.at().to_string() + ": Connection refused; "),
             why.text);
  BOOST_TEST(contains(why.text, "; 255.255.255.255:80: "), why.text);
}

COROUTINE_TEST_CASE(the_only_address_of_a_host_is_not_named_twice) {
  const closed_port a;
  const refusal why = co_await failure_of(connect("127.0.0.1", a.at().port()));
  BOOST_TEST(why.text == "cannot connect to " + a.at().to_string() + ": Connection refused");
  connect_options options;
  options.local = endpoint::parse("127.0.0.2:0");
  const refusal from = co_await failure_of(connect("127.0.0.1", a.at().port(), options));
  BOOST_TEST(contains(from.text, a.at().to_string() + " from 127.0.0.2:0: Connection refused"),
             from.text);
}

COROUTINE_TEST_CASE(no_address_at_all_is_host_not_found) {
  const refusal none = co_await failure_of(connect(std::vector<endpoint>()));
  BOOST_TEST(none.code == make_error_code(error::host_not_found));
  BOOST_TEST(contains(none.text, "no address to try"), none.text);
}

COROUTINE_TEST_CASE(addresses_of_another_family_are_not_tried) {
  listener server;
  const closed_port closed;
  const std::vector<endpoint> both = {endpoint(address::loopback_v6(), server.at().port()),
                                      server.at()};
  connect_options options = with_delay(1h);
  options.local = endpoint::parse("127.0.0.3:0");
  const tcp_socket local = co_await connect(both, options);
  BOOST_TEST(local.local_endpoint().address().to_string() == "127.0.0.3");
  const tcp_socket loopback = co_await connect("", server.at().port(), options);
  BOOST_TEST(loopback.remote_endpoint() == server.at());

  connect_options v4 = with_delay(1h);
  v4.family = family::v4;
  const tcp_socket wanted = co_await connect(both, v4);
  BOOST_TEST(wanted.remote_endpoint() == server.at());
  v4.family = family::v6;
  const std::vector<endpoint> only_v4(1, server.at());
  const refusal none = co_await failure_of(connect(only_v4, v4));
  BOOST_TEST(none.code == make_error_code(error::host_not_found));
  BOOST_TEST(contains(none.text, "family"), none.text);
  options.family = family::v6;
  const refusal neither = co_await failure_of(connect(both, options));
  BOOST_TEST(neither.code == make_error_code(error::host_not_found));
}

COROUTINE_TEST_CASE(an_address_that_refuses_is_followed_by_the_next_at_once) {
  const closed_port a;
  const closed_port b;
  listener c;
  const std::vector<endpoint> to = {a.at(), b.at(), c.at()};
  const std::size_t before = test::open_descriptors();
  const auto begin = cosock::clock::now();
  const tcp_socket client = co_await connect(to, with_delay(1h));
  BOOST_TEST(client.remote_endpoint() == c.at());
  BOOST_TEST((cosock::clock::now() - begin < 30s));
  BOOST_TEST(test::open_descriptors() == before + 1);
}

COROUTINE_TEST_CASE(a_black_holed_address_is_joined_by_the_next_after_250_ms) {
  black_hole hole;
  listener second;
  listener third;
  const std::vector<endpoint> to = {hole.at(), second.at(), third.at()};
  const std::size_t before = test::open_descriptors();
  const auto begin = cosock::clock::now();
  const tcp_socket client = co_await connect(to);
  const auto taken = cosock::clock::now() - begin;
  BOOST_TEST(client.remote_endpoint() == second.at());
  BOOST_TEST((taken >= 250ms));
  BOOST_TEST((taken < 950ms), "the system sends again, and may get through, after 1 s");
  BOOST_TEST(test::open_descriptors() == before + 1);
  BOOST_TEST(!third.has_connection());
}

COROUTINE_TEST_CASE(the_limit_of_the_options_ends_the_attempts_and_names_them) {
  black_hole hole;
  const closed_port closed;
  connect_options options = with_delay(1ms);
  options.timeout = 20ms;
  const std::size_t before = test::open_descriptors();
  const std::vector<endpoint> to = {closed.at(), hole.at()};
  const refusal several = co_await failure_of(connect(to, options));
  BOOST_TEST(several.code == make_error_code(error::timed_out));
  BOOST_TEST(several.text ==
             "cannot connect: the time limit of 20 ms has passed: " + closed.at().to_string() +
                 ": Connection refused; " + hole.at().to_string() + ": no answer");
  const refusal host = co_await failure_of(connect("127.0.0.1", hole.at().port(), options));
  BOOST_TEST(host.code == make_error_code(error::timed_out));
  BOOST_TEST(host.text == "cannot connect to " + hole.at().to_string() +
                              ": the time limit of 20 ms has passed: no answer");
  options.timeout = 0ns;
  const refusal at_once = co_await failure_of(connect("127.0.0.1", hole.at().port(), options));
  BOOST_TEST(at_once.code == make_error_code(error::timed_out));
  BOOST_TEST(test::open_descriptors() == before);
}

COROUTINE_TEST_CASE(the_limit_may_be_for_ever) {
  listener server;
  connect_options options;
  options.timeout = std::chrono::nanoseconds::max();
  options.attempt_delay = std::chrono::nanoseconds::max();
  const tcp_socket client = co_await connect("127.0.0.1", server.at().port(), options);
  BOOST_TEST(client.is_open());
}

COROUTINE_TEST_CASE(a_limit_around_it_and_a_cancellation_are_told_from_its_own) {
  black_hole hole;
  const auto outer = co_await as_result(with_timeout(5ms, connect("127.0.0.1", hole.at().port())));
  BOOST_TEST(outer.error() == make_error_code(error::timed_out));
  cosock::cancel_scope scope;
  cosock::loop::current().post([&scope] { scope.cancel(); });
  const auto cancelled = co_await as_result(scope.run(connect("127.0.0.1", hole.at().port())));
  BOOST_TEST(cancelled.error() == make_error_code(error::cancelled));
}

COROUTINE_TEST_CASE(a_bad_port_is_refused_with_its_text) {
  for (const char* port : {"70000", "-1", "", "!"}) {
    const refusal why = co_await failure_of(connect("127.0.0.1", port));
    BOOST_TEST(why.code == make_error_code(error::service_not_found));
    BOOST_TEST(contains(why.text, '"' + std::string(port) + '"'), why.text);
  }
}

BOOST_AUTO_TEST_CASE(a_failed_allocation_anywhere_is_an_error_and_leaks_nothing) {
  listener server;
  const closed_port closed;
  loop l;
  run_until_idle(l);
  const std::size_t before = test::open_descriptors();
  const std::vector<endpoint> to = {closed.at(), server.at(), server.at()};
  const int failures = test::fail_each_allocation([&] {
    try {
      connecting one = l.start(to_one(server.at()));
      connecting several = l.start(connect(to, with_delay(0ns)));
      finish(l, one);
      finish(l, several);
      (void)one.result();
      (void)several.result();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  });
  BOOST_TEST(failures > 10);
  run_until_idle(l);
  BOOST_TEST(test::open_descriptors() == before);
}

// connect(host, port) with names

HOSTS_TEST_CASE(a_name_is_connected_to) {
  listener server(address::loopback_v6());
  const tcp_socket client = co_await connect("localhost", server.at().port());
  BOOST_TEST(client.remote_endpoint() == server.at());
}

HOSTS_TEST_CASE(a_service_name_is_connected_to) {
  const refusal why = co_await failure_of(connect("127.0.0.1", "http"));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(why.text == "cannot connect to 127.0.0.1:http: 127.0.0.1:80: Connection refused");
  const refusal unknown = co_await failure_of(connect("localhost", "nosuch"));
  BOOST_TEST(unknown.code == make_error_code(error::service_not_found));
  BOOST_TEST(contains(unknown.text, "\"nosuch\""), unknown.text);
}

HOSTS_TEST_CASE(a_name_refused_everywhere_lists_its_addresses) {
  const refusal two = co_await failure_of(connect("two.test", 80));
  BOOST_TEST(two.code == connection_refused);
  BOOST_TEST(contains(two.text, "cannot connect to two.test:80: 127.0.0.1"), two.text);
  BOOST_TEST(contains(two.text, "127.0.0.11:80: Connection refused"), two.text);
  BOOST_TEST(contains(two.text, "127.0.0.12:80: Connection refused"), two.text);
  const refusal both = co_await failure_of(connect("both.test", "80"));
  BOOST_TEST(contains(both.text, " [::1]:80: Connection refused"), both.text);
  BOOST_TEST(contains(both.text, " 127.0.0.1:80: Connection refused"), both.text);
  const refusal v6 = co_await failure_of(connect("::1", 80));
  BOOST_TEST(v6.text == "cannot connect to [::1]:80: Connection refused");
}

HOSTS_TEST_CASE(an_unknown_host_is_named) {
  const refusal why = co_await failure_of(connect("nosuch.test", 80));
  BOOST_TEST(why.code == make_error_code(error::host_not_found));
  BOOST_TEST(contains(why.text, "nosuch.test"), why.text);
  BOOST_TEST(contains(why.text, "no such host"), why.text);
}

HOSTS_TEST_CASE(a_system_without_one_family_uses_the_other) {
  test::write_file("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1");
  listener v4;
  const std::vector<endpoint> to = {endpoint(address::loopback_v6(), v4.at().port()), v4.at()};
  const tcp_socket client = co_await connect(to, with_delay(1h));
  BOOST_TEST(client.remote_endpoint() == v4.at());
  const tcp_socket by_name = co_await connect("both.test", v4.at().port(), with_delay(1h));
  BOOST_TEST(by_name.remote_endpoint() == v4.at());
}

NETWORK_COROUTINE_TEST_CASE(a_connection_that_the_system_aborts_stays_aborted) {
  cosock::tcp_acceptor acceptor(endpoint(address::loopback_v4(), 0));
  const auto at = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(connect(at), acceptor.accept());
  const std::string kill = "ss -K dport = :" + std::to_string(at.port()) + " >/dev/null 2>&1";
  static_cast<void>(std::system(kill.c_str()));
  char byte[1];
  const auto first = co_await as_result(with_timeout(2s, client.receive(byte)));
  if (first.error() == cosock::error::timed_out) {
    BOOST_TEST_MESSAGE("skipped: the system cannot abort connections");
    co_return;
  }
  BOOST_TEST((first.error() == boost::system::errc::connection_aborted));
  const auto second = co_await as_result(client.receive(byte));
  BOOST_TEST((second.error() == boost::system::errc::connection_aborted));
  const auto third = co_await as_result(client.send("x"));
  BOOST_TEST((third.error() == boost::system::errc::connection_aborted));
}

NETWORK_COROUTINE_TEST_CASE(the_limit_covers_the_look_up) {
  raw_socket silent(SOCK_DGRAM);
  BOOST_REQUIRE(silent.bind(endpoint::parse("127.0.0.53:53")) == 0);
  connect_options options;
  options.timeout = 10ms;
  const auto begin = cosock::clock::now();
  const refusal why = co_await failure_of(connect("silent.test", 80, options));
  BOOST_TEST((cosock::clock::now() - begin < 4s));  // the name server is waited for for 5 s
  BOOST_TEST(why.code == make_error_code(error::timed_out));
  BOOST_TEST(
      why.text ==
      "cannot connect to silent.test:80: the time limit of 10 ms has passed during the look-up");
  cosock::cancel_scope scope;
  cosock::loop::current().post([&scope] { scope.cancel(); });
  const auto cancelled = co_await as_result(scope.run(connect("silent.test", 80)));
  BOOST_TEST(cancelled.error() == make_error_code(error::cancelled));
}
