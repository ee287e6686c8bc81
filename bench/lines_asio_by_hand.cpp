// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Counts lines with Asio's own coroutines, but without async_read_until: what a buffer and a loop of
// one's own come to.

#include "asio_server.hpp"

#include <cstring>
#include <vector>

asio::awaitable<void> count_lines(tcp::socket socket) {
  tally seen;
  try {
    std::vector<char> data(65536);
    std::size_t there = 0;
    for (;;) {
      there += co_await socket.async_read_some(
          asio::buffer(data.data() + there, data.size() - there), use_awaitable);
      const char* line = data.data();
      const char* const end = line + there;
      while (const void* lf = std::memchr(line, '\n', static_cast<std::size_t>(end - line))) {
        seen.add(static_cast<std::size_t>(static_cast<const char*>(lf) - line));
        line = static_cast<const char*>(lf) + 1;
      }
      there = static_cast<std::size_t>(end - line);
      std::memmove(data.data(), line, there);
    }
  } catch (const boost::system::system_error&) {
    // End of stream is an error in Asio.
  }
  const std::string answer = seen.answer();
  co_await asio::async_write(socket, asio::buffer(answer), use_awaitable);
}

int main(int argc, char** argv) { return serve_with_asio(argc, argv, count_lines); }
