// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the servers on Asio's own coroutines have in common: they accept, until a signal ends them.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;

using connection_handler = asio::awaitable<void> (*)(tcp::socket);

inline asio::awaitable<void> accept_all(tcp::acceptor& acceptor, connection_handler one) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), one(std::move(socket)), asio::detached);
  }
}

inline int serve_with_asio(int argc, char** argv, connection_handler one) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  asio::io_context context(1);
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](boost::system::error_code, int) { context.stop(); });

  auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});
  std::printf("listening on 127.0.0.1:%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  asio::co_spawn(context, accept_all(acceptor, one), asio::detached);
  context.run();
  return 0;
}

/// What reader_load wants to hear in the end.
struct tally {
  std::uint64_t items = 0;
  std::uint64_t bytes = 0;
  void add(std::size_t size) {
    ++items;
    bytes += size;
  }
  std::string answer() const { return std::to_string(items) + ' ' + std::to_string(bytes) + '\n'; }
};
