// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Options of sockets, of acceptors and of connect().

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp_options
#include "loop_endings.hpp"
#include "tcp_fixture.hpp"

#include <cosock/connect.hpp>
#include <cosock/tcp_options.hpp>
#include <cosock/when.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace {

using namespace test;
using cosock::address;
using cosock::connect_options;
using cosock::endpoint;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(options)

COROUTINE_TEST_CASE(socket_options_read_back_as_set) {
  connection c = co_await connect_pair();
  for (tcp_socket* s : {&c.client, &c.server}) {
    BOOST_TEST(s->no_delay());  // without being told
    BOOST_TEST(!s->linger().has_value());
    BOOST_TEST(!s->keep_alive().enabled);
    s->set_no_delay(false);
    BOOST_TEST(!s->no_delay());
    s->set_no_delay(true);
    BOOST_TEST(s->no_delay());

    s->set_keep_alive({.idle = 11s, .interval = 11'001ms, .count = 3});
    BOOST_TEST(s->keep_alive().enabled);
    BOOST_TEST((s->keep_alive().idle == 11s));
    BOOST_TEST((s->keep_alive().interval == 12s));  // rounded up
    BOOST_TEST((s->keep_alive().count == 3));
    s->set_keep_alive({.enabled = false});
    BOOST_TEST(!s->keep_alive().enabled);
    BOOST_TEST((s->keep_alive().count == 3));  // not set: left

    s->set_receive_buffer(20'000);
    BOOST_TEST(s->receive_buffer() == 40'000);
    s->set_send_buffer(30'000);
    BOOST_TEST(s->send_buffer() == 60'000);

    s->set_linger(4'001ms);
    BOOST_TEST((s->linger() == 5s));  // rounded up
    s->set_linger(0s);
    BOOST_TEST((s->linger() == 0s));
    s->set_linger(std::nullopt);
    BOOST_TEST(!s->linger().has_value());

    s->set_user_timeout(1'499'001us);
    BOOST_TEST((s->user_timeout() == 1500ms));  // rounded up
    s->set_user_timeout(std::nullopt);
    BOOST_TEST(!s->user_timeout().has_value());

    BOOST_TEST(thrown_by([&] { s->set_keep_alive({.idle = -1s}); }) == system_code(EINVAL));
    BOOST_TEST(thrown_by([&] { s->set_user_timeout(-1ms); }) == system_code(EINVAL));
  }
}

namespace {

int int_option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  BOOST_REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

}  // namespace

COROUTINE_TEST_CASE(acceptor_options_are_set) {
  const endpoint any_v6(address::any_v6(), 0);  // another one is no V6ONLY matter
  tcp_acceptor plain(any_v6);
  const int fd = plain.native_handle();
  BOOST_TEST(int_option(fd, SOL_SOCKET, SO_REUSEADDR) == 1);
  BOOST_TEST(int_option(fd, SOL_SOCKET, SO_REUSEPORT) == 0);
  BOOST_TEST(int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
  BOOST_TEST(int_option(fd, IPPROTO_TCP, TCP_FASTOPEN) == 0);

  tcp_acceptor special(any_v6, {.reuse_address = false,
                                .reuse_port = true,
                                .v6_only = true,
                                .fast_open = 7,
                                .receive_buffer = 20'000,
                                .send_buffer = 30'000});
  const int fd2 = special.native_handle();
  BOOST_TEST(int_option(fd2, SOL_SOCKET, SO_REUSEADDR) == 0);
  BOOST_TEST(int_option(fd2, SOL_SOCKET, SO_REUSEPORT) == 1);
  BOOST_TEST(int_option(fd2, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
  BOOST_TEST(int_option(fd2, IPPROTO_TCP, TCP_FASTOPEN) == 7);

  // Each connection has the buffers from its start.
  const endpoint to(address::loopback_v6(), special.local_endpoint().port());
  auto [client, server] = co_await cosock::when_all(cosock::connect(to), special.accept());
  BOOST_TEST(server.receive_buffer() == 40'000);
  BOOST_TEST(server.send_buffer() == 60'000);
}

COROUTINE_TEST_CASE(connect_options_are_set) {
  tcp_acceptor acceptor(any_port_v4);
  connect_options options;
  options.no_delay = false;
  options.receive_buffer = 20'000;
  options.send_buffer = 30'000;
  options.local = endpoint(address(address::v4_bytes{127, 0, 0, 7}), 0);
  const endpoint to = acceptor.local_endpoint();
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(to, options), acceptor.accept());
  BOOST_TEST(!client.no_delay());
  BOOST_TEST(client.receive_buffer() == 40'000);
  BOOST_TEST(client.send_buffer() == 60'000);
  BOOST_TEST(client.local_endpoint().address() == options.local->address());
  BOOST_TEST(server.remote_endpoint() == client.local_endpoint());
}

BOOST_AUTO_TEST_SUITE_END()
