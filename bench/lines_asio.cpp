// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Counts lines with Asio's own coroutines, in the form that its chat examples have: a string, from
// which each line is erased.

#include "asio_server.hpp"

#include <boost/asio/read_until.hpp>

asio::awaitable<void> count_lines(tcp::socket socket) {
  tally seen;
  try {
    std::string data;
    for (;;) {
      std::size_t size = co_await asio::async_read_until(socket, asio::dynamic_buffer(data, 65536),
                                                         '\n', use_awaitable);
      seen.add(size - 1);
      data.erase(0, size);
    }
  } catch (const boost::system::system_error&) {
    // End of stream is an error in Asio.
  }
  const std::string answer = seen.answer();
  co_await asio::async_write(socket, asio::buffer(answer), use_awaitable);
}

int main(int argc, char** argv) { return serve_with_asio(argc, argv, count_lines); }
