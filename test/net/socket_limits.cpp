// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Every number of a socket's options at its smallest and its largest value.

#define BOOST_TEST_MODULE socket_limits
#include "local_tools.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp_options.hpp>
#include <cosock/udp.hpp>

#include <climits>
#include <optional>
#include <stdexcept>

namespace {

using boost::system::system_error;
using cosock::address;
using cosock::endpoint;
using cosock::task;

constexpr int negative[] = {INT_MIN, INT_MIN + 1, -1};
constexpr int positive[] = {0, 1, INT_MAX - 1, INT_MAX};
const endpoint any_port(cosock::address::loopback_v4(), 0);

/// Refused, and what() names the option and the number.
auto refuses(std::string option, int number) {
  return [text = option + ' ' + std::to_string(number)](const system_error& e) {
    return e.code() == boost::system::errc::invalid_argument &&
           std::string_view(e.what()).find(text) != std::string_view::npos;
  };
}

task<> exchange(cosock::byte_stream& a, cosock::byte_stream& b) {
  char byte = 0;
  co_await a.send("x");
  co_await b.receive_exactly(cosock::buffer(&byte, 1));
  BOOST_TEST(byte == 'x');
}

task<> use(const cosock::tcp_acceptor_options& options) {
  cosock::tcp_acceptor acceptor(any_port, options);
  auto client = co_await cosock::connect(acceptor.local_endpoint());
  auto peer = co_await acceptor.accept();
  co_await exchange(client, peer);
}

template <class Socket>
void check_buffers(Socket& socket) {
  for (const int each : negative) {
    BOOST_CHECK_EXCEPTION(socket.set_receive_buffer(each), system_error,
                          refuses("receive_buffer", each));
    BOOST_CHECK_EXCEPTION(socket.set_send_buffer(each), system_error, refuses("send_buffer", each));
  }
  for (const int each : positive) {
    socket.set_receive_buffer(each);
    socket.set_send_buffer(each);
    BOOST_TEST(socket.receive_buffer() > 0);
    BOOST_TEST(socket.send_buffer() > 0);
  }
}

}  // namespace

COROUTINE_TEST_CASE(numbers_of_a_tcp_acceptor) {
  for (const int each : positive) {
    co_await use({.backlog = each});
    co_await use({.receive_buffer = each});
    co_await use({.send_buffer = each});
    co_await use({.fast_open = each});
  }
  using cosock::tcp_acceptor;
  for (const int each : negative) {
    BOOST_CHECK_EXCEPTION(tcp_acceptor(any_port, {.backlog = each}), system_error,
                          refuses("backlog", each));
    BOOST_CHECK_EXCEPTION(tcp_acceptor(any_port, {.receive_buffer = each}), system_error,
                          refuses("receive_buffer", each));
    BOOST_CHECK_EXCEPTION(tcp_acceptor(any_port, {.send_buffer = each}), system_error,
                          refuses("send_buffer", each));
    BOOST_CHECK_EXCEPTION(tcp_acceptor(any_port, {.fast_open = each}), system_error,
                          test::is(boost::system::errc::invalid_argument));
    tcp_acceptor acceptor(any_port);
    BOOST_CHECK_EXCEPTION(acceptor.set_backlog(each), system_error, refuses("backlog", each));
    const auto handler = [](cosock::tcp_socket&) -> task<> { co_return; };
    BOOST_CHECK_EXCEPTION(co_await cosock::serve(acceptor, handler, {.backlog = each}),
                          system_error, refuses("backlog", each));
  }
}

COROUTINE_TEST_CASE(the_number_of_connections_of_a_server) {
  using number = std::optional<std::size_t>;
  const auto nothing_to_do = [](cosock::tcp_socket&) -> task<> { co_return; };
  cosock::tcp_acceptor unused(any_port);
  BOOST_CHECK_THROW(co_await cosock::serve(unused, nothing_to_do, {.max_connections = 0}),
                    std::invalid_argument);
  for (const number each : {number(), number(1), number(SIZE_MAX - 1), number(SIZE_MAX)}) {
    cosock::tcp_acceptor acceptor(any_port);
    cosock::server_handle handle;
    const auto clients = [&]() -> task<> {
      for (int i = 0; i != 2; ++i) {
        auto client = co_await cosock::connect(acceptor.local_endpoint());
        char byte;
        co_await client.send("x");
        co_await client.receive_exactly(cosock::buffer(&byte, 1));
      }
      handle.stop();
    };
    const auto handler = [](cosock::tcp_socket& client) -> task<> {
      char byte;
      co_await client.receive_exactly(cosock::buffer(&byte, 1));
      co_await client.send(cosock::const_buffer(&byte, 1));
    };
    const auto serve_state = [&]() -> task<> {
      co_await cosock::serve(acceptor, handler, handle, {.max_connections = each});
    };
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start(serve_state);
      n.start(clients);
      co_return;
    });
    BOOST_TEST(handle.counters().accepted == 2u);
  }
}

