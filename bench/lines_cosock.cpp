// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Counts lines with cosock's buffered_reader.

#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

cosock::task<> count_lines(cosock::tcp_socket& socket) {
  cosock::buffered_reader_options options;
  options.capacity = 65536;
  cosock::buffered_reader reader(socket, options);
  std::uint64_t lines = 0;
  std::uint64_t bytes = 0;
  while (const auto line = co_await reader.read_line()) {
    ++lines;
    bytes += line->size();
  }
  const std::string answer = std::to_string(lines) + ' ' + std::to_string(bytes) + '\n';
  co_await socket.send(answer);
}

cosock::task<> serve(std::uint16_t port) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), port});
  std::printf("listening on 127.0.0.1:%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  co_await cosock::serve(acceptor, count_lines);
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: lines_cosock PORT");
  return cosock::run(serve(static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
