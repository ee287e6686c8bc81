// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_connection
#include "support.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <optional>

namespace {

using namespace test;
using cosock::as_result;
using cosock::byte_stream;
using cosock::connection;
using cosock::endpoint;
using cosock::local_connection;
using cosock::local_stream_socket;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
namespace errc = boost::system::errc;

const endpoint any_port(cosock::address::loopback_v4(), 0);

/// A client that has connected, sent and reset before anybody accepts. Gives where it came from.
task<endpoint> reset_before(endpoint at) {
  tcp_socket s = co_await cosock::connect(at);
  const endpoint from = s.local_endpoint();
  co_await s.send("hello");
  s.abort();
  co_return from;
}

template <class Acceptor, class Handler>
task<> serve_one(Acceptor& acceptor, Handler handler, bool& called) {
  server_handle handle;
  const cosock::serve_options options{.finish_timeout = 0ns, .max_reports = 0};
  const auto stop = [&]() -> task<> {
    while (!called) co_await cosock::yield();
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), stop());
  BOOST_TEST(handle.counters().failed == 0u);
}

COROUTINE_TEST_CASE(a_reset_before_reaches_a_handler_that_takes_the_stream) {
  tcp_acceptor acceptor(any_port);
  const endpoint from = co_await reset_before(acceptor.local_endpoint());
  bool called = false;
  const auto handler = [&](tcp_socket& s) -> task<> {
    called = true;
    BOOST_TEST(s.remote_endpoint() == from);
    co_return;
  };
  co_await serve_one(acceptor, handler, called);
}

COROUTINE_TEST_CASE(a_reset_before_reaches_a_handler_that_takes_the_facts) {
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  const endpoint from = co_await reset_before(at);
  bool called = false;
  const auto by_value = [&](tcp_socket s, const connection& c) -> task<> {
    called = true;
    BOOST_TEST(c.peer() == from);
    BOOST_TEST(c.local() == at);
    BOOST_TEST(s.remote_endpoint() == from);
    char into[8];
    for (;;) {  // what it sent before, if the system kept it, and then the reset
      const auto got = co_await as_result(s.receive(into));
      if (!got) BOOST_TEST(got.error() == errc::connection_reset);
      if (!got) co_return;
    }
  };
  co_await serve_one(acceptor, by_value, called);
}

COROUTINE_TEST_CASE(facts_outlive_the_stream) {
  tcp_acceptor acceptor(any_port);
  bool called = false;
  const auto handler = [&](tcp_socket s, const connection& c) -> task<> {
    const endpoint peer = s.remote_endpoint();
    const endpoint local = s.local_endpoint();
    std::optional<tcp_socket> own(std::move(s));
    BOOST_TEST(c.local() == local);
    own->close();
    BOOST_TEST(c.peer() == peer);
    BOOST_CHECK_EXCEPTION((void)c.local(), boost::system::system_error, is(cosock::error::closed));
    called = true;
    co_return;
  };
  const tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  co_await serve_one(acceptor, handler, called);
}

COROUTINE_TEST_CASE(facts_of_a_local_connection) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  const auto at = acceptor.local_endpoint();
  bool called = false;
  const auto handler = [&](byte_stream&, const local_connection& c) -> task<> {
    BOOST_TEST(c.peer().is_unnamed());
    BOOST_TEST((c.local() == at));
    called = true;
    co_return;
  };
  local_stream_socket client = co_await cosock::connect(at);
  client.close();
  co_await serve_one(acceptor, handler, called);
}

COROUTINE_TEST_CASE(facts_of_a_connection_that_was_dealt) {
  cosock::local_acceptors<cosock::local_seqpacket_socket> all{cosock::local_endpoint(), 1};
  auto acceptor = all.acceptor(0);
  bool called = false;
  const auto handler = [&](cosock::local_seqpacket_socket, const auto& c) -> task<> {
    BOOST_TEST((c.local() == all.local_endpoint()));
    called = true;
    co_return;
  };
  const auto client =
      co_await cosock::connect<cosock::local_seqpacket_socket>(all.local_endpoint());
  co_await serve_one(acceptor, handler, called);
}

COROUTINE_TEST_CASE(the_peer_stays_known_after_a_reset) {
  tcp_acceptor acceptor(any_port);
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  const endpoint from = client.local_endpoint();
  const endpoint to = acceptor.local_endpoint();
  tcp_socket adopted = tcp_socket::adopt(server.release());
  BOOST_TEST(adopted.remote_endpoint() == from);
  client.abort();
  char into[1];
  BOOST_TEST((co_await as_result(adopted.receive(into))).error() == errc::connection_reset);
  BOOST_TEST(adopted.remote_endpoint() == from);

  auto [second, accepted] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  accepted.abort();
  BOOST_TEST((co_await as_result(second.receive(into))).error() == errc::connection_reset);
  BOOST_TEST(second.remote_endpoint() == to);
}

}  // namespace
