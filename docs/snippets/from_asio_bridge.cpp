// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/asio.hpp>
#include <cosock/cosock.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "check.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

//! [bridge]
cosock::task<int> ours() {  // awaits an operation of Asio's, and a coroutine of Asio's
  asio::steady_timer timer(cosock::loop_executor(), 1ms);
  co_await timer.async_wait(cosock::use_task);
  const auto theirs = []() -> asio::awaitable<int> { co_return 20; };
  co_return co_await cosock::await(theirs());
}

asio::awaitable<int> theirs() {  // awaits a task
  const auto executor = co_await asio::this_coro::executor;
  const int from_ours = co_await cosock::spawn(executor, ours(), asio::use_awaitable);
  co_return from_ours + 1;
}

cosock::task<> back_and_forth() {
  check(co_await cosock::await(theirs()) == 21);

  auto [mine, peer] = cosock::local_pair();
  auto socket = cosock::release(std::move(mine));  // one of Asio's, with the same connection
  co_await peer.send("x");
  char byte[1];
  check(co_await socket.async_receive(asio::buffer(byte), cosock::use_task) == 1);
  mine = cosock::adopt(std::move(socket));
  check(mine.is_open());
}
//! [bridge]

}  // namespace

int main() { return run_snippets(back_and_forth()); }
