// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Many clients at once: each sends random bytes to an echo server while it receives them back, and
// compares every one.
//
//   echo_check HOST PORT [CONNECTIONS [MEBIBYTES]]      default 100 connections, 64 MiB in all

#include <cosock/cosock.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>
#include <vector>

#include "options.hpp"

// The same seed gives the same numbers, so the receiver needs no copy of what was sent.
using numbers = std::vector<std::uint64_t>;

constexpr std::size_t block_size = 2048 * sizeof(std::uint64_t);

void fill(numbers& block, std::mt19937_64& random) {
  std::generate(block.begin(), block.end(), std::ref(random));
}

cosock::task<> send_all(cosock::tcp_socket& server, std::size_t left, unsigned seed) {
  std::mt19937_64 random(seed);
  numbers block(2048);
  while (left != 0) {
    fill(block, random);
    left -= co_await server.send(cosock::buffer(block.data(), std::min(left, block_size)));
  }
  server.shutdown_send();
}

cosock::task<> compare_all(cosock::tcp_socket& server, std::size_t left, unsigned seed) {
  std::mt19937_64 random(seed);
  numbers expected(2048);
  numbers block(2048);
  while (left != 0) {
    fill(expected, random);
    const std::size_t n = std::min(left, block_size);
    co_await server.receive_exactly(cosock::buffer(block.data(), n));
    if (std::memcmp(block.data(), expected.data(), n) != 0)
      throw std::runtime_error("a byte came back changed");
    left -= n;
  }
  if (co_await server.receive(cosock::buffer(block.data(), 1)) != 0)
    throw std::runtime_error("too much came back");
}

using endpoints = std::vector<cosock::endpoint>;

cosock::task<> client(const endpoints& at, std::size_t size, unsigned seed) {
  cosock::tcp_socket server = co_await cosock::connect(at);
  co_await cosock::when_all(send_all(server, size, seed), compare_all(server, size, seed));
}

cosock::task<> check(std::string host, std::string port, unsigned connections, unsigned mebibytes) {
  const std::size_t all = std::size_t{mebibytes} << 20;
  const endpoints at = co_await cosock::resolve(host, port);  // once for all of them
  const auto begin = std::chrono::steady_clock::now();
  co_await cosock::with_nursery([&](cosock::nursery& clients) -> cosock::task<> {
    for (unsigned i = 0; i != connections; ++i)
      clients.start(client, std::cref(at), all / connections + (i < all % connections), i);
    co_return;
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%zu bytes sent over %u connections at once and received back, every byte the same: "
              "%.2f s, %.0f MiB/s each way\n",
              all, connections, took.count(), mebibytes / took.count());
}

int main(int argc, char** argv) {
  const std::string usage = "usage: echo_check HOST PORT [CONNECTIONS [MEBIBYTES]]";
  if (argc < 3 || argc > 5) return cosock::usage_error(usage);
  unsigned numbers[] = {100, 64};
  for (int i = 3; i != argc; ++i) {
    const std::string_view text = argv[i];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), numbers[i - 3]);
    if (error != std::errc() || end != text.data() + text.size() || numbers[i - 3] == 0 ||
        numbers[i - 3] > 10000)
      return cosock::usage_error('"' + std::string(text) + "\" is not a number from 1 to 10000, " +
                                 usage);
  }
  return cosock::run(check(argv[1], port_argument(argv[2]), numbers[0], numbers[1]));
}
