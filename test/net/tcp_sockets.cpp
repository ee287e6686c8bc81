// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The ends of a connection: their names, and sockets that are moved, adopted and released.

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp_sockets
#include "loop_endings.hpp"
#include "raw_socket.hpp"
#include "stream_fixture.hpp"
#include "tcp_fixture.hpp"

#include <cosock/connect.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <stdexcept>
#include <string_view>

namespace {

using namespace test;
using cosock::endpoint;
using cosock::loop;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(ends)

COROUTINE_TEST_CASE(both_ends_know_both_endpoints) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    tcp_acceptor acceptor(at);
    const endpoint to = acceptor.local_endpoint();
    BOOST_TEST(to.address() == at.address());
    BOOST_TEST(to.port() != 0);
    endpoint peer;
    auto [client, server] = co_await cosock::when_all(cosock::connect(to), acceptor.accept(peer));
    BOOST_TEST(client.remote_endpoint() == to);
    BOOST_TEST(server.local_endpoint() == to);
    BOOST_TEST(client.local_endpoint() == server.remote_endpoint());
    BOOST_TEST(client.local_endpoint() == peer);
    co_await round_trip(client, server);
  }
}

COROUTINE_TEST_CASE(a_socket_made_by_default_is_closed) {
  tcp_socket none;
  byte_pattern l;
  char into[8];
  BOOST_TEST(!none.is_open());
  BOOST_TEST(none.native_handle() == -1);
  BOOST_TEST(none.release() == -1);
  none.close();
  none.abort();
  for (const operation which : all_operations) {
    const outcome o = co_await perform(which, none, into, l, 8);
    BOOST_TEST(o.is(cosock::error::closed));
  }
  BOOST_TEST(thrown_by([&] { (void)none.local_endpoint(); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)none.remote_endpoint(); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { none.shutdown_send(); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { none.set_no_delay(true); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)none.linger(); }) == code(cosock::error::closed));
  tcp_acceptor no_acceptor;
  BOOST_TEST(!no_acceptor.is_open());
  BOOST_TEST((co_await outcome_of_accept(no_acceptor)).is(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)no_acceptor.local_endpoint(); }) == code(cosock::error::closed));
}

COROUTINE_TEST_CASE(a_moved_socket_leaves_a_closed_one) {
  connection c = co_await connect_pair();
  tcp_socket moved = std::move(c.client);
  BOOST_TEST(!c.client.is_open());
  BOOST_TEST(moved.is_open());
  co_await round_trip(moved, c.server);
  c.client = std::move(moved);
  co_await round_trip(c.client, c.server);
  tcp_socket& itself = c.client;
  c.client = std::move(itself);
  co_await round_trip(c.client, c.server);

  // What is assigned over is closed.
  connection other = co_await connect_pair();
  c.client = std::move(other.client);
  char into[8];
  BOOST_TEST(co_await c.server.receive(into) == 0u);
  co_await round_trip(c.client, other.server);
}

/// The socket moves, the operations stay.
COROUTINE_TEST_CASE(a_socket_moves_while_operations_are_pending) {
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    connection c = co_await connect_pair();
    byte_pattern to_client;
    byte_pattern to_server;
    char into[8];
    pending_op op;
    tcp_socket moved;
    co_await clog(c.client, to_server);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return perform(which, c.client, into, to_server, 1000); });
      co_await let_others_run();
      BOOST_TEST(!op.done);
      moved = std::move(c.client);
      co_await let_others_run();
      BOOST_TEST(!op.done);
      co_await send(c.server, to_client, 8);
      co_await drain(c.server, to_server);
    });
    BOOST_TEST(!op.result.error);
    if (which < operation::send)
      BOOST_TEST(to_client.received(into, op.result.bytes));
    else
      to_server.sent(op.result);
    co_await drain(moved, to_client);
    co_await drain(c.server, to_server);
    co_await round_trip(moved, c.server);
  }
}

COROUTINE_TEST_CASE(an_adopted_descriptor_is_non_blocking_and_close_on_exec) {
  tcp_acceptor acceptor(any_port_v4);
  raw_socket raw(acceptor.local_endpoint());
  ::fcntl(raw.fd(), F_SETFD, 0);
  tcp_socket peer = co_await acceptor.accept();
  const int fd = raw.fd();
  tcp_socket adopted = tcp_socket::adopt(raw.release());
  BOOST_TEST(adopted.native_handle() == fd);
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  co_await round_trip(adopted, peer);
  adopted.close();
  BOOST_TEST(::fcntl(fd, F_GETFD) == -1);
}

