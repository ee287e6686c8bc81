// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_ends
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/sync.hpp>
#include <cosock/tcp.hpp>
#include <cosock/tcp_options.hpp>
#include <cosock/when.hpp>

#include <dlfcn.h>
#include <sys/socket.h>

#include <optional>
#include <stdexcept>
#include <string>

namespace {

int shutdowns = 0;

}  // namespace

/// Counts what ending a connection costs.
extern "C" int shutdown(int fd, int how) noexcept {
  static const auto real = reinterpret_cast<int (*)(int, int)>(::dlsym(RTLD_NEXT, "shutdown"));
  ++shutdowns;
  return real(fd, how);
}

namespace {

using namespace test;
using cosock::as_result;
using cosock::byte_stream;
using cosock::endpoint;
using cosock::event;
using cosock::local_stream_socket;
using cosock::serve_options;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
namespace errc = boost::system::errc;

const endpoint any_port(cosock::address::loopback_v4(), 0);
const serve_options patient{.finish_timeout = 1min, .max_reports = 0};

task<> let_others_run() {
  for (int i = 0; i != 8; ++i) co_await cosock::yield();
}
task<> until_nobody_is_served(const server_handle& handle) {
  while (handle.counters().active != 0) co_await cosock::yield();
}

/// A client whose window is small: most of an answer waits in the server's send buffer.
task<tcp_socket> narrow_client(endpoint to) {
  co_return co_await cosock::connect(to, {.receive_buffer = 4096});
}

/// Receives to the end.
task<std::size_t> receive_all(byte_stream& from) {
  std::size_t all = 0;
  char into[4096];
  while (const std::size_t n = co_await from.receive(into)) all += n;
  co_return all;
}

constexpr std::size_t answer_size = 100'000;

/// Reads three bytes of four, and answers.
task<> answer(byte_stream& s) {
  char head[3];
  co_await s.receive_exactly(head);
  co_await s.send(std::string(answer_size, 'a'));
}

/// Whether the answer arrives with the end, although a byte was not read.
template <class Acceptor, class Connect, class Handler>
task<> last_answer_arrives(Acceptor& acceptor, Connect connect, Handler& handler, event& ended) {
  server_handle handle;
  const auto client = [&]() -> task<> {
    auto s = co_await connect();
    co_await s.send("get\n");
    co_await ended.wait();
    co_await let_others_run();
    BOOST_TEST(handle.counters().active == 1u);
    BOOST_TEST(co_await receive_all(s) == answer_size);
    s.close();
    co_await until_nobody_is_served(handle);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, patient), client());
}

template <class Handler>
task<> over_tcp(Handler handler, event& ended) {
  tcp_acceptor acceptor(any_port);
  const auto connect = [&] { return narrow_client(acceptor.local_endpoint()); };
  co_await last_answer_arrives(acceptor, connect, handler, ended);
}

COROUTINE_TEST_CASE(answer_arrives_from_a_handler_by_reference) {
  event ended;
  const auto handler = [&](tcp_socket& s) -> task<> {
    s.set_send_buffer(1 << 20);
    co_await answer(s);
    ended.set();
  };
  co_await over_tcp(handler, ended);
}

COROUTINE_TEST_CASE(answer_arrives_from_a_handler_by_value) {
  event ended;
  const auto handler = [&](tcp_socket s) -> task<> {
    s.set_send_buffer(1 << 20);
    co_await answer(s);
    ended.set();
  };
  co_await over_tcp(handler, ended);
}

COROUTINE_TEST_CASE(answer_arrives_from_a_socket_that_was_moved_inside) {
  event ended;
  const auto handler = [&](tcp_socket& s, const cosock::connection&) -> task<> {
    tcp_socket own = std::move(s);
    tcp_socket other;
    other = std::move(own);
    other.set_send_buffer(1 << 20);
    co_await answer(other);
    ended.set();
  };
  co_await over_tcp(handler, ended);
}

COROUTINE_TEST_CASE(answer_arrives_when_something_is_assigned_to_the_socket) {
  event ended;
  const auto handler = [&](tcp_socket s) -> task<> {
    s.set_send_buffer(1 << 20);
    co_await answer(s);
    s = tcp_socket();
    ended.set();
  };
  co_await over_tcp(handler, ended);
}

