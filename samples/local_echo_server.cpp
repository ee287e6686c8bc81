// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends back whatever each local client sends, and says who it is. On SIGTERM or SIGINT it stops
// accepting, gives its clients 10 seconds to end, and exits with status 0; its file is removed.
//
//   local_echo_server PATH [--idle SECONDS]
//
// @NAME is a name without a file (abstract); only its own user may connect. A client that sends
// nothing for 60 seconds, or for so long does not receive, is ended.

#include <cosock/cosock.hpp>

#include <cstdio>
#include <exception>

#include "options.hpp"

using namespace std::chrono_literals;

cosock::task<> echo(cosock::local_stream_socket socket, std::chrono::milliseconds idle) {
  char buffer[4096];
  while (std::size_t n = co_await cosock::with_timeout(idle, socket.receive(buffer)))
    co_await cosock::with_timeout(idle, socket.send(cosock::buffer(buffer, n)));
}

// What goes wrong with one client ends with that client.
cosock::task<> serve_client(cosock::local_stream_socket socket, std::chrono::milliseconds idle) {
  const cosock::credentials peer = socket.peer_credentials();
  std::printf("process %d of user %u has connected\n", peer.pid, peer.uid);
  const auto ended =
      co_await cosock::as_result(cosock::with_grace(10s, echo(std::move(socket), idle)));
  if (!ended) std::fprintf(stderr, "local_echo_server: %s\n", ended.error().message().c_str());
}

cosock::task<> serve(cosock::local_endpoint at, std::chrono::milliseconds idle) {
  cosock::local_acceptor acceptor(at);
  std::printf("listening on %s\n", at.to_string().c_str());
  std::fflush(stdout);
  co_await cosock::with_nursery([&](cosock::nursery& clients) -> cosock::task<> {
    auto listening = std::move(acceptor);  // until this block ends, not until the clients do
    for (;;) clients.start(serve_client, co_await listening.accept(), idle);
  });
}

int main(int argc, char** argv) {
  if (argc < 2) return cosock::usage_error("usage: local_echo_server PATH [--idle SECONDS]");
  std::chrono::milliseconds idle = 60s;
  read_options(argc - 1, argv + 1, {seconds_option("--idle", idle)});
  cosock::local_endpoint at;
  try {
    at = cosock::local_endpoint::parse(argv[1]);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  return cosock::run(serve(at, idle));
}
