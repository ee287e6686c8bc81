// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Servers: serve() with with_tls(), names, client certificates, reload.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_serve
#include "tls_fixture.hpp"

#include <cosock/cosock.hpp>

namespace {

using cosock::task;
using cosock::tls_errc;
using cosock::tls_stream;
using test::is;
using namespace std::chrono_literals;

cosock::endpoint loopback() { return {cosock::address::loopback_v4(), 0}; }

task<std::string> receive_all(cosock::byte_stream& from) {
  std::string all;
  char block[1000];
  while (const std::size_t n = co_await from.receive(block)) all.append(block, n);
  co_return all;
}

/// Serves with the handler while the client runs.
template <class Acceptor, class Handler, class Client>
task<cosock::serve_counters> while_serving(Acceptor& acceptor, Handler handler, Client client,
                                           cosock::serve_options options = {}) {
  cosock::server_handle handle;
  const auto run_client = [&]() -> task<> {
    co_await client();
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, std::move(handler), handle, options),
                            run_client());
  co_return handle.counters();
}

task<> echo(tls_stream& stream) {
  char block[1000];
  while (const std::size_t n = co_await stream.receive(block))
    co_await stream.send(cosock::const_buffer(block, n));
}

COROUTINE_TEST_CASE(handlers_take_the_stream_by_reference_and_are_finished) {
  const test::trusting_client trusting;
  const cosock::tls_server_context context(test::identity_of(test::localhost()));
  cosock::tcp_acceptor acceptor(loopback());
  const std::uint16_t port = acceptor.local_endpoint().port();
  const auto counters =
      co_await while_serving(acceptor, cosock::with_tls(context, echo), [&]() -> task<> {
        for (int i = 0; i != 3; ++i) {
          tls_stream stream = co_await cosock::tls_connect(trusting.context, "127.0.0.1", port);
          co_await stream.send("hello");
          stream.shutdown_send();
          BOOST_TEST(co_await receive_all(stream) == "hello");
          BOOST_TEST(co_await stream.finish());
        }
      });
  BOOST_TEST(counters.accepted == 3u);
  BOOST_TEST(counters.failed == 0u);
  BOOST_TEST(counters.bytes_in > 1000u);  // of the records
}

task<> greet(tls_stream stream) { co_await stream.send("greetings"); }

COROUTINE_TEST_CASE(handlers_take_the_stream_by_value_and_what_they_sent_arrives) {
  const test::trusting_client trusting;
  const cosock::tls_server_context context(test::identity_of(test::localhost()));
  cosock::tcp_acceptor acceptor(loopback());
  const std::uint16_t port = acceptor.local_endpoint().port();
  const auto counters =
      co_await while_serving(acceptor, cosock::with_tls(context, greet), [&]() -> task<> {
        tls_stream stream = co_await cosock::tls_connect(trusting.context, "localhost", port,
                                                         {.tcp = {.family = cosock::family::v4}});
        co_await stream.send("the server does not read this");
        BOOST_TEST(co_await receive_all(stream) == "greetings");
      });
  BOOST_TEST(counters.failed == 0u);
}

COROUTINE_TEST_CASE(handlers_over_local_sockets_and_the_facts_in_the_connection) {
  const test::trusting_client trusting;
  const cosock::tls_server_context context(test::identity_of(test::localhost()));
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  std::string name;
  const auto handler = [&name](tls_stream& stream,
                               const cosock::local_connection& connection) -> task<> {
    BOOST_REQUIRE(connection.tls());
    name = connection.tls()->server_name;
    BOOST_TEST(!connection.tls()->peer);
    co_await stream.send("!");
  };
  co_await while_serving(acceptor, cosock::with_tls(context, handler), [&]() -> task<> {
    auto socket = co_await cosock::connect(acceptor.local_endpoint());
    tls_stream stream =
        co_await cosock::tls_over(trusting.context, std::move(socket), "localhost.");
    BOOST_TEST(co_await receive_all(stream) == "!");
  });
  BOOST_TEST(name == "localhost");
}

std::string reported;
void remember(const std::exception_ptr& error, std::string_view source) {
  reported = std::string(source) + ": " + cosock::error_message(error);
}

COROUTINE_TEST_CASE(a_peer_that_does_not_speak_tls_delays_nobody_and_is_reported) {
  const test::trusting_client trusting;
  const cosock::tls_server_context context(test::identity_of(test::localhost()));
  cosock::tcp_acceptor acceptor(loopback());
  const cosock::endpoint at = acceptor.local_endpoint();
  reported.clear();
  const auto counters = co_await while_serving(acceptor, cosock::with_tls(context, echo),
                                               [&]() -> task<> {
                                                 auto silent = co_await cosock::connect(at);
                                                 auto plain = co_await cosock::connect(at);
                                                 co_await plain.send("GET / HTTP/1.1\r\n\r\n");
                                                 char block[100];
                                                 while (co_await plain.receive(block)) {
                                                 }
                                                 tls_stream stream = co_await cosock::tls_connect(
                                                     trusting.context, "127.0.0.1", at.port());
                                                 co_await stream.send("x");
                                                 co_await stream.finish();
                                               },
                                               {.drain = 0s, .on_error = remember});
  BOOST_TEST(counters.accepted == 3u);
  BOOST_TEST(counters.failed == 1u);
  BOOST_TEST(test::contains(reported, "connection from 127.0.0.1:"));
  BOOST_TEST(test::contains(reported, "the client does not speak TLS"), reported);
}

COROUTINE_TEST_CASE(a_handshake_that_takes_too_long_is_ended) {
  const cosock::tls_server_context context(test::identity_of(test::localhost()));
  cosock::tcp_acceptor acceptor(loopback());
  const cosock::endpoint at = acceptor.local_endpoint();
  reported.clear();
  co_await while_serving(acceptor, cosock::with_tls(context, echo, {.timeout = 20ms}),
                         [&]() -> task<> {
                           auto silent = co_await cosock::connect(at);
                           char byte[1];
                           BOOST_TEST(co_await silent.receive(byte) == 0u);
                         },
                         {.on_error = remember});
  BOOST_TEST(test::contains(reported, "TLS handshake: the time limit of 20 ms has passed"),
             reported);
}

}  // namespace
