// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// memory_pair ROUND_TRIPS [BYTES]: messages of 1 to 64 bytes (64) there and back between two tasks, over a
// connection in memory. For callgrind: the difference of two runs is the cost of the round trips.

#include <cosock/run.hpp>
#include <cosock/testing/memory_stream.hpp>
#include <cosock/when.hpp>

#include <array>
#include <cstdlib>

cosock::task<> echo(cosock::byte_stream& peer) {
  std::array<char, 64> message;
  while (const std::size_t n = co_await peer.receive(message))
    co_await peer.send(cosock::buffer(message, n));
}

cosock::task<> ask(cosock::byte_stream& peer, int times, std::size_t bytes) {
  std::array<char, 64> message = {};
  for (int i = 0; i < times; ++i) {
    co_await peer.send(cosock::buffer(message, bytes));
    co_await peer.receive(message);
  }
  peer.shutdown_send();
}

cosock::task<> talk(int times, std::size_t bytes) {
  auto [client, server] = cosock::testing::memory_pair();
  co_await cosock::when_all(ask(client, times, bytes), echo(server));
}

int main(int argc, char** argv) {
  const int times = argc > 1 ? std::atoi(argv[1]) : 1000;
  const int bytes = argc > 2 ? std::atoi(argv[2]) : 64;
  return cosock::run(talk(times, static_cast<std::size_t>(bytes)));
}
