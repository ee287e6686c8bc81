// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/proxy_protocol.hpp>

#define BOOST_TEST_MODULE proxy_untrusted
#include "proxy_fixture.hpp"

// behind_proxy() with peers that are not trusted.

namespace {

using namespace test;
using namespace std::string_literals;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

proxied_server untrusting(proxy_options options = {}) {
  return proxied_server(options, trusted_proxies{"10.0.0.0/8"});
}

COROUTINE_TEST_CASE(a_peer_that_is_not_trusted_is_served_as_itself) {
  // Also what begins as a signature does, up to the byte that differs.
  for (const std::string& sent : {"hello"s, ""s, "P"s, "PROXY"s, "PROXYX"s, "\r\n\r\n"s,
                                  signature.substr(0, 11), signature.substr(0, 11) + "x"}) {
    tcp_acceptor acceptor(any_port);
    proxied_server server = untrusting();
    std::string from;
    co_await server.run(acceptor, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      from = s.local_endpoint().to_string();
      BOOST_TEST(co_await ask(s, sent) == "bye");
    });
    BOOST_REQUIRE(server.seen.size() == 1u);
    BOOST_TEST(server.seen[0].source == from);
    BOOST_TEST(!server.seen[0].header);
    BOOST_TEST(server.seen[0].data == sent);
    BOOST_TEST(server.reports.empty());
  }
}

COROUTINE_TEST_CASE(the_byte_that_differs_decides_at_once) {
  for (const std::string& first : {"X"s, "PROXYX"s, signature.substr(0, 11) + "x"}) {
    tcp_acceptor acceptor(any_port);
    proxied_server server = untrusting({.timeout = 1h});
    co_await server.run(acceptor, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      for (const char& c : first) {
        BOOST_TEST(server.begun == 0);
        co_await s.send({&c, 1});
        for (int turn = 0; turn != 3; ++turn) co_await cosock::yield();
      }
      while (server.begun == 0) co_await cosock::yield();
      BOOST_TEST(co_await ask(s, " rest") == "bye");
    });
    BOOST_TEST(server.seen[0].data == first + " rest");
  }
}

COROUTINE_TEST_CASE(a_peer_that_is_not_trusted_and_sends_a_header_is_closed) {
  for (const untrusted_peer how :
       {untrusted_peer::serve, untrusted_peer::serve_at_once, untrusted_peer::refuse})
    for (const std::string& sent :
         {v1_line, v2_bytes(), "PROXY "s, "PROXY \n"s, signature, signature + "\xff"}) {
      tcp_acceptor acceptor(any_port);
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      const std::string from = s.local_endpoint().to_string();
      co_await s.send(sent);  // before it is accepted
      proxied_server server = untrusting({.untrusted = how});
      co_await server.run(acceptor, [&]() -> task<> { BOOST_TEST(co_await is_closed(s)); });
      BOOST_TEST(server.begun == 0);
      BOOST_REQUIRE(server.reports.size() == 1u);
      const std::string why = how == untrusted_peer::refuse
                                  ? "only trusted proxies are served"
                                  : "it has sent a PROXY header, and is not a trusted proxy";
      BOOST_TEST(server.reports[0] == "connection from " + from + ": " + from + ": " + why);
      BOOST_TEST(server.counters.failed == 1u);
    }
}

COROUTINE_TEST_CASE(all_peers_that_are_not_trusted_can_be_refused) {
  tcp_acceptor acceptor(any_port);
  proxied_server server = untrusting({.untrusted = untrusted_peer::refuse});
  co_await server.run(acceptor, [&]() -> task<> {
    tcp_socket silent = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await is_closed(silent));
    BOOST_TEST(co_await ask(acceptor.local_endpoint(), "hello") == "");
  });
  BOOST_TEST(server.begun == 0);
  BOOST_TEST(server.counters.failed == 2u);
}

COROUTINE_TEST_CASE(a_server_that_speaks_first_serves_a_silent_peer_at_once) {
  tcp_acceptor acceptor(any_port);
  proxied_server server = untrusting({.timeout = 1h, .untrusted = untrusted_peer::serve_at_once});
  const auto handler = [](tcp_socket& s) -> task<> {
    co_await s.send("greetings");
    char one[1];
    co_await s.receive_exactly(one);
  };
  co_await server.run_with(acceptor, handler, [&]() -> task<> {
    tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
    char greeting[9];
    co_await s.receive_exactly(greeting);
    co_await s.send("x");
  });
  BOOST_TEST(server.reports.empty());
}

COROUTINE_TEST_CASE(local_peers_are_not_trusted_unless_the_list_says_unix) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  proxied_server server = untrusting();
  co_await server.run(acceptor, [&]() -> task<> {
    auto s = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await ask(s, v1_line) == "");
    auto plain = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await ask(plain, "hello") == "bye");
  });
  BOOST_REQUIRE(server.reports.size() == 1u);
  BOOST_TEST(contains(server.reports[0], "local peer: it has sent a PROXY header"),
             server.reports[0]);
  BOOST_TEST(server.seen.size() == 1u);
}

COROUTINE_TEST_CASE(no_byte_of_a_peer_that_is_not_trusted_is_taken_when_the_server_stops) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  const trusted_proxies nobody;
  const auto handler = [](tcp_socket&) -> task<> { co_return; };
  tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
  co_await s.send("PRO");
  const auto stop = [&]() -> task<> {
    while (handle.counters().accepted == 0) co_await cosock::yield();
    handle.stop();
  };
  const cosock::serve_options options{.drain = 0ns};
  co_await cosock::when_all(
      cosock::serve(acceptor, behind_proxy(nobody, handler, {.timeout = 1h}), handle, options),
      stop());
  BOOST_TEST(handle.counters().failed == 0u);
}

}  // namespace
