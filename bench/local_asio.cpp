// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Round trips of 64 bytes between two of Asio's own coroutines, over each kind of connection.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/seq_packet_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;
using seqpacket = asio::generic::seq_packet_protocol;  // Asio has none for local sockets

template <class Socket>
asio::awaitable<void> send(Socket& s, asio::const_buffer from) {
  co_await asio::async_write(s, from, use_awaitable);
}
template <class Socket>
asio::awaitable<void> receive(Socket& s, asio::mutable_buffer into) {
  co_await asio::async_read(s, into, use_awaitable);
}
asio::awaitable<void> send(seqpacket::socket& s, asio::const_buffer from) {
  co_await s.async_send(from, 0, use_awaitable);
}
asio::awaitable<void> receive(seqpacket::socket& s, asio::mutable_buffer into) {
  asio::socket_base::message_flags flags = 0;
  co_await s.async_receive(into, flags, use_awaitable);
}

template <class Socket>
asio::awaitable<void> answer(Socket& s, int rounds) {
  char buffer[64];
  for (int i = 0; i < rounds; ++i) {
    co_await receive(s, asio::buffer(buffer));
    co_await send(s, asio::buffer(buffer));
  }
}

template <class Socket>
asio::awaitable<void> ask(Socket& s, int rounds) {
  char buffer[64] = {};
  for (int i = 0; i < rounds; ++i) {
    co_await send(s, asio::buffer(buffer));
    co_await receive(s, asio::buffer(buffer));
  }
}

template <class Socket>
void measure(const char* key, asio::io_context& context, Socket& a, Socket& b, int rounds) {
  const auto begun = std::chrono::steady_clock::now();
  asio::co_spawn(context, answer(b, rounds), asio::detached);
  asio::co_spawn(context, ask(a, rounds), asio::detached);
  context.restart();
  context.run();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begun;
  std::printf("%s %.0f\n", key, took.count() / rounds);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: local_asio ROUNDS\n");
    return 2;
  }
  const int rounds = std::atoi(argv[1]);
  asio::io_context context(1);
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  tcp::socket client(context);
  client.connect(acceptor.local_endpoint());
  tcp::socket server = acceptor.accept();
  client.set_option(tcp::no_delay(true));
  server.set_option(tcp::no_delay(true));
  measure("tcp_ns", context, client, server, rounds);
  asio::local::stream_protocol::socket one(context);
  asio::local::stream_protocol::socket two(context);
  asio::local::connect_pair(one, two);
  measure("stream_ns", context, one, two, rounds);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return 1;
  seqpacket::socket three(context, seqpacket(AF_UNIX, 0), ends[0]);
  seqpacket::socket four(context, seqpacket(AF_UNIX, 0), ends[1]);
  measure("seqpacket_ns", context, three, four, rounds);
}