COROUTINE_TEST_CASE(answer_arrives_when_the_handler_throws) {
  event ended;
  const auto handler = [&](tcp_socket s) -> task<> {
    s.set_send_buffer(1 << 20);
    co_await answer(s);
    ended.set();
    throw std::runtime_error("after the answer");
  };
  co_await over_tcp(handler, ended);
}

COROUTINE_TEST_CASE(local_streams_too) {
  event ended;
  const auto by_value = [&](local_stream_socket s) -> task<> {
    co_await answer(s);
    ended.set();
  };
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  const auto connect = [&] { return cosock::connect(acceptor.local_endpoint()); };
  co_await last_answer_arrives(acceptor, connect, by_value, ended);
}

COROUTINE_TEST_CASE(sequenced_packets_too) {
  using socket = cosock::local_seqpacket_socket;
  event ended;
  server_handle handle;
  const auto handler = [&](socket s) -> task<> {
    co_await s.send("answer");
    ended.set();
  };
  cosock::local_acceptor<cosock::local_seqpacket_socket> acceptor{cosock::local_endpoint()};
  const auto client = [&]() -> task<> {
    socket s = co_await cosock::connect<socket>(acceptor.local_endpoint());
    co_await s.send("unread");
    co_await ended.wait();
    co_await let_others_run();
    co_await s.send(std::string(100'000, 'x'));  // longer than what discards it
    BOOST_TEST(co_await receive_all(s) == 6u);
    s.close();
    co_await until_nobody_is_served(handle);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, patient), client());
}

/// What becomes of a connection whose client sent a byte that nobody reads, and stays.
template <class Handler, class Check>
task<> with_silent_client(Handler handler, serve_options options, Check check) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  const auto client = [&]() -> task<> {
    tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
    co_await s.send("x");
    while (handle.counters().accepted == 0) co_await cosock::yield();
    co_await check(s, handle, acceptor.local_endpoint());
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), client());
}

const auto nothing = [](tcp_socket) -> task<> { co_return; };
const auto is_let_go = [](tcp_socket&, server_handle& handle, endpoint) -> task<> {
  co_await until_nobody_is_served(handle);
};

COROUTINE_TEST_CASE(it_counts_until_it_is_closed) {
  serve_options options = patient;
  options.max_connections = 1;
  const auto check = [](tcp_socket& first, server_handle& handle, endpoint at) -> task<> {
    tcp_socket second = co_await cosock::connect(at);
    char into[1];
    BOOST_TEST(co_await first.receive(into) == 0u);
    co_await let_others_run();
    BOOST_TEST(handle.counters().active == 1u);
    BOOST_TEST(handle.counters().accepted == 1u);
    first.close();
    BOOST_TEST(co_await second.receive(into) == 0u);
    BOOST_TEST(handle.counters().accepted == 2u);
    second.close();
    co_await until_nobody_is_served(handle);
    BOOST_TEST(handle.counters().peak == 1u);
  };
  co_await with_silent_client(nothing, options, check);
}

COROUTINE_TEST_CASE(time_limits_it) {
  serve_options options;
  options.finish_timeout = 20ms;
  co_await with_silent_client(nothing, options, is_let_go);
}

COROUTINE_TEST_CASE(bytes_limit_it) {
  serve_options options = patient;
  options.max_discard = 1000;
  const auto check = [](tcp_socket& s, server_handle& handle, endpoint) -> task<> {
    co_await s.send(std::string(998, 'x'));
    co_await let_others_run();
    BOOST_TEST(handle.counters().active == 1u);
    co_await s.send("xxx");
    co_await until_nobody_is_served(handle);
  };
  co_await with_silent_client(nothing, options, check);
}

COROUTINE_TEST_CASE(no_time_closes_at_once) {
  for (const bool by_value : {true, false}) {
    shutdowns = 0;
    serve_options options;
    options.finish_timeout = 0ns;
    if (by_value)
      co_await with_silent_client(nothing, options, is_let_go);
    else
      co_await with_silent_client([](tcp_socket&) -> task<> { co_return; }, options, is_let_go);
    BOOST_TEST(shutdowns == 0);
  }
}

