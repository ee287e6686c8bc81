// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Runs many clients at once: each sends random bytes to an echo server, receives them at the same
// time, and compares every byte.
//
//   echo_check HOST PORT [CONNECTIONS [MEBIBYTES]]      default 100 connections, 64 MiB in total

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

// The same seed produces the same numbers, so the receiver needs no copy of the data sent.
using numbers = std::vector<std::uint64_t>;

constexpr std::size_t block_size = 2048 * sizeof(std::uint64_t);

void fill(numbers& block, std::mt19937_64& random) {
  std::generate(block.begin(), block.end(), std::ref(random));
}

cosock::task<> send_blocks(cosock::tcp_socket& server, std::size_t remaining, unsigned seed) {
  std::mt19937_64 random(seed);
  numbers block(2048);
  while (remaining != 0) {
    fill(block, random);
    const std::size_t n = std::min(remaining, block_size);
    remaining -= co_await server.send(cosock::buffer(block.data(), n));
  }
  server.shutdown_send();
}

cosock::task<> compare_blocks(cosock::tcp_socket& server, std::size_t remaining, unsigned seed) {
  std::mt19937_64 random(seed);
  numbers expected(2048);
  numbers block(2048);
  while (remaining != 0) {
    fill(expected, random);
    const std::size_t n = std::min(remaining, block_size);
    co_await server.receive_exactly(cosock::buffer(block.data(), n));
    if (std::memcmp(block.data(), expected.data(), n) != 0)
      throw std::runtime_error("the server changed a byte");
    remaining -= n;
  }
  if (co_await server.receive(cosock::buffer(block.data(), 1)) != 0)
    throw std::runtime_error("the server sent too many bytes");
}

using endpoints = std::vector<cosock::endpoint>;

cosock::task<> client(const endpoints& server_endpoints, std::size_t size, unsigned seed) {
  cosock::tcp_socket server = co_await cosock::connect(server_endpoints);
  co_await cosock::when_all(send_blocks(server, size, seed), compare_blocks(server, size, seed));
}

cosock::task<> check(std::string host, std::string port, unsigned connections, unsigned mebibytes) {
  const std::size_t total = std::size_t{mebibytes} << 20;
  const endpoints found = co_await cosock::resolve(host, port);  // once for all clients
  const auto start_time = std::chrono::steady_clock::now();
  co_await cosock::with_nursery([&](cosock::nursery& clients) -> cosock::task<> {
    for (unsigned i = 0; i != connections; ++i)
      clients.start(client, std::cref(found), total / connections + (i < total % connections), i);
    co_return;
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_time;
  std::printf(
      "%zu bytes sent over %u connection%s at once and received, every byte the same: "
      "%.2f s, %.0f MiB/s each way\n",
      total, connections, connections == 1 ? "" : "s", elapsed.count(),
      mebibytes / elapsed.count());
}

int main(int argc, char** argv) {
  const std::string usage = "usage: echo_check HOST PORT [CONNECTIONS [MEBIBYTES]]";
  if (argc < 3 || argc > 5) return cosock::usage_error(usage);
  unsigned counts[] = {100, 64};
  for (int i = 3; i != argc; ++i) {
    const std::string_view text = argv[i];
    unsigned& count = counts[i - 3];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || end != text.data() + text.size() || count == 0 || count > 10000)
      return cosock::usage_error('"' + std::string(text) + "\" is not a number from 1 to 10000, " +
                                 usage);
  }
  return cosock::run(check(argv[1], port_argument(argv[2]), counts[0], counts[1]));
}
