// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The first step: connect to a server, send it a line, print what it answers; all within 5 seconds.
//
//   hello HOST PORT            against echo_server, say

#include <cosock/cancel.hpp>
#include <cosock/connect.hpp>
#include <cosock/run.hpp>

#include <array>
#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

cosock::task<> hello(std::string host, std::string port) {
  cosock::tcp_socket socket = co_await cosock::connect(host, port);
  const std::string_view greeting = "hello\n";
  co_await socket.send(greeting);
  socket.shutdown_send();

  std::array<char, 1024> buffer;
  while (std::size_t n = co_await socket.receive(buffer)) std::fwrite(buffer.data(), 1, n, stdout);
}

// The limit covers everything inside: looking up the name, connecting, sending, receiving.
cosock::task<> hello_in_time(std::string host, std::string port) {
  co_await cosock::with_timeout(5s, hello(host, port));
}

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: hello HOST PORT");
  return cosock::run(hello_in_time(argv[1], argv[2]));
}
