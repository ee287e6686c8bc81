// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Servers that are stopped or cancelled, with connections that drain.

#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_stop
#include "fake_acceptor.hpp"
#include "manual_event.hpp"
#include "serve_fixture.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/when.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace test;
using boost::system::error_code;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::endpoint;
using cosock::event;
using cosock::local_stream_socket;
using cosock::serve_options;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

BOOST_AUTO_TEST_SUITE(stopping)

COROUTINE_TEST_CASE(stop_while_nothing_happens_returns) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  const auto stop = [&]() -> task<> {
    co_await cosock::yield();
    handle.stop();
    handle.stop();
    BOOST_TEST(handle.is_stopping());
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), stop());
  BOOST_TEST(!acceptor.is_open());
}

COROUTINE_TEST_CASE(stop_before_it_begins_returns_at_once) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  handle.stop();
  co_await cosock::serve(acceptor, &echo, handle);
  BOOST_TEST(!acceptor.is_open());
}

COROUTINE_TEST_CASE(cancelled_before_it_begins) {
  tcp_acceptor acceptor(any_port);
  cancel_scope scope;
  scope.cancel();
  const auto ended = co_await as_result(scope.run(cosock::serve(acceptor, &echo)));
  BOOST_TEST(ended.error() == cosock::error::cancelled);
  BOOST_TEST(!acceptor.is_open());
}

/// Those who end within the limit lose nothing, the others are cancelled.
template <class Stop>
task<> drains(Stop stop, bool cancelled) {
  fake_acceptor acceptor;
  server_handle handle;
  observed told;
  serve_options options;
  options.drain = 1min;
  options.on_error = told;
  event never;
  const auto handler = [&](local_stream_socket& s) -> task<> {
    char request[4];
    co_await s.receive_exactly(request);
    co_await s.send(request);
    if (std::string_view(request, 4) == "stay") co_await never.wait();
    co_await echo(s);
  };
  cancel_scope scope;
  error_code how;
  const auto serve_state = [&]() -> task<> {
    const auto ended =
        co_await as_result(scope.run(cosock::serve(acceptor, handler, handle, options)));
    if (!ended) how = ended.error();
  };
  const auto clients = [&]() -> task<> {
    local_stream_socket quick = acceptor.connect();
    local_stream_socket slow = acceptor.connect();
    BOOST_TEST(co_await round_trip(quick));
    BOOST_TEST(co_await round_trip(slow, "stay"));
    BOOST_TEST(handle.counters().active == 2u);
    stop(scope, handle);
    while (!acceptor.closed) co_await cosock::yield();
    BOOST_TEST(co_await round_trip(quick, "still served"));
    quick.shutdown_send();
    BOOST_TEST(co_await has_ended(quick));
    co_await cosock::sleep_for(59s);
    BOOST_TEST(handle.counters().active == 1u);
    co_await cosock::sleep_for(2s);
    BOOST_TEST(handle.counters().active == 0u);
    BOOST_TEST(co_await has_ended(slow));
    stop(scope, handle);
  };
  co_await cosock::when_all(serve_state(), clients());
  BOOST_TEST(how == (cancelled ? make_error_code(cosock::error::cancelled) : error_code()));
  BOOST_TEST_REQUIRE(told.errors.size() == 1u);
  BOOST_TEST(told.errors[0] == "drain: 1 connection was cut: the time limit of 60 s has passed");
  BOOST_TEST(handle.counters().cut == 1u);
  BOOST_TEST(handle.counters().failed == 0u);
  BOOST_TEST(handle.counters().active == 0u);
}

VIRTUAL_TEST_CASE(stop_drains) {
  co_await drains([](cancel_scope&, server_handle& handle) { handle.stop(); }, false);
}
VIRTUAL_TEST_CASE(cancellation_drains) {
  co_await drains([](cancel_scope& scope, server_handle&) { scope.cancel(); }, true);
}

