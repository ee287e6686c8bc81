// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Counts frames with Asio's own coroutines, in the form that its chat examples have: a read for the
// length, and one for what follows.

#include "asio_server.hpp"

#include <boost/asio/read.hpp>

#include <boost/endian/conversion.hpp>

#include <array>

asio::awaitable<void> count_frames(tcp::socket socket) {
  tally seen;
  try {
    std::array<unsigned char, 4> head;
    std::string body;
    for (;;) {
      co_await asio::async_read(socket, asio::buffer(head), use_awaitable);
      const std::size_t size = boost::endian::load_big_u32(head.data());
      if (size > 1 << 20) co_return;
      body.resize(size);
      co_await asio::async_read(socket, asio::buffer(body), use_awaitable);
      seen.add(size);
    }
  } catch (const boost::system::system_error&) {
    // End of stream is an error in Asio.
  }
  const std::string answer = seen.answer();
  co_await asio::async_write(socket, asio::buffer(answer), use_awaitable);
}

int main(int argc, char** argv) { return serve_with_asio(argc, argv, count_frames); }
