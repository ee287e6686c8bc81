// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The first sample: connects to a server, sends a line, and prints the answer, within 5 seconds.
//
//   hello HOST PORT            the server can be echo_server

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

// The limit covers the name resolution, the connection, the send and the receives.
cosock::task<> hello_with_timeout(std::string host, std::string port) {
  co_await cosock::with_timeout(5s, hello(host, port));
}

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: hello HOST PORT");
  return cosock::run(hello_with_timeout(argv[1], argv[2]));
}
