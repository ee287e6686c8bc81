// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// A datagram echo server on cosock, as many datagrams at a time as are there.

#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

cosock::task<> serve(std::uint16_t port) {
  cosock::udp_socket socket({cosock::address::loopback_v4(), port});
  std::printf("listening on %s\n", socket.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  cosock::datagram_batch batch(64, 2048);
  std::vector<cosock::outgoing_datagram<>> answers(64);
  for (;;) {
    const std::size_t count = co_await socket.receive_batch(batch);
    auto answer = answers.begin();
    for (const auto& each : batch) {
      answer->data = each.data();
      answer->to = each.from();
      ++answer;
    }
    co_await socket.send_batch(std::span(answers).first(count));
  }
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: udp_cosock_batch PORT");
  return cosock::run(serve(static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
