// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What passes through a stream: every byte once and in order, also of large and of concurrent calls.

#include <cosock/when.hpp>

#include "stream_check.hpp"

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

namespace test::stream_conformance {

/// 1 MiB in chunks, and the end.
STREAM_CHECK(BasicIO, &kind::delivers_after_close) {
  ledger l;
  const auto write = [&]() -> task<> {
    for (int i = 0; i != 1024; ++i) co_await send(a, l, 1024);
    a.close();
  };
  const auto read = [&]() -> task<> {
    char into[1024];
    while (const std::size_t n = co_await b.receive(into)) BOOST_REQUIRE(l.received(into, n));
  };
  co_await cosock::when_all(write(), read());
  BOOST_TEST(l.out == 1u << 20);
}

STREAM_CHECK(PingPong) {
  const auto play = [](byte_stream& s, std::uint32_t next) -> task<> {
    for (; next < 2000; next += 2) {
      std::uint32_t got = 0;
      if (next % 2 == 0) co_await s.send(const_buffer(&next, sizeof next));
      co_await s.receive_exactly(mutable_buffer(&got, sizeof got));
      BOOST_REQUIRE(got == (next | 1) - (next % 2));
      if (next % 2 == 1) co_await s.send(const_buffer(&next, sizeof next));
    }
  };
  co_await cosock::when_all(play(a, 0), play(b, 1));
}

/// Receives that time out all the time, into memory that is freed at once, lose no byte.
STREAM_CHECK(RacyRead, &kind::bytes) {
  ledger l;
  constexpr std::size_t total = 256 << 10;
  const auto write = [&]() -> task<> {
    while (l.in < total) {
      co_await send(b, l, 1 + l.in % 1500);
      if (l.in % 3 == 0) co_await cosock::sleep_for(50us);
    }
  };
  int timed_out = 0;
  const auto read = [&]() -> task<> {
    for (int i = 0; l.out < total; ++i) {
      std::vector<char> into(1 + i % 2000);
      const outcome o = co_await outcome_of(
          cosock::with_timeout(std::chrono::microseconds(i % 100), a.receive(into)));
      if (o.error) {
        BOOST_REQUIRE(o.is(cosock::error::timed_out));
        BOOST_REQUIRE(o.bytes == 0u);
        ++timed_out;
      }
      BOOST_REQUIRE(l.received(into.data(), o.bytes));
    }
  };
  co_await cosock::when_all(write(), read());
  BOOST_TEST(timed_out != 0);
  co_await drain(a, l);
  co_await round_trip(a, b);
}

/// Sends that time out all the time say how far they came.
STREAM_CHECK(RacyWrite, &kind::bytes, &kind::bounded, &kind::stays_in_loop) {
  ledger l;
  constexpr std::size_t total = 32 << 20;
  int timed_out = 0;
  bool written = false;
  const auto write = [&]() -> task<> {
    for (int i = 0; l.in < total; ++i) {
      const auto limit = std::chrono::microseconds(i % 300);
      const outcome o = co_await outcome_of(cosock::with_timeout(limit, a.send(l.next(8 << 20))));
      if (o.error) {
        BOOST_REQUIRE(o.is(cosock::error::timed_out));
        ++timed_out;
      }
      l.sent(o);
    }
    written = true;
  };
  // Counts only what is known to have been sent, so it follows after.
  const auto read = [&]() -> task<> {
    while (!written) {
      co_await drain(b, l);
      co_await cosock::yield();
    }
  };
  co_await cosock::when_all(write(), read());
  BOOST_TEST(timed_out != 0);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// Everybody calls everything: each call works or is refused, and every byte is accounted for.
STREAM_CHECK(ConcurrentMethods, &kind::bytes) {
  std::size_t sent = 0;
  std::size_t received = 0;
  std::size_t echoed = 0;
  int refused = 0;
  int active = 10;
  const auto allowed = [&](const outcome& o) {
    if (o.is(cosock::error::busy)) ++refused;
    BOOST_REQUIRE_MESSAGE(!o.error || o.is(cosock::error::busy) || o.is(cosock::error::timed_out),
                          o);
    return o.bytes;
  };
  const auto call_all = [&](int seed) -> task<> {
    std::mt19937 random(seed);
    for (int i = 0; i != 100; ++i) {
      char into[16];
      const auto limit = std::chrono::microseconds(random() % 200);
      switch (random() % 6) {
        case 0:
          received += allowed(co_await outcome_of(cosock::with_timeout(limit, a.receive(into))));
          break;
        case 1:
          sent += allowed(co_await outcome_of(cosock::with_timeout(limit, a.send("0123456789"))));
          break;
        case 2:
          sent += allowed(co_await outcome_of(cosock::with_timeout(limit, a.send_some("01234"))));
          break;
        case 3:
          received +=
              allowed(co_await outcome_of(cosock::with_timeout(limit, a.receive_exactly(into))));
          break;
        case 4: allowed(co_await outcome_of(cosock::with_timeout(limit, a.wait_readable()))); break;
        case 5: allowed(co_await outcome_of(cosock::with_timeout(limit, a.wait_writable()))); break;
      }
      BOOST_REQUIRE(a.is_open());
    }
    --active;
  };
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      char into[100];
      for (;;) {
        const std::size_t got = co_await b.receive(into);
        echoed += got;
        co_await b.send(cosock::buffer(into, got));
      }
    });
    for (int seed = 0; seed != 10; ++seed) n.start(call_all, seed);
    while (active != 0) co_await cosock::yield();
    char into[100];
    while (received < sent) received += co_await a.receive(into);
    n.cancel();
  });
  BOOST_TEST(refused != 0);
  BOOST_TEST(echoed == sent);
  BOOST_TEST(received == sent);
  co_await round_trip(a, b);
}

