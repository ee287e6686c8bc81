// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What acceptors bind to: addresses, ports, backlogs and descriptors.

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp_listen
#include "loop_endings.hpp"
#include "raw_socket.hpp"
#include "stream_fixture.hpp"
#include "tcp_fixture.hpp"

#include <cosock/connect.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <string_view>

namespace {

using namespace test;
using cosock::address;
using cosock::endpoint;
using cosock::tcp_acceptor;
using cosock::tcp_acceptor_options;
using cosock::tcp_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(accepting)

COROUTINE_TEST_CASE(two_acceptors_on_one_address_are_refused) {
  tcp_acceptor first(any_port_v4);
  const endpoint at = first.local_endpoint();
  const std::size_t before = open_descriptors();
  BOOST_CHECK_EXCEPTION(
      tcp_acceptor{at}, boost::system::system_error, [&](const boost::system::system_error& e) {
        return e.code() == errc::address_in_use &&
               std::string_view(e.what()).find(at.to_string()) != std::string_view::npos;
      });
  BOOST_TEST(open_descriptors() == before);
  first.close();
  tcp_acceptor second(at);
  BOOST_TEST(second.local_endpoint() == at);
  co_return;
}

/// Connections that linger do not keep a server from starting again.
COROUTINE_TEST_CASE(an_address_with_old_connections_can_be_bound_again) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint at = acceptor.local_endpoint();
  raw_socket client(at);
  tcp_socket server = co_await acceptor.accept();
  server.close();  // closes first, so it is the one to linger
  client.close();
  acceptor.close();
  tcp_acceptor again(at);
  BOOST_TEST(again.is_open());
}

COROUTINE_TEST_CASE(an_address_that_is_not_ours_is_an_error) {
  const endpoint foreign(address(address::v4_bytes{192, 0, 2, 1}), 0);
  BOOST_TEST(thrown_by([&] { tcp_acceptor{foreign}; }) == system_code(EADDRNOTAVAIL));
  co_return;
}

int backlog_of(const tcp_acceptor& acceptor) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  BOOST_REQUIRE(::getsockopt(acceptor.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  return static_cast<int>(info.tcpi_sacked);  // where it listens
}

COROUTINE_TEST_CASE(the_backlog_is_as_asked_for_and_can_be_changed) {
  tcp_acceptor acceptor(any_port_v4, {.backlog = 7});
  BOOST_TEST(backlog_of(acceptor) == 7);
  acceptor.set_backlog(9);
  BOOST_TEST(backlog_of(acceptor) == 9);
  acceptor.close();
  BOOST_TEST(thrown_by([&] { acceptor.set_backlog(1); }) == code(cosock::error::closed));
  co_return;
}

COROUTINE_TEST_CASE(a_released_acceptor_goes_on_listening_and_can_be_adopted) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint at = acceptor.local_endpoint();
  pending_op accept;
  int fd = -1;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return acceptor.accept(); });
    co_await let_others_run();
    fd = acceptor.release();
  });
  BOOST_TEST(accept.result.is(cosock::error::closed));
  BOOST_TEST(!acceptor.is_open());
  BOOST_TEST(acceptor.release() == -1);
  const raw_socket client(at);
  BOOST_REQUIRE(::fcntl(fd, F_SETFL, 0) == 0);
  BOOST_REQUIRE(::fcntl(fd, F_SETFD, 0) == 0);
  tcp_acceptor back = tcp_acceptor::adopt(fd);
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK));
  BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC));
  BOOST_TEST(back.local_endpoint() == at);
  BOOST_TEST((co_await back.accept()).is_open());
}

COROUTINE_TEST_CASE(what_does_not_listen_is_not_adopted_as_an_acceptor) {
  BOOST_TEST(thrown_by([] { (void)tcp_acceptor::adopt(-1); }) == system_code(EBADF));
  const int stream = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  BOOST_TEST(thrown_by([&] { (void)tcp_acceptor::adopt(stream); }) == system_code(EINVAL));
  BOOST_TEST(::fcntl(stream, F_GETFD) == -1);
  const int datagrams = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  BOOST_TEST(thrown_by([&] { (void)tcp_acceptor::adopt(datagrams); }) == system_code(EPROTOTYPE));
  BOOST_TEST(::fcntl(datagrams, F_GETFD) == -1);
  co_return;
}

COROUTINE_TEST_CASE(two_acceptors_share_a_port) {
  const tcp_acceptor_options sharing = {.reuse_port = true};
  tcp_acceptor one(any_port_v4, sharing);
  const endpoint at = one.local_endpoint();
  tcp_acceptor two(at, sharing);
  constexpr int all = 100;
  int accepted[2] = {};
  const auto accept = [&](tcp_acceptor& from, int& count, nursery& n) -> task<> {
    for (;;) {
      (void)co_await from.accept();
      ++count;
      if (accepted[0] + accepted[1] == all) n.cancel();
    }
  };
  std::vector<raw_socket> clients;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&] { return accept(one, accepted[0], n); });
    n.start([&] { return accept(two, accepted[1], n); });
    for (int i = 0; i != all; ++i) clients.emplace_back(at);
    co_return;
  });
  BOOST_TEST(accepted[0] > 0);
  BOOST_TEST(accepted[1] > 0);
  BOOST_TEST(accepted[0] + accepted[1] == all);
}

COROUTINE_TEST_CASE(a_v6_acceptor_takes_v4_connections_unless_told_not_to) {
  for (const bool v6_only : {false, true}) {
    tcp_acceptor acceptor(endpoint(address::any_v6(), 0), {.v6_only = v6_only});
    const std::uint16_t port = acceptor.local_endpoint().port();
    const endpoint v4(address::loopback_v4(), port);
    const endpoint v6(address::loopback_v6(), port);
    endpoint peer;
    tcp_socket client = co_await cosock::connect(v6);
    (void)co_await acceptor.accept(peer);
    BOOST_TEST(peer == client.local_endpoint());
    if (v6_only) {
      BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(v4), boost::system::system_error,
                            is(errc::connection_refused));
      tcp_acceptor beside(v4);
      BOOST_TEST(beside.is_open());
    } else {
      client = co_await cosock::connect(v4);
      const tcp_socket server = co_await acceptor.accept(peer);
      BOOST_TEST(peer.address().is_v4_mapped());
      BOOST_TEST(endpoint(peer.address().unmapped(), peer.port()) == client.local_endpoint());
      BOOST_TEST(server.remote_endpoint() == peer);
    }
  }
}

COROUTINE_TEST_CASE(the_backlog_limits_how_many_wait) {
  tcp_acceptor acceptor(any_port_v4, {.backlog = 1});
  std::vector<raw_socket> clients;
  int established = 0;
  for (int i = 0; i != 6; ++i) {
    raw_socket client(SOCK_STREAM | SOCK_NONBLOCK);
    client.connect(acceptor.local_endpoint());
    pollfd asked = {client.fd(), POLLOUT, 0};
    if (::poll(&asked, 1, 50) == 1) ++established;
    clients.push_back(std::move(client));
  }
  BOOST_TEST(established == 2);  // the system adds one
  for (int i = 0; i != established; ++i) (void)co_await acceptor.accept();
}

BOOST_AUTO_TEST_SUITE_END()
