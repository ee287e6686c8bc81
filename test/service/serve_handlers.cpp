// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Handlers of every form, and what leaves them.

#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_handlers
#include "fake_acceptor.hpp"
#include "serve_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/when.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::byte_stream;
using cosock::endpoint;
using cosock::local_stream_socket;
using cosock::serve_options;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

BOOST_AUTO_TEST_SUITE(handlers)

/// Every form of a handler serves a client.
template <class Handler>
task<> serves(Handler handler) {
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  server_handle handle;
  const auto client = [&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at);
    BOOST_TEST(co_await round_trip(s));
    s.shutdown_send();
    BOOST_TEST(co_await has_ended(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle), client());
  BOOST_TEST(!acceptor.is_open());
  const cosock::serve_counters all = handle.counters();
  BOOST_TEST(all.accepted == 1u);
  BOOST_TEST(all.active == 0u);
  BOOST_TEST(all.peak == 1u);
  BOOST_TEST(all.failed == 0u);
  BOOST_TEST(all.rejected == 0u);
  BOOST_TEST(all.bytes_in == 4u);
  BOOST_TEST(all.bytes_out == 4u);
}

task<> by_value(tcp_socket s) { co_await echo(s); }
task<> by_reference(tcp_socket& s) { co_await echo(s); }
task<> with_connection(tcp_socket s, const cosock::connection& c) {
  BOOST_TEST(c.peer() == s.remote_endpoint());
  BOOST_TEST(c.local() == s.local_endpoint());
  co_await echo(s);
}
task<> with_connection_by_reference(byte_stream& s, const cosock::connection& c) {
  BOOST_TEST(c.peer().port() != 0);
  BOOST_TEST(c.local().port() != 0);
  co_await echo(s);
}

COROUTINE_TEST_CASE(any_form_of_handler) {
  co_await serves(&by_value);
  co_await serves(&by_reference);
  co_await serves(&echo);
  co_await serves(&with_connection);
  co_await serves(&with_connection_by_reference);
  const auto kept = std::make_shared<int>(7);
  const auto lambda = [kept](auto& s) -> task<> {
    BOOST_TEST(*kept == 7);
    co_await echo(s);
  };
  co_await serves(lambda);
}

COROUTINE_TEST_CASE(local_acceptors_too) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  const auto at = acceptor.local_endpoint();
  server_handle handle;
  const auto client = [&]() -> task<> {
    local_stream_socket s = co_await cosock::connect(at);
    BOOST_TEST(co_await round_trip(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), client());
}

COROUTINE_TEST_CASE(what_leaves_a_handler_costs_its_connection_only) {
  fake_acceptor acceptor;
  server_handle handle;
  observed told;
  serve_options options;
  options.on_error = told;
  const auto handler = [](local_stream_socket& s) -> task<> {
    char c[1];
    co_await s.receive(c);
    if (*c == 's') throw std::runtime_error("a string");
    if (*c == 'i') throw 7;
    if (*c == 'c') throw system_error(make_error_code(cosock::error::cancelled));
    co_await echo(s);
  };
  const auto clients = [&]() -> task<> {
    for (const char* what : {"s", "i", "c", "e"}) {
      local_stream_socket s = acceptor.connect();
      co_await s.send(std::string_view(what));
      if (*what == 'e')
        BOOST_TEST(co_await round_trip(s));
      else
        BOOST_TEST(co_await has_ended(s));
    }
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), clients());
  const std::vector<std::string> expected = {"a string", "unknown error"};
  BOOST_TEST(told.errors == expected);
  BOOST_TEST(handle.counters().failed == 2u);
  BOOST_TEST(handle.counters().accepted == 4u);
}

COROUTINE_TEST_CASE(a_handler_may_close_its_stream_itself) {
  fake_acceptor acceptor;
  server_handle handle;
  const auto handler = [](local_stream_socket& s) -> task<> {
    s.close();
    co_await cosock::yield();
  };
  const auto client = [&]() -> task<> {
    local_stream_socket s = acceptor.connect();
    BOOST_TEST(co_await has_ended(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle), client());
  BOOST_TEST(handle.counters().failed == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
