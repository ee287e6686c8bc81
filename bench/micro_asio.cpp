// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// What single steps cost in Asio's coroutines: nanoseconds, as `key value` lines. micro.cpp has the
// same for cosock.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdio>

namespace asio = boost::asio;
using asio::use_awaitable;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

double ns_each(steady::time_point begun, int times) {
  return std::chrono::duration<double, std::nano>(steady::now() - begun).count() / times;
}

asio::awaitable<int> ready() { co_return 1; }
asio::awaitable<void> child() { co_return; }

asio::awaitable<void> await_ready_tasks(int times) {
  const auto begun = steady::now();
  long sum = 0;
  for (int i = 0; i < times; ++i) {
    sum += co_await ready();
  }
  if (sum == times) {
    std::printf("ready_task_ns %.2f\n", ns_each(begun, times));
  }
}

asio::awaitable<void> spawn_children(int times) {
  const auto executor = co_await asio::this_coro::executor;
  const auto begun = steady::now();
  for (int i = 0; i < times; ++i) {
    co_await asio::co_spawn(executor, child(), use_awaitable);
  }
  std::printf("child_ns %.2f\n", ns_each(begun, times));
}

/// Receiving into an empty buffer completes at once, without a system call.
asio::awaitable<void> limit_operations(int times) {
  using asio::local::stream_protocol;
  const auto executor = co_await asio::this_coro::executor;
  stream_protocol::socket socket(executor);
  stream_protocol::socket peer(executor);
  asio::local::connect_pair(socket, peer);
  asio::steady_timer timer(executor);

  auto begun = steady::now();
  for (int i = 0; i < times; ++i) {
    co_await socket.async_read_some(asio::mutable_buffer(), use_awaitable);
  }
  const double bare = ns_each(begun, times);
  begun = steady::now();
  for (int i = 0; i < times; ++i) {
    timer.expires_after(5s);
    co_await (socket.async_read_some(asio::mutable_buffer(), use_awaitable) ||
              timer.async_wait(use_awaitable));
  }
  std::printf("limit_ns %.2f\n", ns_each(begun, times) - bare);
}

int main() {
  asio::io_context context(1);
  asio::co_spawn(context, await_ready_tasks(2'000'000), asio::detached);
  context.run();
  context.restart();
  asio::co_spawn(context, spawn_children(500'000), asio::detached);
  context.run();
  context.restart();
  asio::co_spawn(context, limit_operations(20'000), asio::detached);
  context.run();
}
