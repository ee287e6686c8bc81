// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Clients of servers that come and go.

#include <cosock/reconnect.hpp>

#define BOOST_TEST_MODULE reconnect_servers
#include "loop_endings.hpp"
#include "raw_socket.hpp"
#include "reconnect_machine.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/local.hpp>

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::error;
using cosock::reconnecting_client;
using cosock::retry_event;
using cosock::session_result;
using cosock::task;
using cosock::tcp_socket;
using test::closed_port;
using test::fail;
using test::is;
using test::system_code;
namespace errc = boost::system::errc;

cosock::endpoint any_port() { return {cosock::address::loopback_v4(), 0}; }

}  // namespace

COROUTINE_TEST_CASE(a_server_may_come_and_go) {
  closed_port nobody;
  std::optional<cosock::tcp_acceptor> acceptor;
  std::vector<std::string> events;
  auto observe = [&](const retry_event& n) {
    events.push_back(n.error.message());
    if (n.attempt == 2) acceptor.emplace(any_port());
  };
  reconnecting_client client({.base = 1us, .on_retry = observe});
  const auto connect = [&] {
    return cosock::connect(acceptor ? acceptor->local_endpoint() : nobody.at());
  };
  const auto session = [&](tcp_socket& socket) -> task<> {
    co_await socket.send("hello");
    char into[10];
    while (const std::size_t n = co_await socket.receive(into)) events.emplace_back(into, n);
    client.succeeded();
  };
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await client.run(connect, session); });
    for (int i = 0; i != 3; ++i) {
      while (!acceptor) co_await cosock::yield();
      auto peer = co_await acceptor->accept();
      acceptor.reset();
      char into[5];
      co_await peer.receive_exactly(into);
      co_await peer.send("welcome");
      peer.shutdown_send();
      BOOST_TEST((co_await peer.receive(into)) == 0u);  // the client closes its side
    }
    client.stop();
  });
  const std::string refused = system_code(ECONNREFUSED).message();
  const std::string ended = make_error_code(error::end_of_stream).message();
  const std::vector<std::string> expected = {refused,   refused, "welcome", ended,    refused,
                                             "welcome", ended,   refused,   "welcome"};
  BOOST_REQUIRE(events.size() >= expected.size());
  events.resize(expected.size());
  BOOST_TEST(events == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(a_host_and_a_port_will_do) {
  cosock::tcp_acceptor acceptor(any_port());
  const std::uint16_t port = acceptor.local_endpoint().port();
  const std::size_t before = test::open_descriptors();
  int waits = 0;
  auto observe = [&](const retry_event&) { ++waits; };
  for (const bool text : {false, true}) {
    reconnecting_client client({.base = 1us, .on_retry = observe});
    const auto session = [](tcp_socket& socket) -> task<session_result> {
      BOOST_TEST(socket.no_delay() == false);
      char into[1];
      const std::size_t n = co_await socket.receive(into);
      co_return n == 0 ? session_result::reconnect : session_result::done;
    };
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start([&]() -> task<> {
        if (text)
          co_await client.run("127.0.0.1", std::to_string(port), session, {.no_delay = false});
        else
          co_await client.run("127.0.0.1", port, session, {.no_delay = false});
      });
      for (int i = 0; i != 3; ++i) {
        auto peer = co_await acceptor.accept();
        if (i == 2) co_await peer.send("x");
      }
    });
    BOOST_TEST(test::open_descriptors() == before);
  }
  BOOST_TEST(waits == 4);
}

