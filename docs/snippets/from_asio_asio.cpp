// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Twelve problems solved with Asio's awaitables; from_asio_cosock.cpp solves the same.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <deque>
#include <list>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"

namespace asio = boost::asio;
namespace this_coro = boost::asio::this_coro;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using asio::ip::udp;
using boost::system::error_code;
using boost::system::system_error;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;
using stream = asio::local::stream_protocol::socket;

namespace {

//! [connect]
awaitable<tcp::socket> connect_in_time(std::string host, std::string port) {
  const auto executor = co_await this_coro::executor;
  tcp::resolver resolver(executor);
  tcp::socket socket(executor);
  asio::steady_timer limit(executor, 5s);
  const auto connect = [&]() -> awaitable<void> {
    const auto found = co_await resolver.async_resolve(host, port, use_awaitable);
    co_await asio::async_connect(socket, found, use_awaitable);
  };
  const auto first = co_await (connect() || limit.async_wait(use_awaitable));
  if (first.index() == 1) throw system_error(asio::error::timed_out);
  co_return socket;
}
//! [connect]

//! [echo]
awaitable<void> echo(tcp::socket client) {
  char buffer[4096];
  for (;;) {
    error_code end;
    const std::size_t n = co_await client.async_read_some(
        asio::buffer(buffer), asio::redirect_error(use_awaitable, end));
    if (end == asio::error::eof) co_return;
    if (end) throw system_error(end);
    co_await asio::async_write(client, asio::buffer(buffer, n), use_awaitable);
  }
}

awaitable<void> serve(tcp::acceptor& acceptor) {
  for (;;) {
    tcp::socket client = co_await acceptor.async_accept(use_awaitable);
    asio::co_spawn(acceptor.get_executor(), echo(std::move(client)), asio::detached);
  }
}
//! [echo]

//! [line]
awaitable<std::string> read_line(stream& socket, std::string& buffered) {
  const std::size_t n = co_await asio::async_read_until(
      socket, asio::dynamic_buffer(buffered, 1000), '\n', use_awaitable);
  std::string line = buffered.substr(0, n - 1);
  buffered.erase(0, n);
  co_return line;
}
//! [line]

//! [timeout]
awaitable<std::optional<std::size_t>> receive_in_time(stream& socket, asio::mutable_buffer buffer) {
  asio::steady_timer limit(co_await this_coro::executor, 10ms);
  const auto first = co_await (socket.async_read_some(buffer, use_awaitable) ||
                               limit.async_wait(use_awaitable));
  if (first.index() == 1) co_return std::nullopt;
  co_return std::get<0>(first);
}
//! [timeout]

//! [race]
awaitable<std::size_t> receive_from_either(stream& left, stream& right,
                                           asio::mutable_buffer left_buffer,
                                           asio::mutable_buffer right_buffer) {
  // If both complete, the bytes of the second one are lost.
  const auto first = co_await (left.async_read_some(left_buffer, use_awaitable) ||
                               right.async_read_some(right_buffer, use_awaitable));
  co_return first.index();
}
//! [race]

//! [parallel]
awaitable<int> part(int number) {
  if (number < 0) throw std::invalid_argument("negative");
  co_return number * number;
}

awaitable<int> all_parts(int a, int b) {
  const auto [first, second] = co_await (part(a) && part(b));
  co_return first + second;
}
//! [parallel]

//! [resolve]
awaitable<std::vector<tcp::endpoint>> look_up(std::string host, std::string port) {
  tcp::resolver resolver(co_await this_coro::executor);
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : co_await resolver.async_resolve(host, port, use_awaitable))
    endpoints.push_back(entry.endpoint());
  co_return endpoints;
}
//! [resolve]

