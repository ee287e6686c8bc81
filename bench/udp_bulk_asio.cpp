// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Bulk transfer of datagrams with Asio's own coroutines, which take one at a time.

#include "udp_bulk.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::udp;

asio::awaitable<void> transfer(udp::socket& from, udp::socket& to, std::uint64_t rounds) {
  static char out[datagram_bytes];
  static char in[2048];
  const stopwatch watch;
  std::uint64_t received = 0;
  std::uint64_t bytes = 0;
  // One by one they take more of the receiver's buffer, so they go in smaller portions.
  const std::size_t portion = in_a_round / 4;
  for (std::uint64_t round = 0; round < 4 * rounds; ++round) {
    for (std::size_t i = 0; i < portion; ++i)
      co_await from.async_send(asio::buffer(out), use_awaitable);
    for (std::size_t i = 0; i < portion; ++i) {
      udp::endpoint peer;
      bytes += co_await to.async_receive_from(asio::buffer(in), peer, use_awaitable);
      ++received;
    }
  }
  watch.report(received, bytes);
}

int main(int argc, char** argv) {
  asio::io_context context(1);
  udp::socket to(context, {asio::ip::address_v4::loopback(), 0});
  udp::socket from(context, {asio::ip::address_v4::loopback(), 0});
  from.connect(to.local_endpoint());
  asio::co_spawn(context, transfer(from, to, rounds_option(argc, argv)), asio::detached);
  context.run();
}
