// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Receives data from each client over TLS and sends it back. On SIGHUP it reads its certificate and key
// again: new clients see the new certificate, and connections continue. On SIGTERM or SIGINT it
// stops accepting, waits up to 10 seconds for its clients, and exits with status 0.
//
//   tls_echo_server CERTIFICATE KEY [--host ADDR] [--port PORT] [--idle SECONDS]
//
// CERTIFICATE and KEY are PEM files; CERTIFICATE has the intermediate certificates too.

#include <cosock/cancel.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/signal.hpp>
#include <cosock/tls.hpp>
#include <cosock/when.hpp>

#include <csignal>
#include <cstdio>

#include "options.hpp"

cosock::task<> echo(cosock::tls_stream& client, std::chrono::milliseconds idle_limit) {
  char buffer[4096];
  while (std::size_t n = co_await cosock::with_timeout(idle_limit, client.receive(buffer)))
    co_await cosock::with_timeout(idle_limit, client.send(cosock::buffer(buffer, n)));
}

cosock::task<> reload_on_hangup(cosock::tls_server_context& context) {
  cosock::signal_set hangups{SIGHUP};
  for (;;) {
    co_await hangups.wait();
    try {
      context.reload();
      std::puts("reloaded");
    } catch (const std::exception& e) {
      std::printf("not reloaded: %s\n", e.what());  // the old certificate stays
    }
    std::fflush(stdout);
  }
}

cosock::task<> serve(cosock::endpoint endpoint, std::chrono::milliseconds idle_limit,
                     std::string certificate, std::string key) {
  cosock::tls_server_context context(cosock::tls_identity::from_files(certificate, key));
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  const auto handler = [&](cosock::tls_stream& client) { return echo(client, idle_limit); };
  co_await cosock::when_any(cosock::serve(acceptor, cosock::with_tls(context, handler)),
                            reload_on_hangup(context));
}

int main(int argc, char** argv) {
  if (argc < 3)
    return cosock::usage_error(
        "usage: tls_echo_server CERTIFICATE KEY [--host ADDR] [--port PORT] [--idle SECONDS]");
  std::chrono::milliseconds idle_limit = std::chrono::seconds(60);
  const auto endpoint = endpoint_option(argc - 2, argv + 2, {seconds_option("--idle", idle_limit)});
  return cosock::run(serve(endpoint, idle_limit, argv[1], argv[2]));
}