//! [udp]
awaitable<void> answer_datagrams(udp::socket& socket) {
  char buffer[1500];
  for (;;) {
    udp::endpoint peer;  // truncation is not reported
    const std::size_t n =
        co_await socket.async_receive_from(asio::buffer(buffer), peer, use_awaitable);
    co_await socket.async_send_to(asio::buffer(buffer, n), peer, use_awaitable);
  }
}
//! [udp]

//! [shutdown]
class server {
 public:
  explicit server(tcp::acceptor acceptor) : acceptor_(std::move(acceptor)) {}

  awaitable<void> run() {
    asio::signal_set signals(acceptor_.get_executor(), SIGINT, SIGTERM);
    co_await (accept_clients() || signals.async_wait(use_awaitable));
    acceptor_.close();
    clients_ended_.expires_after(10s);
    if (!clients_.empty()) {  // wait until they end, or the time limit has passed
      error_code ignored;
      co_await clients_ended_.async_wait(asio::redirect_error(use_awaitable, ignored));
    }
    for (tcp::socket& client : clients_) client.close();
    while (!clients_.empty()) co_await asio::post(use_awaitable);
  }

 private:
  awaitable<void> accept_clients() {
    for (;;) {
      clients_.push_back(co_await acceptor_.async_accept(use_awaitable));
      const auto client = std::prev(clients_.end());
      asio::co_spawn(acceptor_.get_executor(), serve_client(*client), [this, client](auto...) {
        clients_.erase(client);
        if (clients_.empty()) clients_ended_.cancel();
      });
    }
  }
  awaitable<void> serve_client(tcp::socket& client) {
    char buffer[4096];
    for (;;) {
      const std::size_t n = co_await client.async_read_some(asio::buffer(buffer), use_awaitable);
      co_await asio::async_write(client, asio::buffer(buffer, n), use_awaitable);
    }
  }
  tcp::acceptor acceptor_;
  std::list<tcp::socket> clients_;
  asio::steady_timer clients_ended_{acceptor_.get_executor()};
};
//! [shutdown]

//! [queue]
class write_queue {
 public:
  explicit write_queue(stream& peer) : peer_(peer), work_(peer.get_executor()) {
    work_.expires_at(asio::steady_timer::time_point::max());
  }
  bool send(std::string message) {
    if (queue_.size() == 128) return false;
    queue_.push_back(std::move(message));
    work_.cancel_one();
    return true;
  }
  void close() {
    closed_ = true;
    work_.cancel();
  }
  awaitable<void> run() {
    for (;;) {
      while (!queue_.empty()) {
        const std::string message = std::move(queue_.front());
        queue_.pop_front();
        co_await asio::async_write(peer_, asio::buffer(message), use_awaitable);
      }
      if (closed_) co_return;
      error_code ignored;
      co_await work_.async_wait(asio::redirect_error(use_awaitable, ignored));
    }
  }

 private:
  stream& peer_;
  asio::steady_timer work_;
  std::deque<std::string> queue_;
  bool closed_ = false;
};
//! [queue]

//! [cores]
void run_on_cores(unsigned n, std::atomic<unsigned>& started) {
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i != n; ++i)
    threads.emplace_back([&] {
      asio::io_context loop(1);
      const auto work = [&]() -> awaitable<void> {
        ++started;  // a server: an acceptor with SO_REUSEPORT here
        co_return;
      };
      std::exception_ptr error;
      asio::co_spawn(loop, work(), [&](std::exception_ptr e) { error = e; });
      loop.run();
      if (error) std::terminate();  // or pass it on, and stop the other loops
    });
}
//! [cores]

//! [cancel]
awaitable<void> cancelled_by_a_thread() {
  const auto executor = co_await this_coro::executor;
  asio::cancellation_signal stop;
  asio::steady_timer wait(executor, 1h);
  std::jthread other([&] {
    asio::post(executor, [&] { stop.emit(asio::cancellation_type::all); });
  });
  error_code result;
  co_await wait.async_wait(asio::bind_cancellation_slot(
      stop.slot(), asio::redirect_error(use_awaitable, result)));
  check(result == asio::error::operation_aborted);
}
//! [cancel]