VIRTUAL_TEST_CASE(a_port_or_a_path_that_cannot_be_ends_it) {
  bool waits = false;
  auto observe = [&](const retry_event&) { waits = true; };
  reconnecting_client client({.on_retry = observe});
  const auto session = [](auto&) -> task<> { co_return; };
  BOOST_CHECK_EXCEPTION(co_await client.run("127.0.0.1", "65536", session), system_error,
                        is(error::service_not_found));
  const std::string path(200, 'x');
  const auto local = [&] {
    return cosock::connect<cosock::local_stream_socket>(cosock::local_endpoint::path(path));
  };
  BOOST_CHECK_EXCEPTION(co_await client.run(local, session), system_error,
                        is(errc::filename_too_long));
  const auto text = [] { return cosock::connect(cosock::endpoint::parse("nowhere")); };
  BOOST_CHECK_EXCEPTION(co_await client.run(text, session), system_error,
                        is(error::invalid_address));
  BOOST_TEST(!waits);
}

VIRTUAL_TEST_CASE(a_local_server_that_is_not_there_yet_is_waited_for) {
  std::chrono::nanoseconds waits = 0ns;
  auto observe = [&](const retry_event& n) { waits += n.delay; };
  reconnecting_client client({.max_attempts = 3, .on_retry = observe});
  const auto begun = cosock::now();
  const auto connect = [] {
    const auto at = cosock::local_endpoint::path("/nowhere/at/all");
    return cosock::connect<cosock::local_stream_socket>(at);
  };
  const auto session = [](cosock::local_stream_socket&) -> task<> { co_return; };
  BOOST_CHECK_EXCEPTION(co_await client.run(connect, session), system_error,
                        is(errc::no_such_file_or_directory));
  const auto passed = cosock::now() - begun;
  BOOST_TEST((waits > 0ns));
  BOOST_TEST((passed >= waits && passed <= waits + 2 * test::tick));
}

VIRTUAL_TEST_CASE(a_connection_may_be_anything_that_closes_when_destroyed) {
  reconnecting_client client;
  int sessions = 0;
  std::unique_ptr<cosock::byte_stream>* of_last = nullptr;
  const auto connect = []() -> task<std::unique_ptr<cosock::byte_stream>> {
    auto made = co_await test::make_scripted_stream();
    made->end();
    co_return std::move(made);
  };
  const auto session = [&](std::unique_ptr<cosock::byte_stream>& s) -> task<session_result> {
    of_last = &s;
    char into[1];
    BOOST_TEST((co_await s->receive(into)) == 0u);
    co_return ++sessions == 3 ? session_result::done : session_result::reconnect;
  };
  co_await client.run(connect, session);
  BOOST_TEST(sessions == 3);
  BOOST_TEST(of_last != nullptr);
}

VIRTUAL_TEST_CASE(without_waits_it_lets_others_run) {
  reconnecting_client client({.base = 0ns});
  int attempts = 0;
  const auto connect = [&]() -> task<tcp_socket> {
    ++attempts;
    fail(system_code(ECONNREFUSED));
    co_return tcp_socket();
  };
  const auto session = [](tcp_socket&) -> task<> { co_return; };
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await client.run(connect, session); });
    while (attempts < 10) co_await cosock::yield();
    client.stop();
  });
  BOOST_TEST(attempts <= 12);
}

COROUTINE_TEST_CASE(a_failure_that_may_pass_is_the_code_of_a_connect_to_several_addresses) {
  // A link-local address without an interface can never be connected to.
  closed_port nobody;
  const cosock::endpoint never(cosock::address::parse("fe80::1"), 1);
  const auto alone = co_await test::outcome_of(cosock::connect(never));
  if (!cosock::is_permanent(alone.error)) {
    BOOST_TEST_MESSAGE("here it fails with: " << alone.error.message());
    co_return;
  }
  for (const bool first : {false, true}) {
    std::vector<cosock::endpoint> to(2, never);
    to[first ? 1 : 0] = nobody.at();
    const auto o = co_await test::outcome_of(cosock::connect(std::move(to)));
    BOOST_TEST((o.error == errc::connection_refused));
  }
  const std::vector<cosock::endpoint> hopeless(2, never);
  const auto o = co_await test::outcome_of(cosock::connect(hopeless));
  BOOST_TEST(o.error == alone.error);
}