COROUTINE_TEST_CASE(no_drain_cancels_at_once) {
  fake_acceptor acceptor;
  server_handle handle;
  serve_options options;
  options.drain = 0ns;
  const auto client = [&]() -> task<> {
    local_stream_socket s = acceptor.connect();
    BOOST_TEST(co_await round_trip(s));
    handle.stop();
    BOOST_TEST(co_await has_ended(s));
  };
  observed told;
  options.on_error = told;
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), client());
  BOOST_TEST(handle.counters().cut == 1u);
  BOOST_TEST(told.errors.empty());  // as was asked for
}

/// A handler that does not listen to cancellation holds the server up, and is not left behind.
COROUTINE_TEST_CASE(a_handler_that_refuses_to_end_is_waited_for) {
  fake_acceptor acceptor;
  server_handle handle;
  serve_options options;
  options.drain = 0ns;
  event let_go;
  bool over = false;
  const auto handler = [&](local_stream_socket&) -> task<> {
    co_await cosock::shielded(let_go.wait());
    over = true;
  };
  const auto stop = [&]() -> task<> {
    local_stream_socket s = acceptor.connect();
    while (handle.counters().active == 0) co_await cosock::yield();
    handle.stop();
    for (int i = 0; i != 5; ++i) co_await cosock::yield();
    BOOST_TEST(handle.counters().active == 1u);
    let_go.set();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), stop());
  BOOST_TEST(over);
}

COROUTINE_TEST_CASE(many_connections_drain) {
  constexpr int many = COSOCK_TEST_SANITIZED ? 200 : 1000;
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  server_handle handle;
  serve_options options;
  options.drain = 200ms;
  int finished = 0;
  const auto clients = [&]() -> task<> {
    std::vector<tcp_socket> all;
    for (int i = 0; i != many; ++i) {
      all.push_back(co_await cosock::connect(at));
      co_await all.back().send("ping");
    }
    while (handle.counters().bytes_out < 4u * many) co_await cosock::yield();
    handle.stop();
    for (int i = 0; i != many; i += 2) {  // every other one ends in time
      all[static_cast<std::size_t>(i)].shutdown_send();
      std::string answer(4, '\0');
      co_await all[static_cast<std::size_t>(i)].receive_exactly(answer);
      BOOST_TEST(answer == "ping");
      if (co_await has_ended(all[static_cast<std::size_t>(i)])) ++finished;
    }
    for (int i = 1; i < many; i += 2) {
      std::string answer(4, '\0');
      co_await all[static_cast<std::size_t>(i)].receive_exactly(answer);
      BOOST_TEST(co_await has_ended(all[static_cast<std::size_t>(i)]));
    }
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), clients());
  BOOST_TEST(finished == many / 2);
  BOOST_TEST(handle.counters().accepted == static_cast<unsigned>(many));
  BOOST_TEST(handle.counters().peak == static_cast<unsigned>(many));
  BOOST_TEST(handle.counters().failed == 0u);
}

BOOST_AUTO_TEST_CASE(a_loop_that_ends_first) {
  const std::size_t before = open_descriptors();
  {
    auto on = std::make_unique<cosock::loop>();
    tcp_acceptor acceptor(*on, any_port);
    auto running = on->start([](tcp_acceptor& acceptor) -> task<> {
      server_handle handle;
      const auto client = [&]() -> task<> {
        tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
        co_await round_trip(s);
        co_await forever();
      };
      co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), client());
    }(acceptor));
    for (int i = 0; i != 20; ++i) on->poll();
    on.reset();
    BOOST_TEST(!acceptor.is_open());
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_handle_is_for_one_server) {
  tcp_acceptor one(any_port);
  tcp_acceptor two(any_port);
  server_handle handle;
  const auto second = [&]() -> task<> {
    co_await cosock::yield();
    bool refused = false;
    try {
      co_await cosock::serve(two, &echo, handle);
    } catch (const std::logic_error&) {
      refused = true;
    }
    BOOST_TEST(refused);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(one, &echo, handle), second());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
