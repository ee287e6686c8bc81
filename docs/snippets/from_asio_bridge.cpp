// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/asio.hpp>
#include <cosock/cosock.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <string>

#include "check.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

//! [bridge]
cosock::task<int> cosock_task() {  // awaits an operation and a coroutine of Asio
  asio::steady_timer timer(cosock::loop_executor(), 1ms);
  co_await timer.async_wait(cosock::use_task);
  const auto coroutine = []() -> asio::awaitable<int> { co_return 20; };
  co_return co_await cosock::await(coroutine());
}

asio::awaitable<int> asio_coroutine() {  // awaits a task
  const auto executor = co_await asio::this_coro::executor;
  const int value = co_await cosock::spawn(executor, cosock_task(), asio::use_awaitable);
  co_return value + 1;
}

cosock::task<> back_and_forth() {
  check(co_await cosock::await(asio_coroutine()) == 21);

  auto [local, peer] = cosock::local_pair();
  auto socket = cosock::release(std::move(local));  // a socket of Asio for the same connection
  co_await peer.send("x");
  char byte[1];
  check(co_await socket.async_receive(asio::buffer(byte), cosock::use_task) == 1);
  local = cosock::adopt(std::move(socket));
  check(local.is_open());
}
//! [bridge]

//! [stream]
cosock::task<> send_over(asio::ip::tcp::socket socket, std::string text) {
  cosock::asio_stream<asio::ip::tcp::socket> stream(std::move(socket));  // or an ssl::stream
  co_await stream.send(text);  // may still be in the buffer of the stream
  co_await stream.finish(5s);  // sends the rest, and waits for the end of the peer
}
//! [stream]

cosock::task<> over_a_stream() {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  auto [local, peer] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  const auto read = [&, &peer = peer]() -> cosock::task<> {
    char text[5];
    check(co_await peer.receive_exactly(text) == 5);
    check(co_await peer.receive(text) == 0);
    peer.close();
  };
  co_await cosock::when_all(send_over(cosock::release(std::move(local)), "hello"), read());
}

cosock::task<> run_examples() {
  co_await back_and_forth();
  co_await over_a_stream();
}

}  // namespace

int main() { return run_snippets(run_examples()); }
