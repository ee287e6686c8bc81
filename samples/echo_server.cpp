// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends back whatever each client sends, to any number of clients at once. On SIGTERM or SIGINT it
// stops accepting, gives its clients 10 seconds to end, and exits with status 0.
//
//   echo_server [--host ADDR] [--port PORT]      default 127.0.0.1 and 7000; port 0 picks one

#include <cosock/cosock.hpp>

#include <cstdio>

#include "options.hpp"

using namespace std::chrono_literals;

cosock::task<> echo(cosock::tcp_socket socket) {
  char buffer[4096];
  while (std::size_t n = co_await socket.receive(buffer))
    co_await socket.send(cosock::buffer(buffer, n));
}

// What goes wrong with one client ends with that client.
cosock::task<> serve_client(cosock::tcp_socket socket) {
  const auto ended = co_await cosock::as_result(cosock::with_grace(10s, echo(std::move(socket))));
  if (!ended) std::fprintf(stderr, "echo_server: %s\n", ended.error().message().c_str());
}

cosock::task<> serve(cosock::endpoint at) {
  cosock::tcp_acceptor acceptor(at);
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  co_await cosock::with_nursery([&](cosock::nursery& clients) -> cosock::task<> {
    auto listening = std::move(acceptor);  // until this block ends, not until the clients do
    for (;;) clients.start(serve_client, co_await listening.accept());
  });
}

int main(int argc, char** argv) { return cosock::run(serve(endpoint_option(argc, argv))); }
