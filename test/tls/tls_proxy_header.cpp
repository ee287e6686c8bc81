// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// TLS behind a proxy that passes it through: the PROXY header comes first, then the handshake.

#include <cosock/proxy_protocol.hpp>

#define BOOST_TEST_MODULE tls_proxy_header
#include "tls_fixture.hpp"

#include "proxy_fixture.hpp"

namespace {

using namespace test;
using cosock::tls_stream;

/// A client whose proxy is the client itself.
task<std::string> ask_over_tls(const cosock::tls_client_context& context, endpoint at,
                               std::string header) {
  tcp_socket s = co_await cosock::connect(at);
  co_await s.send(header);
  tls_stream stream = co_await cosock::tls_over(context, std::move(s), "localhost");
  co_await stream.send("hello");
  stream.shutdown_send();
  co_return co_await cosock::receive_to_end(stream, 1000);
}

COROUTINE_TEST_CASE(the_handler_has_the_facts_of_both) {
  const trusting_client trusting;
  const cosock::tls_server_context context(identity_of(localhost()));
  const trusted_proxies trusted{"127.0.0.1"};
  const auto handler = [](tls_stream& stream, const cosock::connection& connection) -> task<> {
    BOOST_TEST(co_await cosock::receive_to_end(stream, 1000) == "hello");
    BOOST_REQUIRE(connection.tls());
    BOOST_TEST(connection.tls()->server_name == "localhost");
    BOOST_REQUIRE(connection.proxy());
    co_await stream.send(connection.source().to_string());
  };
  for (const std::string& header : {v1_line, v2_bytes()}) {
    tcp_acceptor acceptor(any_port);
    server_handle handle;
    const auto client = [&]() -> task<> {
      BOOST_TEST(co_await ask_over_tls(trusting.context, acceptor.local_endpoint(), header) ==
                 "192.0.2.1:4660");
      handle.stop();
    };
    co_await cosock::when_all(
        cosock::serve(acceptor, behind_proxy(trusted, cosock::with_tls(context, handler)), handle),
        client());
    BOOST_TEST(handle.counters().failed == 0u);
  }
}

COROUTINE_TEST_CASE(a_peer_that_is_not_trusted_makes_its_handshake_as_itself) {
  const trusting_client trusting;
  const cosock::tls_server_context context(identity_of(localhost()));
  proxied_server server({}, trusted_proxies{"10.0.0.0/8"});
  tcp_acceptor acceptor(any_port);
  const auto handler = [](tls_stream& stream, const cosock::connection& connection) -> task<> {
    BOOST_TEST(!connection.proxy());
    BOOST_TEST(co_await cosock::receive_to_end(stream, 1000) == "hello");
    co_await stream.send("bye");
  };
  co_await server.run_with(acceptor, cosock::with_tls(context, handler), [&]() -> task<> {
    BOOST_TEST(co_await ask_over_tls(trusting.context, acceptor.local_endpoint(), "") == "bye");
  });
  BOOST_TEST(server.reports.empty());
}

COROUTINE_TEST_CASE(a_failed_handshake_is_reported_with_the_client_and_the_proxy) {
  const cosock::tls_server_context context(identity_of(localhost()));
  proxied_server server({}, trusted_proxies{"127.0.0.1"});
  tcp_acceptor acceptor(any_port);
  const auto handler = [](tls_stream&) -> task<> { co_return; };
  co_await server.run_with(acceptor, cosock::with_tls(context, handler), [&]() -> task<> {
    co_await ask(acceptor.local_endpoint(), v1_line + "GET / HTTP/1.1\r\n\r\n");
  });
  BOOST_REQUIRE(server.reports.size() == 1u);
  BOOST_TEST(server.reports[0].starts_with("connection from 192.0.2.1:4660 through 127.0.0.1:"),
             server.reports[0]);
}

}  // namespace
