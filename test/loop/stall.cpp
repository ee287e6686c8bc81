// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A loop that was held up, by a task that computes or a process that is stopped, finds limits that have
// passed and input that came before they did: the input is delivered.

#define BOOST_TEST_MODULE stall
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/mailbox.hpp>
#include <cosock/reader.hpp>
#include <cosock/sync.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

using cosock::as_result;
using cosock::clock;
using cosock::error;
using cosock::nursery;
using cosock::task;
using cosock::tcp_socket;
using cosock::with_nursery;
using cosock::with_timeout;
using test::let_others_run;
using namespace std::chrono_literals;

constexpr auto limit = 30ms;

/// Holds the loop up until every limit that began before has passed.
void compute() {
  const auto end = clock::now() + 2 * limit;
  while (clock::now() < end) {
  }
}

/// Has `wait` wait under a limit, provides what it waits for, and holds the loop up.
task<> check(const char* what, std::function<task<>()> wait, std::function<void()> provide) {
  BOOST_TEST_CONTEXT(what) {
    bool delivered = false;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await with_timeout(limit, wait());
        delivered = true;
      });
      co_await let_others_run();
      provide();
      compute();
    });
    BOOST_TEST(delivered);
  }
}

void put(int to, std::string_view text) {
  BOOST_REQUIRE(::send(to, text.data(), text.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(text.size()));
}

COROUTINE_TEST_CASE(what_came_in_time_beats_the_limit) {
  char into[100];
  {
    auto [a, b] = cosock::local_pair();
    auto& socket = a;
    const int peer = b.native_handle();
    co_await check(
        "receive", [&]() -> task<> { (void)co_await socket.receive(into); },
        [=] { put(peer, "x"); });
    co_await check(
        "several receives",
        [&]() -> task<> {
          for (int i = 0; i != 100; ++i) co_await socket.receive_exactly(cosock::buffer(into, 1));
        },
        [=] { put(peer, std::string(100, 'x')); });
    cosock::buffered_reader reader(socket);
    co_await check(
        "lines",
        [&]() -> task<> {
          for (int i = 0; i != 2; ++i) BOOST_TEST((co_await reader.read_line()).has_value());
        },
        [=] { put(peer, "one\ntwo\n"); });
    co_await check(
        "wait_readable", [&]() -> task<> { co_await socket.wait_readable(); },
        [=] { put(peer, "x"); });
    test::byte_pattern sent;
    co_await test::clog(socket, sent);
    co_await check(
        "send", [&]() -> task<> { (void)co_await socket.send_some("x"); },
        [=] {
          std::string taken(1 << 20, ' ');
          while (::recv(peer, taken.data(), taken.size(), MSG_DONTWAIT) > 0) {
          }
        });
  }
  {
    auto [a, b] = cosock::local_pair<cosock::local_seqpacket_socket>();
    auto& socket = a;
    co_await check(
        "receive_message", [&]() -> task<> { (void)co_await socket.receive_message(into); },
        [&, peer = b.native_handle()] { put(peer, "x"); });
  }
  {
    cosock::udp_socket socket({cosock::address::loopback_v4(), 0});
    auto peer = co_await cosock::connect_udp(socket.local_endpoint());
    co_await check(
        "receive_from", [&]() -> task<> { (void)co_await socket.receive_from(into); },
        [&] { put(peer.native_handle(), "x"); });
    cosock::datagram_batch batch(4);
    co_await check(
        "receive_batch", [&]() -> task<> { (void)co_await socket.receive_batch(batch); },
        [&] { put(peer.native_handle(), "x"); });
  }
  {
    cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
    std::optional<tcp_socket> accepted;
    const int raw = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_storage at;
    socklen_t size = sizeof at;
    ::getsockname(acceptor.native_handle(), reinterpret_cast<sockaddr*>(&at), &size);
    co_await check(
        "accept", [&]() -> task<> { accepted = co_await acceptor.accept(); },
        [&] { BOOST_REQUIRE(::connect(raw, reinterpret_cast<sockaddr*>(&at), size) == 0); });
    ::close(raw);
  }
  {
    cosock::mailbox<int> box(4);
    auto sender = box.make_sender();
    co_await check(
        "a message of another thread", [&]() -> task<> { (void)co_await box.receive(); },
        [&] { std::thread([&] { BOOST_TEST(sender.try_send(1)); }).join(); });
    cosock::event event;
    cosock::loop& loop = cosock::loop::current();
    co_await check(
        "a function of another thread", [&]() -> task<> { co_await event.wait(); },
        [&] { std::thread([&] { loop.post([&] { event.set(); }); }).join(); });
  }
}

/// More than the reactor takes from the system at once.
COROUTINE_TEST_CASE(many_connections_are_all_served) {
  constexpr int count = 700;
  std::vector<cosock::local_stream_socket> sockets;
  std::vector<cosock::local_stream_socket> peers;
  for (int i = 0; i != count; ++i) {
    auto [a, b] = cosock::local_pair();
    sockets.push_back(std::move(a));
    peers.push_back(std::move(b));
  }
  int served = 0;
  co_await with_nursery([&](nursery& n) -> task<> {
    for (auto& socket : sockets)
      n.start([&]() -> task<> {
        char into[10];
        const auto got = co_await as_result(with_timeout(limit, socket.receive(into)));
        served += got.has_value();
      });
    co_await let_others_run();
    for (auto& peer : peers) put(peer.native_handle(), "request");
    compute();
  });
  BOOST_TEST(served == count);
}

COROUTINE_TEST_CASE(what_did_not_come_is_timed_out_all_the_same) {
  auto [a, b] = cosock::local_pair();
  auto& socket = a;
  auto& peer = b;
  bool done = false;
  cosock::event there;
  cosock::event back;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      char into[10];
      const auto got = co_await as_result(with_timeout(limit, socket.receive_exactly(into)));
      BOOST_TEST((got.error() == error::timed_out));
    });
    // Others keep the loop busy meanwhile, one by yielding, two by waking each other.
    n.start([&]() -> task<> {
      while (!done) co_await cosock::yield();
    });
    n.start([&]() -> task<> {
      while (!done) {
        there.set();
        co_await back.wait();
        back.reset();
      }
      there.set();
    });
    n.start([&]() -> task<> {
      while (!done) {
        co_await there.wait();
        there.reset();
        back.set();
      }
    });
    co_await let_others_run();
    put(peer.native_handle(), "half");
    compute();
    co_await cosock::sleep_for(limit);
    done = true;
    back.set();
    there.set();
  });
}

COROUTINE_TEST_CASE(timers_fire_in_the_order_of_their_times) {
  std::vector<int> order;
  co_await with_nursery([&](nursery& n) -> task<> {
    for (const int i : {3, 1, 2})
      n.start(
          [&order](int i) -> task<> {
            co_await cosock::sleep_for(i * 5ms);
            order.push_back(i);
          },
          i);
    co_await let_others_run();
    compute();
  });
  BOOST_TEST(order == std::vector({1, 2, 3}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(poll_returns_although_a_task_yields_without_end) {
  const test::alarm_clock guard;
  cosock::loop loop;
  int turns = 0;
  auto endless = loop.start([](int& turns) -> task<> {
    for (;;) {
      ++turns;
      co_await cosock::yield();
    }
  }(turns));
  BOOST_TEST(loop.poll() > 0u);
  const int before = turns;
  BOOST_TEST(before > 0);
  BOOST_TEST(loop.poll() > 0u);
  BOOST_TEST(turns > before);
}

}  // namespace
