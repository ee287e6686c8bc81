// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The command line and the clock of the programs that measure TLS, with both ends in one process:
//
//   round-trips N   N round trips of 64 bytes over one connection, to be counted from outside
//   idle N          bytes of memory for each stream of N connections that have made one round trip
//   bulk N          MiB a second over one connection, N MiB
//   handshakes N    full handshakes a second, N of them one after the other
//   resumed N       resumed handshakes a second

#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

struct tls_task {
  std::string_view what;
  int count = 0;
};

inline tls_task tls_arguments(int argc, char** argv) {
  if (argc != 3 || std::atoi(argv[2]) <= 0) {
    std::fprintf(stderr, "usage: %s round-trips|idle|bulk|handshakes|resumed N\n", argv[0]);
    std::exit(2);
  }
  return {argv[1], std::atoi(argv[2])};
}

/// Prints how many a second, from its construction on.
class tls_rate {
 public:
  void print(double count) const {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin_;
    std::printf("%.1f\n", count / passed.count());
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

inline std::size_t bytes_in_use() { return ::mallinfo2().uordblks; }
