// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#define BOOST_TEST_MODULE yields
#include "support.hpp"

#include <cosock/cosock.hpp>

#include <array>
#include <csignal>
#include <functional>
#include <span>
#include <string>
#include <vector>

// A task that repeats an operation which completes at once, with a result or an error, lets other
// tasks of the loop run. That holds for every operation, and for each in a scope that has been
// cancelled.

using cosock::as_result;
using cosock::task;

namespace {

struct repeated {
  std::string name;
  std::function<task<>()> once;
};

/// Awaits the operation, and ignores its result and its error.
template <class Make>
repeated operation(std::string name, Make make) {
  return {std::move(name), [make]() -> task<> { static_cast<void>(co_await as_result(make())); }};
}

constexpr int many = 1000;

task<> repeat(const repeated& operation, const bool& other_ran, int& count) {
  while (!other_ran && ++count != many) co_await operation.once();
}

task<> check(const repeated& operation, bool cancelled) {
  BOOST_TEST_INFO_SCOPE(operation.name << (cancelled ? ", cancelled" : ""));
  bool other_ran = false;
  int count = 0;
  cosock::cancel_scope scope;
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await cosock::yield();
      other_ran = true;
    });
    if (cancelled) scope.cancel();
    co_await scope.run(repeat(operation, other_ran, count));
  });
  BOOST_TEST(count < many);
}

task<> check_all(const std::vector<repeated>& operations, bool cancelled) {
  for (const repeated& each : operations) co_await check(each, cancelled);
}

const cosock::endpoint any_port = cosock::endpoint::parse("127.0.0.1:0");

/// Objects whose operations are repeated.
struct objects {
  objects() : local(cosock::local_pair<cosock::local_stream_socket>()) {}
  std::array<char, 16> memory{};
  cosock::event event;
  cosock::semaphore semaphore{1'000'000};
  cosock::mutex mutex;
  cosock::channel<int> channel{2};
  cosock::channel<int> closed_channel{2};
  cosock::mailbox<int> mailbox{2};
  cosock::mailbox<int> closed_mailbox{2};
  cosock::broadcast<int> broadcast{2};
  cosock::broadcast<int>::subscription subscription = broadcast.subscribe();
  cosock::signal_set signals{SIGUSR1};
  cosock::tcp_acceptor acceptor{any_port};
  cosock::tcp_acceptor closed_acceptor;
  cosock::tcp_socket closed_socket;
  cosock::udp_socket udp{any_port};
  cosock::udp_socket closed_udp;
  std::pair<cosock::local_stream_socket, cosock::local_stream_socket> local;
  cosock::buffered_reader reader{local.first};
  cosock::outbox outbox{local.first};
  std::vector<cosock::outgoing_datagram<>> no_datagrams;
  cosock::const_buffer one{"x", 1};
  std::string too_long = std::string(100, 'x');
  cosock::address_range loopback{cosock::address::loopback_v4(), 32};
  cosock::address_filter filter{.deny = {&loopback, 1}};
  cosock::udp_socket filtered_udp{any_port, {.filter = filter}};
};

}  // namespace

