// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// A test program of its own.

#include <cosock/run.hpp>
#include <cosock/testing/memory_stream.hpp>

#include <cstdio>

cosock::task<> talk() {
  auto [a, b] = cosock::testing::memory_pair();
  char into[8];
  co_await a.send("consumed");
  co_await b.receive_exactly(into);
  std::printf("%.8s\n", into);
}

int main() { return cosock::run(talk()); }
