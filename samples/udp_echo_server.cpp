// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends each datagram back to its sender, up to 64 with one system call. On SIGTERM or SIGINT it
// exits with status 0.
//
//   udp_echo_server [--host ADDR] [--port PORT]
//
// By default it listens on 127.0.0.1, port 7000; port 0 picks a free port.

#include <cosock/error.hpp>
#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <cstdio>
#include <vector>

#include "options.hpp"

cosock::task<> serve(cosock::endpoint endpoint) {
  cosock::udp_socket_options options;
  options.receive_address = true;  // answers come from the address that received the request
  cosock::udp_socket socket(endpoint, options);
  announce(socket.local_endpoint());

  cosock::datagram_batch requests(64);
  std::vector<cosock::packet_info> infos(64);
  std::vector<cosock::outgoing_datagram<>> answers;
  for (;;) {
    co_await socket.receive_batch(requests);
    answers.clear();
    for (const auto& request : requests) {
      cosock::packet_info& info = infos[answers.size()];
      info = request.info();
      answers.push_back({request.data(), request.from(), &info});
    }
    // An unreachable peer is an error of the batch, but no reason to stop.
    const auto sent = co_await cosock::as_result(socket.send_batch(answers));
    if (!sent)
      std::fprintf(stderr, "udp_echo_server: %s\n", cosock::error_message(sent.error()).c_str());
  }
}

int main(int argc, char** argv) { return cosock::run(serve(endpoint_option(argc, argv))); }