awaitable<void> with_servers(asio::any_io_executor executor) {
  tcp::acceptor acceptor(executor, {asio::ip::address_v4::loopback(), 0});
  const auto port = std::to_string(acceptor.local_endpoint().port());
  const auto client = [&]() -> awaitable<void> {
    tcp::socket socket = co_await connect_in_time("127.0.0.1", port);
    co_await asio::async_write(socket, asio::buffer("hello", 5), use_awaitable);
    char answer[5];
    check(co_await socket.async_read_some(asio::buffer(answer), use_awaitable) == 5);
  };
  co_await (serve(acceptor) || client());

  udp::socket server_socket(executor, {asio::ip::address_v4::loopback(), 0});
  udp::socket client_socket(executor, {asio::ip::address_v4::loopback(), 0});
  const auto ask = [&]() -> awaitable<void> {
    char answer[5];
    co_await client_socket.async_send_to(asio::buffer("hello", 5), server_socket.local_endpoint(),
                                 use_awaitable);
    check(co_await client_socket.async_receive(asio::buffer(answer), use_awaitable) == 5);
  };
  co_await (answer_datagrams(server_socket) || ask());

  tcp::acceptor listener(executor, {asio::ip::address_v4::loopback(), 0});
  const tcp::endpoint endpoint = listener.local_endpoint();
  server echo_server(std::move(listener));
  const auto stop = [&]() -> awaitable<void> {
    tcp::socket socket(executor);
    co_await socket.async_connect(endpoint, use_awaitable);
    char answer[5];
    co_await asio::async_write(socket, asio::buffer("hello", 5), use_awaitable);
    check(co_await socket.async_read_some(asio::buffer(answer), use_awaitable) == 5);
    ::raise(SIGTERM);
    co_await asio::async_write(socket, asio::buffer("still", 5), use_awaitable);
    check(co_await socket.async_read_some(asio::buffer(answer), use_awaitable) == 5);
  };
  co_await (echo_server.run() && stop());
}

awaitable<void> run_examples() {
  const auto executor = co_await this_coro::executor;
  co_await with_servers(executor);

  stream local(executor), remote(executor), other_local(executor), other_remote(executor);
  asio::local::connect_pair(local, remote);
  asio::local::connect_pair(other_local, other_remote);
  std::string buffered;
  co_await asio::async_write(remote, asio::buffer("one\ntwo\n", 8), use_awaitable);
  check(co_await read_line(local, buffered) == "one");
  check(co_await read_line(local, buffered) == "two");
  char left_buffer[64], right_buffer[64];
  check(!co_await receive_in_time(local, asio::buffer(left_buffer)));
  co_await asio::async_write(remote, asio::buffer("x", 1), use_awaitable);
  check(co_await receive_from_either(local, other_local, asio::buffer(left_buffer),
                                     asio::buffer(right_buffer)) == 0);

  check(co_await all_parts(3, 4) == 25);
  bool failed = false;
  try {
    co_await all_parts(3, -4);
  } catch (const std::invalid_argument&) {
    failed = true;
  }
  check(failed);
  check((co_await look_up("127.0.0.1", "80")).at(0).port() == 80);

  write_queue queue(local);
  check(queue.send("one ") && queue.send("two"));
  queue.close();
  co_await queue.run();
  check(co_await remote.async_read_some(asio::buffer(left_buffer), use_awaitable) != 0);

  std::atomic<unsigned> started = 0;
  run_on_cores(2, started);
  check(started == 2);
  co_await cancelled_by_a_thread();
}

}  // namespace

int main() {
  ::alarm(120);
  asio::io_context loop(1);
  std::exception_ptr error;
  asio::co_spawn(loop, run_examples(), [&](std::exception_ptr e) { error = e; });
  loop.run();
  if (error) std::rethrow_exception(error);
}
