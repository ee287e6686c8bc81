// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>
#include <cosock/cosock.hpp>

#define BOOST_TEST_MODULE duplicates
#include "support.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <utility>

namespace {

using namespace test;
using cosock::local_acceptor;
using cosock::local_datagram_socket;
using cosock::local_endpoint;
using cosock::local_pair;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::udp_socket;
using cosock::unique_descriptor;

/// Closes an object whose descriptor is open elsewhere too, and opens its number for the same file
/// again: what an object of the same kind then takes over.
template <class T>
int close_and_reopen(T& which) {
  const int number = which.native_handle();
  const auto elsewhere = unique_descriptor::adopt(::fcntl(number, F_DUPFD_CLOEXEC, 0));
  which.close();
  BOOST_REQUIRE(::dup3(elsewhere.get(), number, O_CLOEXEC) == number);
  return number;
}

task<> receive_byte(cosock::byte_stream& from) {
  char byte[1];
  co_await from.receive_exactly(cosock::mutable_buffer(byte, 1));
}

/// The second end is closed and taken over; it must still be woken.
template <class Stream>
task<> check_stream(Stream first, Stream second) {
  // It has waited for both directions before.
  co_await second.send(cosock::const_buffer("x", 1));
  co_await receive_byte(first);
  Stream again = Stream::adopt(close_and_reopen(second));
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start(receive_byte, std::ref(again));
    co_await cosock::yield();
    co_await first.send(cosock::const_buffer("y", 1));
  });
}

}  // namespace

COROUTINE_TEST_CASE(a_stream_that_is_open_elsewhere_leaves_nothing_when_it_closes) {
  {
    auto [a, b] = local_pair();
    co_await check_stream(std::move(a), std::move(b));
  }
  auto [a, b] = local_pair<local_seqpacket_socket>();
  co_await check_stream(std::move(a), std::move(b));
}

COROUTINE_TEST_CASE(a_connection_that_is_open_elsewhere_leaves_nothing_when_it_closes) {
  tcp_acceptor acceptor(cosock::endpoint::parse("127.0.0.1:0"));
  tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  co_await check_stream(std::move(client), co_await acceptor.accept());
}

COROUTINE_TEST_CASE(acceptors_and_datagram_sockets_leave_nothing_either) {
  tcp_acceptor acceptor(cosock::endpoint::parse("127.0.0.1:0"));
  tcp_acceptor again = tcp_acceptor::adopt(close_and_reopen(acceptor));
  const tcp_socket client = co_await cosock::connect(again.local_endpoint());
  const tcp_socket server = co_await again.accept();

  local_acceptor local((local_endpoint()));
  local_acceptor local_again = local_acceptor<>::adopt(close_and_reopen(local));
  const auto local_client = co_await cosock::connect(local_again.local_endpoint());
  const auto local_server = co_await local_again.accept();

  udp_socket udp(cosock::endpoint::parse("127.0.0.1:0"));
  BOOST_CHECK_NO_THROW((void)udp_socket::adopt(close_and_reopen(udp)));
  local_datagram_socket datagrams((local_endpoint()));
  BOOST_CHECK_NO_THROW((void)local_datagram_socket::adopt(close_and_reopen(datagrams)));
}

BOOST_AUTO_TEST_CASE(a_loop_hears_nothing_of_a_socket_that_it_has_closed) {
  cosock::loop loop;
  const auto make = []() -> task<std::pair<local_stream_socket, local_stream_socket>> {
    co_return local_pair();
  };
  auto [a, b] = loop.run(make());
  const auto elsewhere = unique_descriptor::adopt(::fcntl(b.native_handle(), F_DUPFD_CLOEXEC, 0));
  b.close();
  while (loop.poll() != 0) continue;
  BOOST_REQUIRE(::send(a.native_handle(), "x", 1, MSG_NOSIGNAL) == 1);
  BOOST_TEST(loop.poll() == 0u);
}

BOOST_AUTO_TEST_CASE(nor_of_a_socket_of_asio_that_it_has_closed) {
  using boost::asio::ip::tcp;
  cosock::loop loop;
  std::optional<cosock::asio_stream<tcp::socket>> stream;
  std::optional<tcp_socket> peer;
  const auto make = [&]() -> task<> {
    tcp_acceptor acceptor(cosock::endpoint::parse("127.0.0.1:0"));
    tcp::socket socket(cosock::loop_executor());
    co_await socket.async_connect(
        {boost::asio::ip::address_v4::loopback(), acceptor.local_endpoint().port()},
        cosock::use_task);
    stream.emplace(std::move(socket));
    peer.emplace(co_await acceptor.accept());
  };
  loop.run(make());
  const auto elsewhere =
      unique_descriptor::adopt(::fcntl(stream->next_layer().native_handle(), F_DUPFD_CLOEXEC, 0));
  stream->close();
  while (loop.poll() != 0) continue;
  BOOST_REQUIRE(::send(peer->native_handle(), "x", 1, MSG_NOSIGNAL) == 1);
  BOOST_TEST(loop.poll() == 0u);
}