COROUTINE_TEST_CASE(a_cancellation_skips_the_wait) {
  serve_options options = patient;
  options.drain = 0ns;
  const auto check = [](tcp_socket& s, server_handle&, endpoint) -> task<> {
    char into[1];
    BOOST_TEST(co_await s.receive(into) == 0u);
  };
  co_await with_silent_client(nothing, options, check);  // or it would take a minute
}

COROUTINE_TEST_CASE(a_handler_that_closes_is_done) {
  const auto closes = [](tcp_socket s) -> task<> {
    s.close();
    co_return;
  };
  co_await with_silent_client(closes, patient, is_let_go);
}

COROUTINE_TEST_CASE(a_reset_that_the_handler_wants_is_one) {
  const auto resets = [](tcp_socket s) -> task<> {
    s.set_linger(0s);
    co_return;
  };
  const auto check = [](tcp_socket& s, server_handle& handle, endpoint) -> task<> {
    char into[1];
    BOOST_TEST((co_await as_result(s.receive(into))).error() == errc::connection_reset);
    co_await until_nobody_is_served(handle);
  };
  co_await with_silent_client(resets, patient, check);
}

COROUTINE_TEST_CASE(what_the_handler_gave_away_is_left_alone) {
  std::optional<tcp_socket> kept;
  int released = -1;
  const auto gives = [&](tcp_socket s) -> task<> {
    if (!kept)
      kept = std::move(s);
    else
      released = s.release();
    co_return;
  };
  const auto check = [&](tcp_socket& first, server_handle& handle, endpoint at) -> task<> {
    co_await until_nobody_is_served(handle);
    tcp_socket second = co_await cosock::connect(at);
    while (released < 0) co_await cosock::yield();
    co_await until_nobody_is_served(handle);
    tcp_socket other = tcp_socket::adopt(released);
    char into[4];
    BOOST_TEST(co_await kept->receive(into) == 1u);
    co_await kept->send("kept");
    co_await first.receive_exactly(into);
    co_await other.send("also");
    co_await second.receive_exactly(into);
    kept.reset();  // an ordinary close now
    BOOST_TEST(co_await first.receive(into) == 0u);
  };
  co_await with_silent_client(gives, patient, check);
}

COROUTINE_TEST_CASE(the_peer_learns_of_the_end_while_the_handler_goes_on) {
  event let_go;
  const auto handler = [&](tcp_socket s) -> task<> {
    { const tcp_socket own = std::move(s); }
    co_await let_go.wait();
  };
  const auto check = [&](tcp_socket& s, server_handle& handle, endpoint) -> task<> {
    char into[1];
    BOOST_TEST(co_await s.receive(into) == 0u);
    BOOST_TEST(handle.counters().active == 1u);
    let_go.set();
    s.close();
    co_await until_nobody_is_served(handle);
  };
  co_await with_silent_client(handler, patient, check);
}

COROUTINE_TEST_CASE(where_the_end_was_read_it_costs_nothing) {
  const auto reads_all = [](tcp_socket s) -> task<> { co_await receive_all(s); };
  const auto check = [](tcp_socket& s, server_handle& handle, endpoint) -> task<> {
    s.close();
    co_await until_nobody_is_served(handle);
  };
  shutdowns = 0;
  co_await with_silent_client(reads_all, patient, check);
  BOOST_TEST(shutdowns == 0);
  co_await with_silent_client(nothing, patient, check);
  BOOST_TEST(shutdowns == 1);
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_meanwhile) {
  const std::size_t before = open_descriptors();
  {
    cosock::loop on;
    auto running = on.start([]() -> task<> {
      const auto waits = [](tcp_socket& s, server_handle&, endpoint) -> task<> {
        co_await s.wait_readable();
        event never;
        co_await never.wait();
      };
      co_await with_silent_client(nothing, patient, waits);
    }());
    for (int i = 0; i != 50; ++i) on.poll();
  }
  BOOST_TEST(open_descriptors() == before);
}

}  // namespace
