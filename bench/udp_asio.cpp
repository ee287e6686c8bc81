// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// A datagram echo server on Asio's own coroutines, as its documentation writes one.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::udp;

asio::awaitable<void> serve(udp::socket& socket) {
  char buffer[2048];
  for (;;) {
    udp::endpoint from;
    const std::size_t n =
        co_await socket.async_receive_from(asio::buffer(buffer), from, use_awaitable);
    co_await socket.async_send_to(asio::buffer(buffer, n), from, use_awaitable);
  }
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: udp_asio PORT\n");
    return 2;
  }
  asio::io_context context(1);
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](boost::system::error_code, int) { context.stop(); });
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  udp::socket socket(context, {asio::ip::address_v4::loopback(), port});
  std::printf("listening on 127.0.0.1:%u\n", socket.local_endpoint().port());
  std::fflush(stdout);
  asio::co_spawn(context, serve(socket), asio::detached);
  context.run();
}
