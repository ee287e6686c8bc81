// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Twelve problems solved with cosock; from_asio_asio.cpp solves the same.

#include <cosock/cosock.hpp>

#include <atomic>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"

using namespace std::chrono_literals;
using cosock::task;
using stream = cosock::byte_stream;

namespace {

//! [connect]
task<cosock::tcp_socket> connect_in_time(std::string host, std::string port) {
  return cosock::connect(host, port, {.timeout = 5s});
}
//! [connect]

//! [echo]
task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  while (std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
}

task<> serve(cosock::tcp_acceptor& acceptor) { return cosock::serve(acceptor, echo); }
//! [echo]

//! [line]
task<std::string> read_line(cosock::buffered_reader& reader) {  // made with {.max_line = 1000}
  const auto line = co_await reader.read_line();
  if (!line) throw std::runtime_error("the stream has ended");
  co_return std::string(*line);
}
//! [line]

//! [timeout]
task<std::optional<std::size_t>> receive_in_time(stream& socket, cosock::mutable_buffer buffer) {
  const auto n = co_await cosock::as_result(cosock::with_timeout(10ms, socket.receive(buffer)));
  if (n.error() == cosock::error::timed_out) co_return std::nullopt;
  co_return n.value();
}
//! [timeout]

//! [race]
task<std::size_t> receive_from_either(stream& left, stream& right,
                                      cosock::mutable_buffer left_buffer,
                                      cosock::mutable_buffer right_buffer) {
  const auto first =
      co_await cosock::when_any(left.receive(left_buffer), right.receive(right_buffer));
  co_return first.index;  // first.results has the sizes, also of the second one
}
//! [race]

//! [parallel]
task<int> part(int number) {
  if (number < 0) throw std::invalid_argument("negative");
  co_return number * number;
}

task<int> all_parts(int a, int b) {
  const auto [first, second] = co_await cosock::when_all(part(a), part(b));
  co_return first + second;
}
//! [parallel]

//! [resolve]
task<std::vector<cosock::endpoint>> look_up(std::string host, std::string port) {
  return cosock::resolve(host, port);
}
//! [resolve]

//! [udp]
task<> answer_datagrams(cosock::udp_socket& socket) {
  char buffer[1500];
  for (;;) {
    const auto received = co_await socket.receive_from(buffer);
    if (received.truncated) continue;
    co_await socket.send_to(cosock::buffer(buffer, received.size), received.from);
  }
}
//! [udp]

//! [shutdown]
task<> server(cosock::tcp_acceptor acceptor) {
  co_await cosock::serve(acceptor, echo);  // run() cancels it on SIGINT or SIGTERM: it drains
}
//! [shutdown]

//! [queue]
task<> write_queue(stream& peer) {
  cosock::outbox queue(peer);
  check(queue.try_send("one ") && queue.try_send("two"));  // by any task, at any time
  queue.close();
  co_await queue.run();  // in a nursery, while others send
}
//! [queue]

//! [cores]
task<> run_on_cores(unsigned n, std::atomic<unsigned>& started) {
  const auto work = [&]() -> task<> {
    ++started;  // a server: acceptors.acceptor(index) here
    co_return;
  };
  co_await cosock::run_loops(n, work);
}
//! [cores]

//! [cancel]
task<> cancelled_by_a_thread() {
  cosock::loop& loop = cosock::loop::current();
  cosock::cancel_scope scope;
  std::jthread other([&] { loop.post([&] { scope.cancel(); }); });
  const auto result = co_await cosock::as_result(scope.run(cosock::sleep_for(1h)));
  check(result.error() == cosock::error::cancelled);
}
//! [cancel]

const cosock::endpoint any_port{cosock::address::loopback_v4(), 0};

task<> with_servers() {
  cosock::tcp_acceptor acceptor(any_port);
  const auto port = std::to_string(acceptor.local_endpoint().port());
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await connect_in_time("127.0.0.1", port);
    co_await socket.send("hello");
    char answer[5];
    co_await socket.receive_exactly(answer);
  };
  co_await cosock::when_any(serve(acceptor), client());

  cosock::udp_socket server_socket(any_port), client_socket(any_port);
  const auto ask = [&]() -> task<> {
    char answer[5];
    co_await client_socket.send_to("hello", server_socket.local_endpoint());
    const auto received = co_await client_socket.receive(answer);
    check(received.size == 5);
  };
  co_await cosock::when_any(answer_datagrams(server_socket), ask());
}

task<> drain_on_signal() {
  cosock::tcp_acceptor acceptor(any_port);
  const cosock::endpoint endpoint = acceptor.local_endpoint();
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await cosock::connect(endpoint);
    char answer[5];
    co_await socket.send("hello");
    co_await socket.receive_exactly(answer);
    ::raise(SIGTERM);
    co_await socket.send("still");
    co_await socket.receive_exactly(answer);
  };
  co_await cosock::when_all(server(std::move(acceptor)), cosock::shielded(client()));
}

task<> run_examples() {
  co_await with_servers();

  auto [local, remote] = cosock::local_pair();
  auto [other_local, other_remote] = cosock::local_pair();
  cosock::buffered_reader lines(local, {.max_line = 1000});
  co_await remote.send("one\ntwo\n");
  check(co_await read_line(lines) == "one");
  check(co_await read_line(lines) == "two");
  char left_buffer[64], right_buffer[64];
  check(!co_await receive_in_time(local, left_buffer));
  co_await remote.send("x");
  check(co_await receive_from_either(local, other_local, left_buffer, right_buffer) == 0);

  check(co_await all_parts(3, 4) == 25);
  bool failed = false;
  try {
    co_await all_parts(3, -4);
  } catch (const std::invalid_argument&) {
    failed = true;
  }
  check(failed);
  const auto found = co_await look_up("127.0.0.1", "80");
  check(found.at(0).port() == 80);

  co_await write_queue(local);
  check(co_await remote.receive(left_buffer) == 7);

  std::atomic<unsigned> started = 0;
  co_await run_on_cores(2, started);
  check(started == 2);
  co_await cancelled_by_a_thread();
}

}  // namespace

int main() {
  const int status = run_snippets(run_examples());
  return status ? status : run_snippets(drain_on_signal());
}
