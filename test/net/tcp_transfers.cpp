// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What arrives of what was sent, until the end, and that large transfers starve nobody.

#include <cosock/tcp.hpp>
#include <cosock/tcp_options.hpp>

#define BOOST_TEST_MODULE tcp_transfers
#include "raw_socket.hpp"
#include "stream_fixture.hpp"
#include "tcp_fixture.hpp"

#include <cosock/when.hpp>

#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <string_view>
#include <thread>

namespace {

using namespace test;
using cosock::endpoint;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(transfers)

COROUTINE_TEST_CASE(sixty_four_megabytes_pass_both_ways_at_once) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    connection c = co_await connect_pair(at);
    byte_pattern there;
    byte_pattern back;
    const auto write = [](tcp_socket& to, byte_pattern& l) -> task<> {
      co_await send(to, l, huge);
      to.shutdown_send();
    };
    co_await cosock::when_all(write(c.client, there), drain_to_end(c.server, there),
                              write(c.server, back), drain_to_end(c.client, back));
    BOOST_TEST(there.out == huge);
    BOOST_TEST(back.out == huge);
  }
}

COROUTINE_TEST_CASE(either_end_may_end_its_direction_first) {
  for (const bool client_first : {false, true}) {
    connection c = co_await connect_pair();
    tcp_socket& first = client_first ? c.client : c.server;
    tcp_socket& second = client_first ? c.server : c.client;
    byte_pattern l;
    char into[8];
    first.shutdown_send();
    BOOST_TEST(co_await second.receive(into) == 0u);
    const auto write = [&]() -> task<> {
      co_await send(second, l, 4 << 20);
      second.shutdown_send();
    };
    co_await cosock::when_all(write(), drain_to_end(first, l));
    BOOST_TEST(l.out == 4u << 20);
    BOOST_TEST(first.is_open());
    BOOST_TEST(second.is_open());
  }
}

namespace {

std::atomic<int> sigpipes = 0;

}  // namespace

COROUTINE_TEST_CASE(sending_after_the_peer_has_gone_is_an_error_and_no_signal) {
  struct sigaction count = {};
  struct sigaction before = {};
  count.sa_handler = [](int) { ++sigpipes; };
  ::sigaction(SIGPIPE, &count, &before);
  for (const bool by_reset : {false, true}) {
    connection c = co_await connect_pair();
    const std::array<std::string_view, 2> parts = {"in ", "parts"};
    if (by_reset)
      c.server.abort();
    else
      c.server.close();
    BOOST_TEST(is_broken(co_await send_until_error(c.client)));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send("x"))).error));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send(parts))).error));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send_some("x"))).error));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send_some(parts))).error));
  }
  ::sigaction(SIGPIPE, &before, nullptr);
  BOOST_TEST(sigpipes == 0);
}

COROUTINE_TEST_CASE(two_thousand_buffers_arrive_whole_through_a_tiny_send_buffer) {
  connection c = co_await connect_pair();
  c.client.set_send_buffer(1);
  byte_pattern l;
  std::vector<const_buffer> from;
  std::size_t size = 0;
  for (std::size_t i = 0; i != 2000; ++i) {
    const std::size_t n = i % 11 == 5 ? 0 : i * 31 % 1500;
    from.emplace_back(pattern().data() + size % period, n);
    size += n;
  }
  l.sent(size);
  const auto write = [&]() -> task<> {
    BOOST_TEST(co_await c.client.send(from) == size);
    c.client.close();
  };
  co_await cosock::when_all(write(), drain_to_end(c.server, l));
  BOOST_TEST(l.out == size);
}

