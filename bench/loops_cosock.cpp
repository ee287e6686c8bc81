// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// An echo server on several loops, which computes a while on each message: a hash of it, over and
// over, as a stand-in for what a server is there for.
//
//   loops_cosock LOOPS ROUNDS PORT      ROUNDS: of the hash, for each message

#include <cosock/acceptors.hpp>
#include <cosock/loops.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

std::uint64_t compute(const char* from, std::size_t size, int rounds) {
  std::uint64_t hash = 14695981039346656037u;
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < size; ++i)
      hash = (hash ^ static_cast<unsigned char>(from[i])) * 1099511628211u;
  return hash;
}

cosock::task<> echo(cosock::tcp_socket& socket, int rounds) {
  std::array<char, 4096> buffer;
  while (std::size_t received = co_await socket.receive(buffer)) {
    // Never so, but the compiler does not know.
    if (compute(buffer.data(), received, rounds) == 0) co_return;
    co_await socket.send(cosock::buffer(buffer, received));
  }
}

cosock::task<> serve(unsigned loops, int rounds, std::uint16_t port) {
  cosock::tcp_acceptors acceptors({cosock::address::loopback_v4(), port}, loops);
  std::printf("listening on 127.0.0.1:%u\n", acceptors.local_endpoint().port());
  std::fflush(stdout);
  co_await cosock::run_loops(loops, [&](unsigned index) -> cosock::task<> {
    cosock::tcp_acceptor acceptor = acceptors.acceptor(index);
    co_await cosock::serve(acceptor,
                           [&](cosock::tcp_socket& socket) { return echo(socket, rounds); });
  });
}

int main(int argc, char** argv) {
  if (argc != 4) return cosock::usage_error("usage: loops_cosock LOOPS ROUNDS PORT");
  return cosock::run(serve(static_cast<unsigned>(std::atoi(argv[1])), std::atoi(argv[2]),
                           static_cast<std::uint16_t>(std::atoi(argv[3]))));
}