COROUTINE_TEST_CASE(operations_that_complete_at_once_let_others_run) {
  objects o;
  o.event.set();
  o.closed_channel.close();
  o.closed_mailbox.close();
  cosock::frame_format small;
  small.max_size = 10;
  const std::vector<repeated> operations = {
      operation("event::wait", [&] { return o.event.wait(); }),
      operation("semaphore::acquire", [&] { return o.semaphore.acquire(); }),
      operation("mutex::lock", [&] { return o.mutex.lock(); }),
      operation("channel::send, closed", [&] { return o.closed_channel.send(1); }),
      operation("channel::receive, closed", [&] { return o.closed_channel.receive(); }),
      operation("mailbox::receive, closed", [&] { return o.closed_mailbox.receive(); }),
      operation("accept, closed", [&] { return o.closed_acceptor.accept(); }),
      operation("receive, closed",
                [&] { return o.closed_socket.receive(cosock::buffer(o.memory)); }),
      operation("send, closed", [&] { return o.closed_socket.send("x"); }),
      operation("send of nothing", [&] { return o.local.first.send(""); }),
      operation("receive of nothing",
                [&] { return o.local.first.receive(cosock::mutable_buffer(o.memory.data(), 0)); }),
      operation("wait until writable", [&] { return o.local.first.wait_writable(); }),
      operation("send_batch of nothing", [&] { return o.udp.send_batch(o.no_datagrams); }),
      operation("send_batch, closed", [&] { return o.closed_udp.send_batch(o.no_datagrams); }),
      operation("receive_from, closed",
                [&] { return o.closed_udp.receive_from(cosock::buffer(o.memory)); }),
      operation("descriptors of nothing",
                [&] { return o.local.first.send_with_descriptors("", {}); }),
      operation("descriptors into nothing",
                [&] {
                  return o.local.first.receive_with_descriptors(
                      cosock::mutable_buffer(o.memory.data(), 0), 1);
                }),
      operation("a frame that is too long",
                [&, small] { return cosock::send_frame(o.local.first, o.too_long, small); }),
      operation("outbox::flush of nothing", [&] { return o.outbox.flush(); }),
      operation("connect to nowhere",
                [] { return cosock::connect(cosock::endpoint::parse("127.0.0.1:0")); }),
      operation("connect to a denied address",
                [&] {
                  return cosock::connect(cosock::endpoint::parse("127.0.0.1:1"),
                                         {.filter = o.filter});
                }),
      operation("connect to a host with denied addresses",
                [&] { return cosock::connect("127.0.0.1", 1, {.filter = o.filter}); }),
      operation(
          "send_to a denied address",
          [&] { return o.filtered_udp.send_to("x", cosock::endpoint::parse("127.0.0.1:1")); }),
      operation("send_to of an outgoing datagram to a denied address",
                [&] {
                  return o.filtered_udp.send_to(
                      {.data = o.one, .to = cosock::endpoint::parse("127.0.0.1:1")});
                }),
      operation("send_to of an outgoing datagram, closed",
                [&] { return o.closed_udp.send_to({.data = o.one}); }),
      operation("send_batch to a denied address",
                [&] {
                  return o.filtered_udp.send_batch(std::span<const cosock::const_buffer>(&o.one, 1),
                                                   cosock::endpoint::parse("127.0.0.1:1"));
                }),
      operation("local connect to nowhere",
                [] {
                  return cosock::connect<cosock::local_stream_socket>(
                      cosock::local_endpoint::abstract("cosock-nobody-listens"));
                }),
      operation("connect_udp",
                [] { return cosock::connect_udp(cosock::endpoint::parse("127.0.0.1:1")); }),
      operation("resolve of an address", [] { return cosock::resolve("192.0.2.1", "80"); }),
      operation("with_timeout of no time",
                [&] { return cosock::with_timeout(std::chrono::seconds(0), o.event.wait()); }),
  };
  co_await check_all(operations, false);
}

COROUTINE_TEST_CASE(in_a_cancelled_scope_every_operation_lets_others_run) {
  objects o;
  const std::vector<repeated> operations = {
      operation("event::wait", [&] { return o.event.wait(); }),
      operation("semaphore::acquire", [&] { return o.semaphore.acquire(); }),
      operation("mutex::lock", [&] { return o.mutex.lock(); }),
      operation("channel::send", [&] { return o.channel.send(1); }),
      operation("channel::receive", [&] { return o.channel.receive(); }),
      operation("mailbox::receive", [&] { return o.mailbox.receive(); }),
      operation("subscription::receive", [&] { return o.subscription.receive(); }),
      operation("signal_set::wait", [&] { return o.signals.wait(); }),
      operation("sleep_for", [] { return cosock::sleep_for(std::chrono::hours(1)); }),
      operation("sleep_for no time", [] { return cosock::sleep_for(std::chrono::hours(0)); }),
      operation("yield", [] { return cosock::yield(); }),
      operation("accept", [&] { return o.acceptor.accept(); }),
      operation("receive", [&] { return o.local.first.receive(cosock::buffer(o.memory)); }),
      operation("send", [&] { return o.local.first.send("x"); }),
      operation("wait until writable", [&] { return o.local.first.wait_writable(); }),
      operation("receive_from", [&] { return o.udp.receive_from(cosock::buffer(o.memory)); }),
      operation("send_to of an outgoing datagram",
                [&] { return o.udp.send_to({.data = o.one, .to = o.udp.local_endpoint()}); }),
      operation("send_batch of nothing", [&] { return o.udp.send_batch(o.no_datagrams); }),
      operation("send_with_descriptors",
                [&] { return o.local.first.send_with_descriptors("x", {}); }),
      operation(
          "receive_with_descriptors",
          [&] { return o.local.first.receive_with_descriptors(cosock::buffer(o.memory), 1); }),
      operation("send_frame", [&] { return cosock::send_frame(o.local.first, "x"); }),
      operation("read_line", [&] { return o.reader.read_line(); }),
      operation("outbox::send", [&] { return o.outbox.send("x"); }),
      operation("outbox::flush", [&] { return o.outbox.flush(); }),
      operation("connect", [] { return cosock::connect(cosock::endpoint::parse("127.0.0.1:1")); }),
      operation("local connect",
                [] {
                  return cosock::connect<cosock::local_stream_socket>(
                      cosock::local_endpoint::abstract("cosock-nobody-listens"));
                }),
      operation("resolve", [] { return cosock::resolve("localhost", "80"); }),
      operation("with_timeout",
                [&] { return cosock::with_timeout(std::chrono::hours(1), o.event.wait()); }),
  };
  co_await check_all(operations, true);
}
