// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// echo_cosock with 5 s for each read and each write.

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/run.hpp>
#include <cosock/tcp.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

using namespace std::chrono_literals;

cosock::task<> serve_one(cosock::tcp_socket socket) {
  try {
    std::array<char, 4096> buffer;
    while (std::size_t received = co_await cosock::with_timeout(5s, socket.receive(buffer))) {
      co_await cosock::with_timeout(5s, socket.send(cosock::buffer(buffer, received)));
    }
  } catch (const std::exception&) {
    // Out of time, or the peer has gone, or the server ends: only this connection has ended.
  }
}

cosock::task<> serve(std::uint16_t port) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), port});
  std::printf("listening on 127.0.0.1:%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  co_await cosock::with_nursery([&](cosock::nursery& connections) -> cosock::task<> {
    for (;;) {
      connections.start(serve_one, co_await acceptor.accept());
    }
  });
}

int main(int argc, char** argv) {
  if (argc != 2) {
    return cosock::usage_error("usage: echo_cosock_deadline PORT");
  }
  return cosock::run(serve(static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
