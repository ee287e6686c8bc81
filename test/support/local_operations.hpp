// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What holds for every operation of a local socket that is no operation of byte_stream.

#include <cosock/local.hpp>

#include "local_tools.hpp"

#include <memory>

namespace test {

/// Checks how an operation that waits ends for every reason but success. `make(socket)` gives the
/// operation; before it the socket is clogged if it is one that sends.
template <class Socket, class Make>
task<> check_endings(bool sends, Make make) {
  const std::size_t before = open_descriptors();
  largest_send = std::is_same_v<Socket, cosock::local_stream_socket> ? huge : 4000;
  for (const char how : {'b', 'p', 't', 'c', 'd', 'r'}) {
    BOOST_TEST_INFO_SCOPE("ended by " << how);
    auto [a, peer] = cosock::local_pair<Socket>();
    auto s = std::make_unique<Socket>(std::move(a));
    byte_pattern l;
    if (sends) co_await clog(*s, l);
    cosock::cancel_scope scope;
    pending_op op;
    int released = -1;
    if (how == 'b') scope.cancel();  // before it starts
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return scope.run(make(*s)); });
      co_await let_others_run();
      BOOST_TEST(op.done == (how == 'b'));
      if (how != 'b') {
        const outcome second = co_await outcome_of(make(*s));
        BOOST_TEST(second.is(cosock::error::busy));
      }
      if (how == 'p') scope.cancel();
      if (how == 't') scope.set_deadline(cosock::clock::now() + 1ms);
      if (how == 'c') s->close();
      if (how == 'd') s.reset();
      if (how == 'r') released = s->release();
    });
    const auto expected = how == 't'                 ? cosock::error::timed_out
                          : how <= 'b' || how == 'p' ? cosock::error::cancelled
                                                     : cosock::error::closed;
    BOOST_TEST(op.result.is(expected));
    if (released >= 0) ::close(released);
    if (how == 'c') {
      const outcome after = co_await outcome_of(make(*s));
      BOOST_TEST(after.is(cosock::error::closed));
    }
    if (how == 'b' || how == 'p' || how == 't') {
      // Nothing has happened, and the socket works.
      co_await drain(peer, l);
      co_await round_trip(*s, peer);
    }
  }
  BOOST_TEST(open_descriptors() == before);
}

/// The same for the end of the loop, and for another loop.
template <class Socket, class Make>
void check_loops(bool sends, Make make) {
  const std::size_t before = open_descriptors();
  largest_send = std::is_same_v<Socket, cosock::local_stream_socket> ? huge : 4000;
  const auto new_pair = [](bool sends) -> task<std::unique_ptr<std::pair<Socket, Socket>>> {
    auto made = std::make_unique<std::pair<Socket, Socket>>(cosock::local_pair<Socket>());
    byte_pattern l;
    if (sends) co_await clog(made->first, l);
    co_return made;
  };
  for (const bool task_first : {false, true}) {
    auto on = std::make_unique<cosock::loop>();
    const auto pair = on->run(new_pair(sends));
    end_loop_under(std::move(on), task_first, [&] { return make(pair->first); });
    BOOST_TEST(!pair->first.is_open());
    cosock::loop other;
    BOOST_TEST(other.run(outcome_of(make(pair->first))).is(cosock::error::closed));
  }
  {
    cosock::loop one;
    cosock::loop two;
    const auto pair = one.run(new_pair(false));
    BOOST_TEST(two.run(outcome_of(make(pair->first))).is(cosock::error::wrong_loop));
  }
  BOOST_TEST(open_descriptors() == before);
}

/// Something arrives and the operation is cancelled in the same turn of the loop, in every order. One
/// `send()` is answered by one operation that completes: none is lost, none comes twice.
template <class Make, class Send>
task<> check_races(Make receive, Send send) {
  auto [told, teller] = cosock::local_pair();
  int sent = 0;
  int got = 0;
  int cancelled = 0;
  for (int round = 0; round != 300; ++round) {
    cosock::cancel_scope scope;
    const auto cancel_when_told = [&]() -> task<> {
      char byte[1];
      co_await told.receive(byte);
      scope.cancel();
    };
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const outcome o = co_await outcome_of(scope.run(receive()));
        if (o.error) BOOST_REQUIRE(o.is(cosock::error::cancelled));
        ++(o.error ? cancelled : got);
      });
      co_await cosock::yield();
      switch (round % 5) {
        case 0:
          co_await send();
          scope.cancel();
          break;
        case 1:
          scope.cancel();
          co_await send();
          break;
        case 2:
          n.start(cancel_when_told);
          co_await let_others_run();
          co_await teller.send("!");
          co_await send();
          break;
        case 3:
          n.start(cancel_when_told);
          co_await let_others_run();
          co_await send();
          co_await teller.send("!");
          break;
        case 4:
          scope.set_deadline(cosock::clock::now() + std::chrono::microseconds(round % 90));
          co_await send();
          break;
      }
      ++sent;
    });
  }
  BOOST_TEST(cancelled != 0);
  BOOST_TEST(got != 0);
  for (; got < sent; ++got) co_await receive();
  pending_op none_left;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, none_left, receive);
    co_await let_others_run();
    BOOST_TEST(!none_left.done);
    n.cancel();
  });
}

}  // namespace test
