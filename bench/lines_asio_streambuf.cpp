// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Counts lines with Asio's own coroutines, in the fastest form that async_read_until has: a streambuf,
// which consumes a line without moving the rest, and has room for a segment from the beginning.

#include "asio_server.hpp"

#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>

asio::awaitable<void> count_lines(tcp::socket socket) {
  tally seen;
  try {
    asio::streambuf data;
    data.prepare(65536);
    for (;;) {
      std::size_t size = co_await asio::async_read_until(socket, data, '\n', use_awaitable);
      seen.add(size - 1);
      data.consume(size);
    }
  } catch (const boost::system::system_error&) {
    // End of stream is an error in Asio.
  }
  const std::string answer = seen.answer();
  co_await asio::async_write(socket, asio::buffer(answer), use_awaitable);
}

int main(int argc, char** argv) { return serve_with_asio(argc, argv, count_lines); }
