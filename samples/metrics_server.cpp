// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// An echo server on several loops whose counters Prometheus scrapes from another port. Each loop is watched: a
// task that runs for more than 100 ms is reported to standard error, and the delays of others are measured.
//
//   metrics_server [--host ADDR] [--port PORT] [--loops N] [--metrics PORT]
//   curl http://127.0.0.1:9100/metrics
//
// By default it listens on 127.0.0.1, port 7000, and for scrapes on port 9100; port 0 picks a free port. With
// --loops 0 it runs one loop for each core. A loop that a task blocks does not answer, and has no values then.

#include "options.hpp"
#include "prometheus.hpp"

using namespace std::chrono_literals;

cosock::task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  while (std::size_t n = co_await cosock::with_timeout(60s, client.receive(buffer)))
    co_await cosock::with_timeout(60s, client.send(cosock::buffer(buffer, n)));
}

cosock::task<> run_loop(cosock::tcp_acceptor acceptor, loop_registry& loops, unsigned index) {
  cosock::watch_turns(cosock::loop::current(), {.slow_turn = 100ms});
  cosock::server_handle server;
  const loop_registry::entry here(loops, index, server);
  co_await cosock::serve(acceptor, echo, server);
}

cosock::task<> run_server(cosock::endpoint endpoint, unsigned loop_count,
                          std::uint16_t metrics_port) {
  if (loop_count == 0) loop_count = cosock::usable_cores();
  cosock::tcp_acceptors acceptors(endpoint, loop_count);
  cosock::tcp_acceptor metrics_acceptor({endpoint.address(), metrics_port});
  announce(acceptors.local_endpoint());
  announce(metrics_acceptor.local_endpoint());
  loop_registry loops;
  const auto start = [&](unsigned index) {
    return run_loop(acceptors.acceptor(index), loops, index);
  };
  const auto scrape = [&](cosock::tcp_socket& client) -> cosock::task<> {
    co_await cosock::with_timeout(5s, answer_scrape(client, loops));
  };
  // Scrapes are few: a client that opens many connections takes no descriptors from the server.
  co_await cosock::when_all(cosock::run_loops(acceptors.size(), start),
                            cosock::serve(metrics_acceptor, scrape, {.max_connections = 16}));
}

int main(int argc, char** argv) {
  unsigned loop_count = 1;
  std::uint16_t metrics_port = 9100;
  const cosock::endpoint endpoint = endpoint_option(
      argc, argv,
      {number_option("--loops", loop_count, 0, 64), port_option("--metrics", metrics_port)});
  return cosock::run(run_server(endpoint, loop_count, metrics_port));
}
