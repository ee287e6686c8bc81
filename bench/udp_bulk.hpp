// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// What the programs that measure bulk transfer have in common: 1200 bytes each, from one socket to
// another of the same process and thread, in rounds that the receiver's buffer has room for.

#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

constexpr std::size_t datagram_bytes = 1200;
constexpr std::size_t in_a_message = 54;  // as many as one message may carry
constexpr std::size_t in_a_round = 2 * in_a_message;

/// Prints how fast `received` datagrams came.
class stopwatch {
 public:
  void report(std::uint64_t received, std::uint64_t bytes) const {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun_;
    if (bytes != received * datagram_bytes) {
      std::fprintf(stderr, "bytes are missing\n");
      std::exit(1);
    }
    std::printf("datagrams_per_second %.0f\n", static_cast<double>(received) / took.count());
  }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

/// The command line: how many rounds.
inline std::uint64_t rounds_option(int argc, char** argv) {
  if (argc == 2) return std::strtoull(argv[1], nullptr, 10);
  std::fprintf(stderr, "usage: %s ROUNDS\n", argv[0]);
  std::exit(2);
}