COROUTINE_TEST_CASE(numbers_of_a_tcp_socket) {
  cosock::tcp_acceptor acceptor(any_port);
  auto client = co_await cosock::connect(acceptor.local_endpoint());
  auto peer = co_await acceptor.accept();
  check_buffers(client);
  for (const int each : {1, 2, 32766, 32767}) {
    const cosock::time_span span = std::chrono::seconds(each);
    client.set_keep_alive({.idle = span, .interval = span});
    BOOST_TEST((client.keep_alive().idle == span));
    BOOST_TEST((client.keep_alive().interval == span));
  }
  for (const int each : {1, 127}) {
    client.set_keep_alive({.count = each});
    BOOST_TEST((client.keep_alive().count == each));
  }
  client.set_keep_alive({});
  for (const int each : {INT_MIN, -1, 0, 32768, INT_MAX}) {
    const cosock::time_span span = std::chrono::seconds(each);
    BOOST_CHECK_EXCEPTION(client.set_keep_alive({.idle = span}), system_error,
                          refuses("keep_alive_options::idle", each));
    BOOST_CHECK_EXCEPTION(client.set_keep_alive({.interval = span}), system_error,
                          refuses("keep_alive_options::interval", each));
    BOOST_CHECK_EXCEPTION(client.set_keep_alive({.count = each}), system_error,
                          refuses("keep_alive_options::count", each));
  }
  BOOST_CHECK_EXCEPTION(client.set_keep_alive({.idle = std::chrono::nanoseconds::max()}),
                        system_error, refuses("keep_alive_options::idle", INT_MAX));
  for (const int each : {1, INT_MAX - 1, INT_MAX}) {
    const auto span = std::chrono::milliseconds(each);
    client.set_user_timeout(span);
    BOOST_TEST((client.user_timeout() == span));
    client.set_linger(std::chrono::seconds(each));
    BOOST_TEST((client.linger() >= std::chrono::seconds(1)));
  }
  client.set_user_timeout(std::chrono::nanoseconds::max());
  BOOST_TEST((client.user_timeout() == std::chrono::milliseconds(INT_MAX)));
  for (const int each : {INT_MIN, -1, 0}) {
    BOOST_CHECK_EXCEPTION(client.set_user_timeout(std::chrono::milliseconds(each)), system_error,
                          refuses("user_timeout", each));
  }
  for (const int each : negative) {
    BOOST_CHECK_EXCEPTION(client.set_linger(std::chrono::seconds(each)), system_error,
                          refuses("linger", each));
  }
  client.set_linger(std::nullopt);
  co_await exchange(client, peer);
}

COROUTINE_TEST_CASE(numbers_of_a_connect) {
  cosock::tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  for (const int each : positive) {
    BOOST_TEST((co_await cosock::connect(at, {.receive_buffer = each})).is_open());
    BOOST_TEST((co_await cosock::connect(at, {.send_buffer = each})).is_open());
  }
  const auto names = [](const char* option) {
    return [option](const system_error& e) {
      return e.code() == boost::system::errc::invalid_argument &&
             std::string_view(e.what()).find(option) != std::string_view::npos;
    };
  };
  for (const int each : negative) {
    BOOST_CHECK_EXCEPTION(co_await cosock::connect(at, {.receive_buffer = each}), system_error,
                          names("a negative receive_buffer"));
    BOOST_CHECK_EXCEPTION(co_await cosock::connect("127.0.0.1", at.port(), {.send_buffer = each}),
                          system_error, names("a negative send_buffer"));
  }
}

