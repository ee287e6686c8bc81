// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A handler learns that the server drains; and who the errors of handlers are from.

#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_draining
#include "fake_acceptor.hpp"
#include "serve_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <unistd.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using cosock::byte_stream;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using test::any_port;
using test::contains;
using test::is;
using namespace std::chrono_literals;

// The drain never ends by itself, so a handler that did not learn of it would hang.
constexpr cosock::serve_options patient = {.drain = std::chrono::nanoseconds::max()};

/// Answers requests of one byte, and ends when there is none and the server drains.
template <class Draining>
task<> answer(byte_stream& peer, Draining& connection) {
  char request[1];
  for (;;) {
    const auto next = co_await cosock::when_any(peer.receive(request), connection.draining());
    if (!std::get<0>(next.results) || *std::get<0>(next.results) == 0) co_return;
    co_await peer.send(request);
  }
}

template <class Acceptor, class Connect, class Handler>
task<> idle_connections_end(Acceptor& acceptor, Connect connect, Handler handler) {
  server_handle handle;
  const auto client = [&]() -> task<> {
    auto idle = co_await connect();
    auto busy = co_await connect();
    BOOST_TEST(co_await test::round_trip(busy, "a"));
    BOOST_TEST(co_await test::round_trip(idle, "b"));
    BOOST_TEST(!handle.is_draining());
    handle.stop();
    BOOST_TEST(handle.is_draining());
    BOOST_TEST(co_await test::has_ended(idle));
    BOOST_TEST(co_await test::has_ended(busy));
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, patient), client());
  co_await handle.draining();  // at once
  BOOST_TEST(handle.counters().failed == 0u);
}

}  // namespace

COROUTINE_TEST_CASE(an_idle_connection_ends_when_the_server_stops) {
  tcp_acceptor acceptor(any_port);
  const auto handler = [](cosock::tcp_socket& peer, const cosock::connection& c) {
    return answer(peer, c);
  };
  co_await idle_connections_end(
      acceptor, [&] { return cosock::connect(acceptor.local_endpoint()); }, handler);
}

COROUTINE_TEST_CASE(so_does_one_of_a_local_socket) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  const auto handler = [](cosock::local_stream_socket& peer, const cosock::local_connection& c) {
    return answer(peer, c);
  };
  co_await idle_connections_end(
      acceptor, [&] { return cosock::connect(acceptor.local_endpoint()); }, handler);
}

COROUTINE_TEST_CASE(and_a_handler_that_asks_the_handle) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  const auto handler = [&](byte_stream& peer) { return answer(peer, handle); };
  const auto client = [&]() -> task<> {
    auto peer = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await test::round_trip(peer, "a"));
    handle.stop();
    BOOST_TEST(co_await test::has_ended(peer));
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, patient), client());
}

COROUTINE_TEST_CASE(a_cancellation_of_the_server_tells_handlers_too) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  cosock::cancel_scope scope;
  const auto handler = [](cosock::tcp_socket& peer, const cosock::connection& c) -> task<> {
    co_await answer(peer, c);
    BOOST_TEST(c.is_draining());
    co_await cosock::yield();  // it is not cancelled itself
  };
  const auto client = [&]() -> task<> {
    auto peer = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await test::round_trip(peer, "a"));
    scope.cancel();
    BOOST_TEST(co_await test::has_ended(peer));
  };
  const auto server = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::serve(acceptor, handler, handle, patient)),
                          boost::system::system_error, is(cosock::error::cancelled));
  };
  co_await cosock::when_all(server(), client());
  BOOST_TEST(handle.counters().failed == 0u);
}

COROUTINE_TEST_CASE(an_error_of_the_acceptor_tells_them_too) {
  test::fake_acceptor acceptor;
  server_handle handle;
  const auto handler = [](byte_stream& peer, const cosock::local_connection& c) {
    return answer(peer, c);
  };
  const auto client = [&]() -> task<> {
    auto peer = acceptor.connect();
    BOOST_TEST(co_await test::round_trip(peer, "a"));
    acceptor.fail(EBADF);
    BOOST_TEST(co_await test::has_ended(peer));
  };
  const auto server = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await cosock::serve(acceptor, handler, handle, patient),
                          boost::system::system_error,
                          is(boost::system::errc::bad_file_descriptor));
  };
  co_await cosock::when_all(server(), client());
}

COROUTINE_TEST_CASE(a_stop_before_the_start_counts) {
  server_handle handle;
  BOOST_TEST(!handle.is_draining());
  handle.stop();
  co_await handle.draining();
  tcp_acceptor acceptor(any_port);
  co_await cosock::serve(
      acceptor, [](byte_stream&) -> task<> { co_return; }, handle);
}

// Errors

namespace {

struct report {
  std::string text;
  std::string source;
};

/// What is reported of a handler that fails; `connect` makes the client.
template <class Acceptor, class Connect, class Handler>
task<std::vector<report>> reports_of(Acceptor& acceptor, Connect connect, Handler handler) {
  std::vector<report> reports;
  const auto keep = [&](const std::exception_ptr& e, std::string_view source) {
    reports.push_back({cosock::error_message(e), std::string(source)});
  };
  server_handle handle;
  const auto client = [&]() -> task<> {
    auto peer = co_await connect();
    BOOST_TEST(co_await test::has_ended(peer));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, {.on_error = keep}), client());
  co_return reports;
}

}  // namespace

COROUTINE_TEST_CASE(a_report_names_the_address_of_the_peer) {
  tcp_acceptor acceptor(any_port);
  std::string expected;
  const auto connect = [&]() -> task<cosock::tcp_socket> {
    auto made = co_await cosock::connect(acceptor.local_endpoint());
    expected = "connection from " + made.local_endpoint().to_string();
    co_return made;
  };
  const auto fails = [](cosock::tcp_socket) -> task<> {
    throw std::runtime_error("no such command");
    co_return;
  };
  const auto closes_first = [](cosock::tcp_socket& peer) -> task<> {
    peer.close();
    throw std::runtime_error("no such command");
    co_return;
  };
  auto reports = co_await reports_of(acceptor, connect, fails);
  BOOST_REQUIRE(reports.size() == 1u);
  BOOST_TEST(reports[0].text == "no such command");
  BOOST_TEST(reports[0].source == expected);

  tcp_acceptor other(any_port);
  acceptor = std::move(other);
  reports = co_await reports_of(acceptor, connect, closes_first);
  BOOST_REQUIRE(reports.size() == 1u);
  BOOST_TEST(reports[0].source == expected);
}

COROUTINE_TEST_CASE(a_report_names_the_process_of_a_local_peer) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  const auto connect = [&] { return cosock::connect(acceptor.local_endpoint()); };
  const auto fails = [](cosock::local_stream_socket&) -> task<> {
    throw std::runtime_error("no such command");
    co_return;
  };
  const auto reports = co_await reports_of(acceptor, connect, fails);
  BOOST_REQUIRE(reports.size() == 1u);
  BOOST_TEST(reports[0].source == "connection from process " + std::to_string(::getpid()) +
                                      " of user " + std::to_string(::geteuid()));
}

COROUTINE_TEST_CASE(a_report_of_an_unknown_peer_says_so) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  const auto connect = [&] { return cosock::connect(acceptor.local_endpoint()); };
  const auto fails = [](cosock::local_stream_socket& peer) -> task<> {
    peer.close();
    throw std::runtime_error("no such command");
    co_return;
  };
  const auto reports = co_await reports_of(acceptor, connect, fails);
  BOOST_REQUIRE(reports.size() == 1u);
  BOOST_TEST(reports[0].source == "connection from an unknown peer");
}
