// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Round trips of 64 bytes between two tasks of one loop, over each kind of connection: nanoseconds, as
// `key value` lines. local_asio.cpp has the same for Asio's own coroutines.

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/run.hpp>
#include <cosock/when.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>

cosock::task<> answer(cosock::byte_stream& s, int rounds) {
  char buffer[64];
  for (int i = 0; i < rounds; ++i) {
    co_await s.receive_exactly(buffer);
    co_await s.send(buffer);
  }
}

cosock::task<> ask(cosock::byte_stream& s, int rounds) {
  char buffer[64] = {};
  for (int i = 0; i < rounds; ++i) {
    co_await s.send(buffer);
    co_await s.receive_exactly(buffer);
  }
}

cosock::task<> measure(const char* key, cosock::byte_stream& a, cosock::byte_stream& b,
                       int rounds) {
  const auto begun = std::chrono::steady_clock::now();
  co_await cosock::when_all(ask(a, rounds), answer(b, rounds));
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begun;
  std::printf("%s %.0f\n", key, took.count() / rounds);
}

cosock::task<> measure_all(int rounds) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  co_await measure("tcp_ns", client, server, rounds);
  auto [one, two] = cosock::local_pair();
  co_await measure("stream_ns", one, two, rounds);
  auto [three, four] = cosock::local_pair<cosock::local_seqpacket_socket>();
  co_await measure("seqpacket_ns", three, four, rounds);
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: local_cosock ROUNDS");
  return cosock::run(measure_all(std::atoi(argv[1])));
}