/// As the system allows: the data first, then the end, although the sender has not read all.
COROUTINE_TEST_CASE(an_answer_is_kept_when_the_closer_drains_its_input_first) {
  connection c = co_await connect_pair();
  byte_pattern l;
  char into[1000];
  co_await c.client.send(const_buffer(pattern().data(), 100'000));
  co_await send(c.server, l, 1000);
  c.server.shutdown_send();
  c.client.shutdown_send();
  while (co_await c.server.receive(into) != 0) continue;
  c.server.close();
  co_await drain_to_end(c.client, l);
}

COROUTINE_TEST_CASE(abort_resets_the_connection) {
  for (const bool by_linger : {false, true}) {
    connection c = co_await connect_pair();
    char into[8];
    if (by_linger) {
      c.server.set_linger(0s);
      c.server.close();
    } else {
      c.server.abort();
    }
    BOOST_TEST(!c.server.is_open());
    const outcome o = co_await outcome_of(c.client.receive(into));
    BOOST_TEST(o.error == reset_by_peer());
  }
}

/// A sender whose peer does not read waits, and costs no memory.
COROUTINE_TEST_CASE(backpressure_costs_no_memory) {
  connection c = co_await connect_pair();
  byte_pattern l;
  (void)pattern();
  co_await clog(c.client, l);
  pending_op write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return c.client.send(l.next(huge)); });
    co_await let_others_run();
    const std::size_t before = ::mallinfo2().uordblks;
    for (int i = 0; i != 100; ++i) co_await cosock::yield();
    BOOST_TEST(::mallinfo2().uordblks == before);
    BOOST_TEST(!write.done);
    n.cancel();
  });
  l.sent(write.result);
  BOOST_TEST(l.in < huge);
  co_await drain(c.server, l);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(fairness)

/// A connection that always has data lets another one have its turn.
COROUTINE_TEST_CASE(a_busy_connection_does_not_starve_a_quiet_one) {
  connection busy = co_await connect_pair();
  connection quiet = co_await connect_pair();
  constexpr int available = 20'000;
  co_await busy.client.send(const_buffer(pattern().data(), available));
  wait_for_bytes(busy.server.native_handle(), available);
  int taken = 0;
  int taken_before_answer = 0;
  const auto take_all = [&]() -> task<> {
    char one[1];
    for (; taken != available; ++taken) co_await busy.server.receive(one);
  };
  const auto answer = [&]() -> task<> {
    char into[1];
    for (int i = 0; i != 5; ++i) co_await quiet.server.receive_exactly(into);
    taken_before_answer = taken;
  };
  const auto ask = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) {
      co_await quiet.client.send("?");
      co_await cosock::yield();
    }
  };
  co_await cosock::when_all(take_all(), answer(), ask());
  BOOST_TEST(taken_before_answer < 2000);
}

COROUTINE_TEST_CASE(a_busy_connection_does_not_starve_a_timer) {
  connection busy = co_await connect_pair();
  bool over = false;
  const auto flood = [&]() -> task<> {
    while (!over) co_await busy.client.send("0123456789");
  };
  const auto take = [&]() -> task<> {
    char one[1];
    while (!over) co_await busy.server.receive(one);
  };
  const auto tick = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) co_await cosock::sleep_for(1ms);
    over = true;
  };
  co_await cosock::when_all(flood(), take(), tick());
}

/// One call that moves much, with a peer that is as quick: the loop goes round all the same.
COROUTINE_TEST_CASE(a_large_transfer_does_not_starve_a_timer) {
  for (const bool sending : {false, true}) {
    BOOST_TEST_INFO_SCOPE((sending ? "sending" : "receiving"));
    constexpr std::size_t size = 512 << 20;
    tcp_acceptor acceptor(any_port_v4);
    raw_socket raw(acceptor.local_endpoint());
    tcp_socket s = co_await acceptor.accept();
    const int fd = raw.fd();
    std::thread peer([fd, sending] {
      std::vector<char> memory(1 << 20);
      for (std::size_t done = 0; done < size;) {
        const ssize_t n = sending ? ::recv(fd, memory.data(), memory.size(), 0)
                                  : ::send(fd, memory.data(), memory.size(), MSG_NOSIGNAL);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
      }
    });
    bool over = false;
    int turns = 0;
    cosock::clock::duration longest = {};
    const auto transfer = [&]() -> task<> {
      std::vector<char> memory(size / 8);
      std::vector<mutable_buffer> pieces(8, mutable_buffer(memory));
      if (sending)
        co_await s.send(pieces);
      else
        co_await s.receive_exactly(pieces);
      over = true;
    };
    const auto turn = [&]() -> task<> {
      auto last = cosock::clock::now();
      while (!over) {
        co_await cosock::yield();
        const auto now = cosock::clock::now();
        longest = std::max(longest, now - last);
        last = now;
        ++turns;
      }
    };
    co_await cosock::when_all(turn(), transfer());
    peer.join();
    BOOST_TEST_MESSAGE(
        turns << " turns, the longest of "
              << std::chrono::duration_cast<std::chrono::microseconds>(longest).count() << " us");
    BOOST_TEST(turns > 100);
  }
}

BOOST_AUTO_TEST_SUITE_END()
