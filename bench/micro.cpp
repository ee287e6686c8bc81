// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// What single steps cost in cosock: nanoseconds, as `key value` lines. micro_asio.cpp has the same
// for Asio's own coroutines.

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/run.hpp>
#include <cosock/tcp.hpp>

#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

double ns_each(steady::time_point begun, int times) {
  return std::chrono::duration<double, std::nano>(steady::now() - begun).count() / times;
}

cosock::task<int> ready() { co_return 1; }
cosock::task<> child() { co_return; }

cosock::task<> await_ready_tasks(int times) {
  const auto begun = steady::now();
  long sum = 0;
  for (int i = 0; i < times; ++i) {
    sum += co_await ready();
  }
  if (sum == times) {
    std::printf("ready_task_ns %.2f\n", ns_each(begun, times));
  }
}

/// A nursery for each child: to join one child alone, there has to be one.
cosock::task<> spawn_children(int times) {
  const auto begun = steady::now();
  for (int i = 0; i < times; ++i) {
    co_await cosock::with_nursery([](cosock::nursery& children) -> cosock::task<> {
      children.start(child);
      co_return;
    });
  }
  std::printf("child_ns %.2f\n", ns_each(begun, times));
}

/// Receiving into an empty buffer completes at once, without a system call.
cosock::task<> limit_operations(int times) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    std::exit(1);
  }
  auto socket = cosock::tcp_socket::adopt(pair[0]);
  auto peer = cosock::tcp_socket::adopt(pair[1]);

  auto begun = steady::now();
  for (int i = 0; i < times; ++i) {
    co_await socket.receive(cosock::mutable_buffer());
  }
  const double bare = ns_each(begun, times);
  begun = steady::now();
  for (int i = 0; i < times; ++i) {
    co_await cosock::with_timeout(5s, socket.receive(cosock::mutable_buffer()));
  }
  std::printf("limit_ns %.2f\n", ns_each(begun, times) - bare);
}

cosock::task<> measure() {
  co_await await_ready_tasks(2'000'000);
  co_await spawn_children(500'000);
  co_await limit_operations(2'000'000);
}

int main() { return cosock::run(measure()); }
