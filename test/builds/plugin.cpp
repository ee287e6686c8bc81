// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A plugin that knows nothing of cosock, and uses Asio, of the Boost it is compiled with.

#include <boost/asio.hpp>
#include <boost/version.hpp>

#include <chrono>
#include <csignal>
#include <string>

namespace asio = boost::asio;
using asio::ip::tcp;

extern "C" int plugin_boost() { return BOOST_VERSION; }

// A connection to itself, with strands, timers, a thread, a signal, and an end of the stream.
extern "C" int plugin_run() {
  int done = 0;
  asio::io_context context;
  auto strand = asio::make_strand(context);
  asio::post(strand, [&] { done += strand.running_in_this_thread(); });
  asio::steady_timer timer(context, std::chrono::milliseconds(1));
  timer.async_wait([&](const boost::system::error_code& error) { done += !error; });
  asio::signal_set signals(context, SIGUSR2);
  signals.async_wait([&](const boost::system::error_code& error, int) { done += !error; });
  ::raise(SIGUSR2);

  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  tcp::socket server(context);
  tcp::socket client(context);
  std::string received;
  char into[5];
  acceptor.async_accept(server, [&](const boost::system::error_code&) {
    asio::async_write(server, asio::buffer("hello", 5),
                      [&](const boost::system::error_code&, std::size_t) { server.close(); });
  });
  client.async_connect(acceptor.local_endpoint(), [&](const boost::system::error_code&) {
    asio::async_read(client, asio::buffer(into), [&](const auto& error, std::size_t n) {
      done += !error && n == 5;
      client.async_read_some(asio::buffer(into), [&](const auto& end, std::size_t) {
        done += end == asio::error::eof && !end.message().empty();
      });
    });
  });
  context.run();

  asio::thread_pool pool(2);
  std::atomic<int> posted{0};
  for (int i = 0; i != 1000; ++i) asio::post(pool, [&] { ++posted; });
  pool.join();
  return done == 5 && posted == 1000 ? 0 : 1 + done;
}
