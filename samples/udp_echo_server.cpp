// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends back each datagram to where it came from, as many at a time as there are, until SIGTERM or
// SIGINT.
//
//   udp_echo_server [--host ADDR] [--port PORT]  default 127.0.0.1 and 7000; port 0 picks one

#include <cosock/error.hpp>
#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <cstdio>
#include <vector>

#include "options.hpp"

cosock::task<> serve(cosock::endpoint at) {
  cosock::udp_options options;
  options.receive_address = true;  // so that an answer comes from the address that was asked
  cosock::udp_socket socket(at, options);
  std::printf("listening on %s\n", socket.local_endpoint().to_string().c_str());
  std::fflush(stdout);

  cosock::datagram_batch questions(64);
  std::vector<cosock::packet_info> infos(64);
  std::vector<cosock::outgoing_datagram> answers;
  for (;;) {
    co_await socket.receive_batch(questions);
    answers.clear();
    for (const auto& question : questions) {
      cosock::packet_info& info = infos[answers.size()];
      info = question.info();
      answers.push_back({question.data(), question.from(), &info});
    }
    // A peer that cannot be reached is no reason to stop serving the others.
    const auto sent = co_await cosock::as_result(socket.send_batch(answers));
    if (!sent) std::fprintf(stderr, "udp_echo_server: %s\n", sent.error().message().c_str());
  }
}

int main(int argc, char** argv) { return cosock::run(serve(endpoint_option(argc, argv))); }
