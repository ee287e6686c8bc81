// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What passes through a stream: every byte once and in order, also of large and of concurrent calls.

#include "testing/stream_checks.hpp"

#include <cosock/when.hpp>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

namespace cosock::testing::detail {

/// 1 MiB in chunks, and the end.
STREAM_CHECK(basic_io) {
  byte_pattern l;
  const auto write = [&]() -> task<> {
    for (int i = 0; i != 1024; ++i) co_await send(a, l, 1024);
    a.close();
  };
  const auto read = [&]() -> task<> {
    char into[1024];
    while (const std::size_t n = co_await b.receive(into)) REQUIRE(l.received(into, n));
  };
  co_await cosock::when_all(write(), read());
  EXPECT(l.out == 1u << 20);
}

STREAM_CHECK(ping_pong) {
  const auto play = [](byte_stream& s, std::uint32_t next) -> task<> {
    for (; next < 2000; next += 2) {
      std::uint32_t got = 0;
      if (next % 2 == 0) co_await s.send(const_buffer(&next, sizeof next));
      co_await s.receive_exactly(mutable_buffer(&got, sizeof got));
      REQUIRE(got == (next | 1) - (next % 2));
      if (next % 2 == 1) co_await s.send(const_buffer(&next, sizeof next));
    }
  };
  co_await cosock::when_all(play(a, 0), play(b, 1));
}

/// Receives that time out all the time, into memory that is freed at once, lose no byte.
STREAM_CHECK(racy_read) {
  byte_pattern l;
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
        REQUIRE(o.is(cosock::error::timed_out));
        REQUIRE(o.bytes == 0u);
        ++timed_out;
      }
      REQUIRE(l.received(into.data(), o.bytes));
    }
  };
  co_await cosock::when_all(write(), read());
  EXPECT(timed_out != 0);
  co_await drain(a, l);
  co_await round_trip(a, b);
}

/// Sends that time out all the time say how far they came.
STREAM_CHECK(racy_write) {
  byte_pattern l;
  constexpr std::size_t total = 32 << 20;
  int timed_out = 0;
  bool written = false;
  const auto write = [&]() -> task<> {
    for (int i = 0; l.in < total; ++i) {
      const auto limit = std::chrono::microseconds(i % 300);
      const outcome o = co_await outcome_of(cosock::with_timeout(limit, a.send(l.next(8 << 20))));
      if (o.error) {
        REQUIRE(o.is(cosock::error::timed_out));
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
  EXPECT(timed_out != 0);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// Everybody calls everything: each call works or is refused, and every byte is accounted for.
STREAM_CHECK(concurrent_methods) {
  std::size_t sent = 0;
  std::size_t received = 0;
  std::size_t echoed = 0;
  int refused = 0;
  int active = 10;
  const auto allowed = [&](const outcome& o) {
    if (o.is(cosock::error::busy)) ++refused;
    WITH_INFO(o);
    REQUIRE((!o.error || o.is(cosock::error::busy) || o.is(cosock::error::timed_out)));
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
      REQUIRE(a.is_open());
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
  EXPECT(refused != 0);
  EXPECT(echoed == sent);
  EXPECT(received == sent);
  co_await round_trip(a, b);
}

STREAM_CHECK(full_duplex_random_chunks) {
  constexpr std::size_t total = 1 << 20;
  byte_pattern there;
  byte_pattern back;
  const auto write = [](byte_stream& to, byte_pattern& l, unsigned seed) -> task<> {
    std::mt19937 random(seed);
    while (l.in < total)
      co_await send(to, l, std::min(total - l.in, 1 + random() % (random() % 8 ? 2000 : 200000)));
  };
  const auto read = [](byte_stream& from, byte_pattern& l, unsigned seed) -> task<> {
    std::mt19937 random(seed);
    while (l.out < total) {
      std::vector<char> into(1 + random() % (random() % 8 ? 3000 : 100000));
      REQUIRE(l.received(into.data(), co_await from.receive(into)));
      if (random() % 16 == 0) co_await cosock::yield();
    }
  };
  co_await cosock::when_all(write(a, there, 1), read(b, there, 2), write(b, back, 3),
                            read(a, back, 4));
  co_await round_trip(a, b);
}

/// 64 MiB in one send, 4 KiB at a time out.
STREAM_CHECK(large_write) {
  byte_pattern l;
  const auto write = [&]() -> task<> {
    co_await send(a, l, huge);
    a.close();
  };
  const auto read = [&]() -> task<> {
    char into[4096];
    while (const std::size_t n = co_await b.receive(into)) REQUIRE(l.received(into, n));
  };
  co_await cosock::when_all(write(), read());
  EXPECT(l.out == huge);
}

/// A peer that does not read stops the sender, after a bounded number of bytes.
STREAM_CHECK(slow_reader_makes_sender_wait) {
  byte_pattern l;
  cancel_scope scope;
  pending_op write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return scope.run(a.send(l.next(huge))); });
    co_await cosock::sleep_for(10ms);
    EXPECT(!write.done);
    scope.cancel();
  });
  EXPECT(write.result.bytes < huge);
  l.sent(write.result);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

std::span<const stream_check_entry> transfers_checks() {
  static constexpr stream_check_entry all[] = {
      {"basic_io", &basic_io, needs::delivers_after_close},
      {"ping_pong", &ping_pong, 0},
      {"racy_read", &racy_read, needs::buffers | needs::bytes},
      {"racy_write", &racy_write,
       needs::buffers | needs::bytes | needs::bounded | needs::stays_in_loop},
      {"concurrent_methods", &concurrent_methods, needs::bytes},
      {"full_duplex_random_chunks", &full_duplex_random_chunks, needs::bytes},
      {"large_write", &large_write, needs::delivers_after_close | needs::stays_in_loop},
      {"slow_reader_makes_sender_wait", &slow_reader_makes_sender_wait,
       needs::bytes | needs::bounded},
  };
  return all;
}

}  // namespace cosock::testing::detail
