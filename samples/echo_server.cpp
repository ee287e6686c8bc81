// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Receives data from each client and sends it back, to many clients at once. On SIGTERM or SIGINT
// it stops accepting, waits up to 10 seconds for its clients, and exits with status 0.
//
//   echo_server [--host ADDR] [--port PORT] [--idle SECONDS]
//
// By default it listens on 127.0.0.1, port 7000; port 0 picks a free port. It disconnects a client
// that sends or receives nothing for 60 seconds.

#include <cosock/cancel.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include "options.hpp"

cosock::task<> echo(cosock::tcp_socket& client, std::chrono::milliseconds idle_limit) {
  char buffer[4096];
  while (std::size_t n = co_await cosock::with_timeout(idle_limit, client.receive(buffer)))
    co_await cosock::with_timeout(idle_limit, client.send(cosock::buffer(buffer, n)));
}

cosock::task<> serve(cosock::endpoint endpoint, std::chrono::milliseconds idle_limit) {
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  const auto handler = [&](cosock::tcp_socket& client) { return echo(client, idle_limit); };
  co_await cosock::serve(acceptor, handler);
}

int main(int argc, char** argv) {
  std::chrono::milliseconds idle_limit = std::chrono::seconds(60);
  const cosock::endpoint endpoint =
      endpoint_option(argc, argv, {seconds_option("--idle", idle_limit)});
  return cosock::run(serve(endpoint, idle_limit));
}