/// What was sent, or happened, before the loop knows the descriptor is not missed.
COROUTINE_TEST_CASE(an_adopted_descriptor_has_what_came_before) {
  for (const char how : {'d', 'f', 'r'}) {
    BOOST_TEST_INFO_SCOPE(how);
    tcp_acceptor acceptor(any_port_v4);
    raw_socket raw(acceptor.local_endpoint());
    tcp_socket peer = co_await acceptor.accept();
    co_await peer.send("early");
    if (how == 'f') peer.close();
    if (how == 'r') peer.abort();
    wait_behind_the_loops_back(raw.fd(), how == 'r' ? POLLHUP : POLLIN);
    tcp_socket adopted = tcp_socket::adopt(raw.release());
    char into[5];
    outcome o = co_await outcome_of(adopted.receive_exactly(into));
    if (how != 'r') BOOST_TEST(std::string_view(into, o.bytes) == "early");
    if (how != 'd') {
      o = co_await outcome_of(adopted.receive(into));
      BOOST_TEST(o.error == (how == 'f' ? error_code() : reset_by_peer()));
    }
  }
}

COROUTINE_TEST_CASE(a_descriptor_that_cannot_be_adopted_is_refused_and_closed) {
  BOOST_TEST(thrown_by([] { (void)tcp_socket::adopt(-1); }) == system_code(EBADF));
  int ends[2];
  BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  BOOST_TEST(thrown_by([&] { (void)tcp_socket::adopt(ends[0]); }) == system_code(ENOTSOCK));
  BOOST_TEST(::fcntl(ends[0], F_GETFD) == -1);
  ::close(ends[1]);
  const int file = ::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  BOOST_TEST(thrown_by([&] { (void)tcp_socket::adopt(file); }) == system_code(ENOTSOCK));
  BOOST_TEST(::fcntl(file, F_GETFD) == -1);
  co_return;
}

BOOST_AUTO_TEST_CASE(sockets_are_made_on_a_loop_that_runs) {
  const std::size_t before = open_descriptors();
  BOOST_CHECK_THROW(tcp_acceptor{any_port_v4}, std::logic_error);
  BOOST_CHECK_THROW((void)tcp_socket::adopt(::dup(0)), std::logic_error);
  BOOST_TEST(open_descriptors() == before);
  loop on;
  tcp_acceptor acceptor(on, any_port_v4);
  BOOST_TEST(acceptor.local_endpoint().port() != 0);
}

COROUTINE_TEST_CASE(a_released_descriptor_stays_open_and_is_the_callers) {
  connection c = co_await connect_pair();
  char into[8];
  pending_op read;
  int fd = -1;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return c.client.receive(into); });
    co_await let_others_run();
    fd = c.client.release();
  });
  BOOST_TEST(read.result.is(cosock::error::closed));
  BOOST_TEST(!c.client.is_open());
  BOOST_TEST(c.client.release() == -1);
  BOOST_TEST(::send(fd, "raw", 3, 0) == 3);
  BOOST_TEST(co_await c.server.receive(into) == 3u);
  // It can come back, although the loop has known it once.
  co_await c.server.send("again");
  tcp_socket back = tcp_socket::adopt(fd);
  BOOST_TEST(co_await back.receive(into) == 5u);
  co_await round_trip(back, c.server);
}

BOOST_AUTO_TEST_CASE(a_released_descriptor_moves_to_another_loop) {
  loop one;
  loop two;
  connection c = one.run(connect_pair());
  const int fd = c.client.release();
  two.run([](int fd) -> task<> {
    tcp_socket moved = tcp_socket::adopt(fd);
    co_await moved.send("from two");
  }(fd));
  one.run([](tcp_socket& s) -> task<> {
    char into[8];
    co_await s.receive_exactly(into);
    BOOST_TEST(std::string_view(into, 8) == "from two");
    BOOST_TEST(co_await s.receive(into) == 0u);
  }(c.server));
}

BOOST_AUTO_TEST_CASE(a_socket_of_another_loop_is_refused) {
  loop one;
  loop two;
  connection c = one.run(connect_pair());
  tcp_acceptor acceptor(one, any_port_v4);
  two.run([](connection& c, tcp_acceptor& acceptor) -> task<> {
    for (const operation which : all_operations) {
      BOOST_TEST_INFO_SCOPE(which);
      byte_pattern l;
      char into[8];
      const outcome o = co_await perform(which, c.client, into, l, 8);
      BOOST_TEST(o.is(cosock::error::wrong_loop));
    }
    BOOST_TEST((co_await outcome_of_accept(acceptor)).is(cosock::error::wrong_loop));
  }(c, acceptor));
  one.run(round_trip(c.client, c.server));
}

BOOST_AUTO_TEST_SUITE_END()