STREAM_CHECK(FullDuplexRandomChunks, &kind::bytes) {
  constexpr std::size_t total = 1 << 20;
  ledger there;
  ledger back;
  const auto write = [](byte_stream& to, ledger& l, unsigned seed) -> task<> {
    std::mt19937 random(seed);
    while (l.in < total)
      co_await send(to, l, std::min(total - l.in, 1 + random() % (random() % 8 ? 2000 : 200000)));
  };
  const auto read = [](byte_stream& from, ledger& l, unsigned seed) -> task<> {
    std::mt19937 random(seed);
    while (l.out < total) {
      std::vector<char> into(1 + random() % (random() % 8 ? 3000 : 100000));
      BOOST_REQUIRE(l.received(into.data(), co_await from.receive(into)));
      if (random() % 16 == 0) co_await cosock::yield();
    }
  };
  co_await cosock::when_all(write(a, there, 1), read(b, there, 2), write(b, back, 3),
                            read(a, back, 4));
  co_await round_trip(a, b);
}

/// 64 MiB in one send, 4 KiB at a time out.
STREAM_CHECK(LargeWrite, &kind::delivers_after_close, &kind::stays_in_loop) {
  ledger l;
  const auto write = [&]() -> task<> {
    co_await send(a, l, huge);
    a.close();
  };
  const auto read = [&]() -> task<> {
    char into[4096];
    while (const std::size_t n = co_await b.receive(into)) BOOST_REQUIRE(l.received(into, n));
  };
  co_await cosock::when_all(write(), read());
  BOOST_TEST(l.out == huge);
}

/// A peer that does not read stops the sender, after a bounded number of bytes.
STREAM_CHECK(SlowReaderMakesSenderWait, &kind::bytes, &kind::bounded) {
  ledger l;
  cancel_scope scope;
  beside write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return scope.run(a.send(l.next(huge))); });
    co_await cosock::sleep_for(10ms);
    BOOST_TEST(!write.done);
    scope.cancel();
  });
  BOOST_TEST(write.result.bytes < huge);
  l.sent(write.result);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

}  // namespace test::stream_conformance
