// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends back whatever each client sends, to any number of clients at once. On SIGTERM or SIGINT it
// stops accepting, gives its clients 10 seconds to end, and exits with status 0.
//
//   echo_server [--host ADDR] [--port PORT] [--idle SECONDS]
//
// Default 127.0.0.1 and 7000, port 0 picks one. A client that sends nothing for 60 seconds, or for
// so long does not receive, is ended.

#include <cosock/cancel.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <cstdio>

#include "options.hpp"

cosock::task<> echo(cosock::tcp_socket& client, std::chrono::milliseconds idle) {
  char buffer[4096];
  while (std::size_t n = co_await cosock::with_timeout(idle, client.receive(buffer)))
    co_await cosock::with_timeout(idle, client.send(cosock::buffer(buffer, n)));
}

cosock::task<> serve(cosock::endpoint at, std::chrono::milliseconds idle) {
  cosock::tcp_acceptor acceptor(at);
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  const auto handler = [&](cosock::tcp_socket& client) { return echo(client, idle); };
  co_await cosock::serve(acceptor, handler);
}

int main(int argc, char** argv) {
  std::chrono::milliseconds idle = std::chrono::seconds(60);
  const cosock::endpoint at = endpoint_option(argc, argv, {seconds_option("--idle", idle)});
  return cosock::run(serve(at, idle));
}
