// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// A datagram echo server on cosock, one datagram at a time.

#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

cosock::task<> serve(std::uint16_t port) {
  cosock::udp_socket socket({cosock::address::loopback_v4(), port});
  std::printf("listening on %s\n", socket.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  char buffer[2048];
  for (;;) {
    const auto got = co_await socket.receive_from(buffer);
    co_await socket.send_to(cosock::buffer(buffer, got.size), got.from);
  }
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: udp_cosock_single PORT");
  return cosock::run(serve(static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
