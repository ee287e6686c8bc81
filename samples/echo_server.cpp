// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends back whatever each client sends, to any number of clients at once. On SIGTERM or SIGINT it
// stops accepting, gives its clients 10 seconds to end, and exits with status 0.
//
//   echo_server [--host ADDR] [--port PORT]      default 127.0.0.1 and 7000; port 0 picks one

#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <cstdio>

#include "options.hpp"

cosock::task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  while (std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
}

cosock::task<> serve(cosock::endpoint at) {
  cosock::tcp_acceptor acceptor(at);
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  co_await cosock::serve(acceptor, echo);
}

int main(int argc, char** argv) { return cosock::run(serve(endpoint_option(argc, argv))); }