COROUTINE_TEST_CASE(numbers_of_a_udp_socket) {
  for (const int each : positive) {
    cosock::udp_socket socket(any_port, {.receive_buffer = each, .send_buffer = each});
    co_await socket.send_to("", socket.local_endpoint());
    BOOST_TEST((co_await socket.receive_from({})).length == 0u);
  }
  for (const int each : negative) {
    BOOST_CHECK_EXCEPTION(cosock::udp_socket(any_port, {.receive_buffer = each}), system_error,
                          refuses("receive_buffer", each));
    BOOST_CHECK_EXCEPTION(cosock::udp_socket(any_port, {.send_buffer = each}), system_error,
                          refuses("send_buffer", each));
  }
  cosock::udp_socket socket(any_port);
  check_buffers(socket);
  for (const endpoint& at : {any_port, endpoint(address::loopback_v6(), 0)}) {
    BOOST_TEST_INFO_SCOPE(at);
    cosock::udp_socket s(at);
    const int by_default = s.hops();
    for (const int each : {INT_MIN, -1, 256, INT_MAX}) {
      BOOST_CHECK_EXCEPTION(s.set_hops(each), system_error, refuses("hops", each));
      BOOST_CHECK_EXCEPTION(s.set_multicast_hops(each), system_error,
                            refuses("multicast_hops", each));
      BOOST_CHECK_EXCEPTION(s.set_traffic_class(each), system_error,
                            refuses("traffic_class", each));
    }
    BOOST_CHECK_EXCEPTION(s.set_hops(0), system_error, refuses("hops", 0));
    for (const int each : {1, 255}) {
      s.set_hops(each);
      s.set_multicast_hops(each);
      s.set_traffic_class(each);
      BOOST_TEST(s.hops() == each);
      BOOST_TEST(s.multicast_hops() == each);
      BOOST_TEST(s.traffic_class() == each);
    }
    s.set_multicast_hops(0);
    BOOST_TEST(s.multicast_hops() == 0);
    s.set_hops(std::nullopt);
    BOOST_TEST(s.hops() == by_default);
  }
}

COROUTINE_TEST_CASE(numbers_of_local_sockets) {
  const test::temporary_folder in;
  int number = 0;
  const auto next = [&] { return in.at(std::to_string(number++)); };
  for (const int each : positive) {
    cosock::local_acceptor acceptor(next(), {.backlog = each});
    auto client = co_await cosock::connect(acceptor.local_endpoint());
    auto peer = co_await acceptor.accept();
    co_await exchange(client, peer);
    check_buffers(client);
    cosock::local_datagram_socket socket(next(), {.receive_buffer = each, .send_buffer = each});
    check_buffers(socket);
  }
  for (const int each : negative) {
    BOOST_CHECK_EXCEPTION(cosock::local_acceptor(next(), {.backlog = each}), system_error,
                          refuses("backlog", each));
    BOOST_CHECK_EXCEPTION(cosock::local_datagram_socket(next(), {.receive_buffer = each}),
                          system_error, refuses("receive_buffer", each));
    BOOST_CHECK_EXCEPTION(cosock::local_datagram_socket(next(), {.send_buffer = each}),
                          system_error, refuses("send_buffer", each));
  }
  for (const int each : {0, 0777, 07777}) {
    cosock::local_acceptor acceptor(next(), {.mode = each});
    cosock::local_datagram_socket socket(next(), {.mode = each});
  }
  for (const int each : {INT_MIN, -1, 010000, INT_MAX}) {
    BOOST_CHECK_EXCEPTION(cosock::local_acceptor(next(), {.mode = each}), system_error,
                          refuses("mode", each));
    BOOST_CHECK_EXCEPTION(cosock::local_datagram_socket(next(), {.mode = each}), system_error,
                          refuses("mode", each));
  }
}

COROUTINE_TEST_CASE(the_number_of_descriptors_to_receive) {
  auto [a, b] = cosock::local_pair();
  for (const std::size_t most : {std::size_t{0}, std::size_t{1}, SIZE_MAX - 1, SIZE_MAX}) {
    const int sent[] = {0};
    char byte;
    co_await a.send_with_descriptors("x", sent);
    const auto got = co_await b.receive_with_descriptors(cosock::buffer(&byte, 1), most);
    BOOST_TEST(got.descriptors.size() == std::min<std::size_t>(most, 1));
    BOOST_TEST(got.refused == (most ? 0u : 1u));
  }
}
