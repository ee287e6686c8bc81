// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a child refers to a variable of a block that ends before the child does
// run: a child task outlives a variable that it refers to
#include <cosock/nursery.hpp>
#include <cosock/run.hpp>
#include <cosock/time.hpp>

#include <cstdio>

using namespace std::chrono_literals;

cosock::task<int> work() {
  int outer = 0;
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    int inner = 1;
    tasks.start([&]() -> cosock::task<> {
      ++outer;
      co_await cosock::sleep_for(1ms);
      static_cast<void>(&inner);  // would be read here
    });
    co_await cosock::yield();
  });
  co_return outer;
}

int main() { return cosock::run(work()); }
