// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// An echo server on a local (Unix) socket that prints the process and the user of each client. On
// SIGTERM or SIGINT it stops accepting, removes the socket file, waits up to 10 seconds for its
// clients, and exits with status 0.
//
//   local_echo_server PATH [--idle SECONDS]
//
// A PATH of @NAME is an abstract name, without a file; only the user of the server can connect. The
// server disconnects a client that sends or receives nothing for 60 seconds.

#include <cosock/cosock.hpp>

#include <cstdio>
#include <exception>

#include "options.hpp"

using namespace std::chrono_literals;

cosock::task<> echo(cosock::local_stream_socket socket, std::chrono::milliseconds idle_limit) {
  char buffer[4096];
  while (std::size_t n = co_await cosock::with_timeout(idle_limit, socket.receive(buffer)))
    co_await cosock::with_timeout(idle_limit, socket.send(cosock::buffer(buffer, n)));
}

// An error ends one client, not the server.
cosock::task<> serve_client(cosock::local_stream_socket socket,
                            std::chrono::milliseconds idle_limit) {
  const cosock::credentials peer = socket.peer_credentials();
  std::printf("process %d of user %u has connected\n", peer.pid, peer.uid);
  const auto result =
      co_await cosock::as_result(cosock::with_grace(10s, echo(std::move(socket), idle_limit)));
  if (!result)
    std::fprintf(stderr, "local_echo_server: %s\n", cosock::error_message(result.error()).c_str());
}

cosock::task<> serve(cosock::local_endpoint endpoint, std::chrono::milliseconds idle_limit) {
  cosock::local_acceptor acceptor(endpoint);
  std::printf("listening on %s\n", endpoint.to_string().c_str());
  std::fflush(stdout);
  co_await cosock::with_nursery([&](cosock::nursery& clients) -> cosock::task<> {
    auto open = std::move(acceptor);  // closed when this block ends, before the clients end
    for (;;) clients.start(serve_client, co_await open.accept(), idle_limit);
  });
}

int main(int argc, char** argv) {
  if (argc < 2) return cosock::usage_error("usage: local_echo_server PATH [--idle SECONDS]");
  std::chrono::milliseconds idle_limit = 60s;
  read_options(argc - 1, argv + 1, {seconds_option("--idle", idle_limit)});
  cosock::local_endpoint endpoint;
  try {
    endpoint = cosock::local_endpoint::parse(argv[1]);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  return cosock::run(serve(endpoint, idle_limit));
}
