// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What every byte_stream promises, as one list of test cases: the stream tests of Go's nettest, Trio's
// stream checkers, and more on cancellation, time limits and partial transfers. A kind of stream is
// held to it by one line (see stream.cpp), which registers a Boost.Test case for every check.

#include <cosock/stream.hpp>
#include <cosock/when.hpp>

#include "stream_fixture.hpp"

#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace test::stream_conformance {

using cosock::cancel_scope;
using std::chrono::steady_clock;

/// The two ends of a connection.
struct stream_pair {
  stream_pair(std::unique_ptr<byte_stream> one, std::unique_ptr<byte_stream> other)
      : first(std::move(one)), second(std::move(other)) {}
  std::unique_ptr<byte_stream> first;
  std::unique_ptr<byte_stream> second;
};

/// A kind of stream: how a connection is made, and which of the promises apply.
struct kind {
  task<stream_pair> (*make_pair)();
  /// Ends the connection in a way that the peer sees as an error; null if there is none.
  void (*reset)(byte_stream&) = nullptr;
  /// There is a shutdown_send(), which leaves the other direction open.
  bool half_close = true;
  /// A peer that does not read makes the sender wait, after less than huge() bytes.
  bool bounded = true;
  /// Sending to a peer that has closed fails sooner or later.
  bool tells_of_close = true;
  /// What was sent arrives although the sender has closed.
  bool delivers_after_close = true;
  /// close() leaves nothing to be done behind the scenes.
  bool closes_at_once = true;
  /// No thread takes part, so that a number of turns of the loop is enough for everything.
  bool stays_in_loop = true;
  /// Bytes only: there are no messages, which have to be received as they were sent.
  bool bytes = true;
};

/// One test of the list.
struct check {
  const char* name;
  task<> (*body)(byte_stream& a, byte_stream& b, const kind& of);
  std::function<bool(const kind&)> applies;
};

inline std::vector<check>& all_checks() {
  static std::vector<check> all;
  return all;
}

struct enlisted {
  template <class... Flag>
  enlisted(const char* name, decltype(check::body) body, Flag... needed) {
    auto applies = [needed...]([[maybe_unused]] const kind& of) {
      return (true && ... && static_cast<bool>(of.*needed));
    };
    all_checks().push_back({name, body, applies});
  }
};

/// Defines a check on a connection between `a` and `b`; further arguments are what it needs of kind.
#define STREAM_CHECK(name, ...)                                                               \
  inline ::cosock::task<> name(byte_stream& a, byte_stream& b, const kind& of);               \
  static const enlisted name##_enlisted(#name, &name __VA_OPT__(, ) __VA_ARGS__);             \
  inline ::cosock::task<> name([[maybe_unused]] byte_stream& a, [[maybe_unused]] byte_stream& b, \
                               [[maybe_unused]] const kind& of)

inline task<> perform_check(check c, kind of) {
  const std::size_t before = open_descriptors();
  largest_send = of.bytes ? huge : 4000;
  {
    const stream_pair pair = co_await of.make_pair();
    co_await c.body(*pair.first, *pair.second, of);
  }
  while (!of.closes_at_once && open_descriptors() > before) co_await cosock::yield();
  BOOST_TEST(open_descriptors() == before);
}

/// Registers a suite of this name with a test case for every check that applies.
struct register_suite {
  register_suite(const char* name, kind of) {
    auto* suite = BOOST_TEST_SUITE(name);
    for (const check& c : all_checks())
      if (c.applies(of))
        suite->add(boost::unit_test::make_test_case([c, of] { run_case(perform_check(c, of)); },
                                                    c.name, __FILE__, __LINE__));
    boost::unit_test::framework::current_auto_test_suite().add(suite);
  }
};

// Go's nettest

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
      const outcome o =
          co_await outcome_of(cosock::with_timeout(std::chrono::microseconds(i % 100), a.receive(into)));
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

STREAM_CHECK(ReadTimeout) {
  char into[8];
  for (const auto limit : {0ms, 2ms}) {
    const outcome o = co_await outcome_of(cosock::with_timeout(limit, a.receive(into)));
    BOOST_TEST(o.is(cosock::error::timed_out));
    co_await a.send("not hurt");
    co_await b.receive_exactly(into);
    BOOST_TEST(std::string_view(into, 8) == "not hurt");
  }
  co_await round_trip(a, b);
}

STREAM_CHECK(WriteTimeout, &kind::bytes, &kind::bounded) {
  ledger l;
  char into[8];
  for (const auto limit : {0ms, 2ms}) {
    const outcome o = co_await outcome_of(cosock::with_timeout(limit, a.send(l.next(huge))));
    BOOST_TEST(o.is(cosock::error::timed_out));
    l.sent(o);
    if (limit == 0ms) BOOST_TEST(o.bytes == 0u);
    co_await b.send("not hurt");
    co_await a.receive_exactly(into);
    BOOST_TEST(std::string_view(into, 8) == "not hurt");
  }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// A deadline in the past: nothing happens, although it could.
STREAM_CHECK(PastTimeout) {
  ledger to_a;
  ledger to_b;
  co_await round_trip(a, b);
  co_await send(b, to_a, 1000);
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    char into[10];
    for (const auto past : {steady_clock::time_point::min(), steady_clock::time_point(),
                            steady_clock::now()}) {
      const outcome o = co_await cosock::with_deadline(past, perform(which, a, into, to_b, 10));
      BOOST_TEST(o.is(cosock::error::cancelled));
      BOOST_TEST(o.bytes == 0u);
    }
    const outcome direct = co_await outcome_of(
        cosock::with_deadline(steady_clock::time_point::min(), a.receive(into)));
    BOOST_TEST(direct.is(cosock::error::timed_out));
  }
  co_await drain(a, to_a);
  co_await round_trip(a, b);
}

/// A deadline set to the past while operations wait ends them.
STREAM_CHECK(PresentTimeout, &kind::bytes, &kind::bounded) {
  ledger l;
  char into[8];
  cancel_scope read_scope;
  cancel_scope write_scope;
  beside read;
  beside write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return read_scope.run(a.receive(into)); });
    start(n, write, [&] { return write_scope.run(a.send(l.next(huge))); });
    co_await settle();
    BOOST_TEST(!read.done);
    BOOST_TEST(!write.done);
    read_scope.set_deadline(steady_clock::now() - 1h);
    co_await ended(read);
    BOOST_TEST(!write.done);
    write_scope.set_deadline(steady_clock::now() - 1h);
  });
  BOOST_TEST(read.result.is(cosock::error::timed_out));
  BOOST_TEST(write.result.is(cosock::error::timed_out));
  BOOST_TEST(read_scope.timed_out());
  l.sent(write.result);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(FutureTimeout, &kind::bytes, &kind::bounded) {
  ledger l;
  char into[8];
  const auto begun = steady_clock::now();
  const auto [read, write] = co_await cosock::when_all(
      outcome_of(cosock::with_timeout(5ms, a.receive(into))),
      outcome_of(cosock::with_timeout(5ms, a.send(l.next(huge)))));
  BOOST_TEST((steady_clock::now() - begun >= 5ms));
  BOOST_TEST(read.is(cosock::error::timed_out));
  BOOST_TEST(write.is(cosock::error::timed_out));
  l.sent(write);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// close() ends what waits with `closed`, whatever time is left.
STREAM_CHECK(CloseTimeout, &kind::bytes, &kind::bounded) {
  ledger l;
  char into[8];
  beside read;
  beside write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return cosock::with_timeout(1h, a.receive(into)); });
    start(n, write, [&] { return cosock::with_timeout(1h, a.send(l.next(huge))); });
    co_await settle();
    BOOST_TEST(!read.done);
    BOOST_TEST(!write.done);
    a.close();
  });
  BOOST_TEST(read.result.is(cosock::error::closed));
  BOOST_TEST(write.result.is(cosock::error::closed));
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
    BOOST_REQUIRE_MESSAGE(!o.error || o.is(cosock::error::busy) || o.is(cosock::error::timed_out), o);
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
    n.cancel_all();
  });
  BOOST_TEST(refused != 0);
  BOOST_TEST(echoed == sent);
  BOOST_TEST(received == sent);
  co_await round_trip(a, b);
}

// Trio's stream checkers

STREAM_CHECK(SendEmpty) {
  const std::vector<std::string> none;
  const std::vector<std::string> blank(3);
  beside read;
  char into[8];
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return b.receive(into); });
    BOOST_TEST(co_await a.send("") == 0u);
    BOOST_TEST(co_await a.send(const_buffer()) == 0u);
    BOOST_TEST(co_await a.send_some(std::string()) == 0u);
    BOOST_TEST(co_await a.send(none) == 0u);
    BOOST_TEST(co_await a.send(blank) == 0u);
    BOOST_TEST(co_await a.send_some(blank) == 0u);
    co_await settle();
    BOOST_TEST(!read.done);
    n.cancel_all();
  });
  co_await round_trip(a, b);
}

STREAM_CHECK(SendEmptyThenData) {
  char into[8] = {};
  co_await a.send("");
  co_await a.send("x");
  BOOST_TEST(co_await b.receive(into) == 1u);
  BOOST_TEST(into[0] == 'x');
}

STREAM_CHECK(BufferKinds, &kind::bytes, &kind::delivers_after_close) {
  const std::string string = "string ";
  const std::vector<unsigned char> vector = {'v', 'e', 'c', ' '};
  std::array<std::byte, 2> bytes = {std::byte{'b'}, std::byte{' '}};
  char chars[4] = {'c', 'h', 'r', ' '};
  const std::array<const_buffer, 2> two = {const_buffer("two "), const_buffer("parts ")};
  co_await a.send(string);
  co_await a.send(vector);
  co_await a.send(bytes);
  co_await a.send(chars);
  co_await a.send("literal ");
  co_await a.send(std::string_view("view "));
  co_await a.send(std::span(bytes));
  co_await a.send(cosock::buffer(string, 3));
  co_await a.send(two);
  a.close();

  std::string got;
  std::string into_string(5, '\0');
  std::vector<std::byte> into_vector(5);
  unsigned char into_array[5];
  const auto take = [&](const auto& from, std::size_t n) {
    got.append(reinterpret_cast<const char*>(std::data(from)), n);
  };
  take(into_string, co_await b.receive(into_string));
  take(into_vector, co_await b.receive(into_vector));
  take(into_array, co_await b.receive(into_array));
  take(into_vector, co_await b.receive(std::span(into_vector).first(1)));
  while (const std::size_t n = co_await b.receive(cosock::buffer(into_vector.data(), 4)))
    take(into_vector, n);
  BOOST_TEST(got == "string vec b chr literal view b strtwo parts ");
}

STREAM_CHECK(DoubleReceiveBusy) {
  ledger l;
  char one[4];
  char two[4];
  for (const operation first : receiving)
    for (const operation second : receiving) {
      BOOST_TEST_INFO_SCOPE(first << " then " << second);
      beside read;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, read, [&] { return perform(first, a, one, l, 0); });
        co_await settle();
        const outcome refused = co_await perform(second, a, two, l, 0);
        BOOST_TEST(refused.is(cosock::error::busy));
        BOOST_TEST(!read.done);
        co_await send(b, l, sizeof one);
      });
      BOOST_TEST(!read.result.error);
      BOOST_TEST(l.received(one, read.result.bytes));
      co_await drain(a, l);
    }
}

STREAM_CHECK(DoubleSendBusy, &kind::bounded) {
  ledger l;
  co_await clog(a, l);
  for (const operation first : sending)
    for (const operation second : sending) {
      BOOST_TEST_INFO_SCOPE(first << " then " << second);
      beside write;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, write, [&] { return perform(first, a, {}, l, 1000); });
        co_await settle();
        BOOST_TEST(!write.done);
        const outcome refused = co_await perform(second, a, {}, l, 1000);
        BOOST_TEST(refused.is(cosock::error::busy));
        BOOST_TEST(!write.done);
        co_await drain(b, l);
      });
      BOOST_TEST(!write.result.error);
      l.sent(write.result);
      co_await clog(a, l);
    }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(SendAndEofBusy, &kind::bytes, &kind::bounded, &kind::half_close) {
  ledger l;
  beside write;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return a.send(l.next(1 << 20)); });
    co_await settle();
    BOOST_CHECK_EXCEPTION(a.shutdown_send(), boost::system::system_error, is(cosock::error::busy));
    BOOST_TEST(!write.done);
    co_await drain(b, l);
    l.sent(1 << 20);
    co_await drain(b, l);
  });
  BOOST_TEST(!write.result.error);
  a.shutdown_send();
  co_await drain_to_end(b, l);
}

STREAM_CHECK(WaitWritableBusy, &kind::bounded) {
  ledger l;
  co_await clog(a, l);
  cancel_scope scope;
  beside wait;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return scope.run(a.wait_writable()); });
    co_await settle();
    BOOST_TEST(!wait.done);
    for (const operation second : sending) {
      BOOST_TEST_INFO_SCOPE(second);
      const outcome refused = co_await perform(second, a, {}, l, 10);
      BOOST_TEST(refused.is(cosock::error::busy));
    }
    scope.cancel();
  });
  BOOST_TEST(wait.result.is(cosock::error::cancelled));
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(WaitWritableReturnsEarlyNeverLate, &kind::bytes, &kind::bounded) {
  ledger l;
  co_await a.wait_writable();
  co_await clog(a, l);
  beside wait;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return a.wait_writable(); });
    co_await settle();
    BOOST_TEST(!wait.done);
    co_await drain(b, l);
    co_await ended(wait);
    BOOST_TEST(!wait.result.error);
    // Nobody reads any more, so this finds room or never ends.
    l.sent(co_await a.send_some(l.next(huge)));
  });
  BOOST_TEST(l.on_the_way() != 0u);
  co_await drain(b, l);
}

/// The same for the other direction.
STREAM_CHECK(WaitReadableReturnsEarlyNeverLate) {
  char into[4];
  for (int round = 0; round != 3; ++round) {
    beside wait;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, wait, [&] { return b.wait_readable(); });
      co_await settle();
      BOOST_TEST(!wait.done);
      co_await a.send("data");
      co_await ended(wait);
    });
    BOOST_TEST(!wait.result.error);
    co_await b.wait_readable();  // it took nothing
    BOOST_TEST(co_await b.receive(into) == 4u);
  }
  beside wait;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return b.wait_readable(); });
    co_await settle();
    BOOST_TEST(!wait.done);
    a.close();
    co_return;
  });
  BOOST_TEST(!wait.result.error);
  BOOST_TEST(co_await b.receive(into) == 0u);
}

STREAM_CHECK(PeerCloseBreaksSend, &kind::tells_of_close) {
  b.close();
  BOOST_TEST(is_broken(co_await send_until_error(a)));
}

STREAM_CHECK(BrokenIsSticky, &kind::tells_of_close) {
  char into[8];
  b.close();
  co_await send_until_error(a);
  for (int i = 0; i != 3; ++i) {
    for (const operation which : {operation::send, operation::send_some}) {
      BOOST_TEST_INFO_SCOPE(which);
      ledger l;
      const outcome o = co_await perform(which, a, {}, l, 10);
      BOOST_TEST(is_broken(o.error));
      BOOST_TEST(o.bytes == 0u);
    }
    co_await a.wait_writable();  // would not have to wait
    const outcome o = co_await outcome_of(a.receive(into));
    BOOST_TEST(o.bytes == 0u);
  }
  BOOST_TEST(a.is_open());
}

STREAM_CHECK(ReceiveAfterOwnClose) {
  char into[8];
  ledger l;
  co_await b.send("data");
  a.close();
  BOOST_TEST(!a.is_open());
  for (int i = 0; i != 2; ++i) {
    for (const operation which : receiving) {
      BOOST_TEST_INFO_SCOPE(which);
      const outcome o = co_await perform(which, a, into, l, 0);
      BOOST_TEST(o.is(cosock::error::closed));
    }
  }
  const outcome empty = co_await outcome_of(a.receive(mutable_buffer()));
  BOOST_TEST(empty.is(cosock::error::closed));
}

STREAM_CHECK(WhatEndsAtOnceLetsOthersRun) {
  for (const bool closed : {false, true}) {
    if (closed) a.close();
    for (const operation which : {operation::send, operation::receive}) {
      bool turn = false;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        n.start([&]() -> task<> {
          co_await cosock::sleep_for(1ms);
          turn = true;
        });
        while (!turn) {
          outcome o;
          if (which == operation::send)
            o = co_await outcome_of(a.send(const_buffer()));
          else
            o = co_await outcome_of(a.receive(mutable_buffer()));
          BOOST_TEST(o.is(cosock::error::closed) == closed);
        }
      });
    }
  }
}

STREAM_CHECK(SendAfterOwnClose) {
  ledger l;
  a.close();
  for (int i = 0; i != 2; ++i)
    for (const operation which : sending)
      for (const std::size_t size : {0, 8}) {
        BOOST_TEST_INFO_SCOPE(which << " of " << size);
        const outcome o = co_await perform(which, a, {}, l, size);
        BOOST_TEST(o.is(cosock::error::closed));
      }
  if (of.half_close)
    BOOST_CHECK_EXCEPTION(a.shutdown_send(), boost::system::system_error,
                          is(cosock::error::closed));
}

STREAM_CHECK(CloseTwice) {
  a.close();
  a.close();
  BOOST_TEST(!a.is_open());
  char into[8];
  BOOST_TEST(co_await b.receive(into) == 0u);
  b.close();
  b.close();
}

STREAM_CHECK(SendThenCloseDeliversAll, &kind::delivers_after_close) {
  ledger small;
  co_await send(a, small, 1000);
  a.close();
  co_await drain_to_end(b, small);

  const stream_pair other = co_await of.make_pair();
  ledger large;
  const auto write = [&]() -> task<> {
    co_await send(*other.first, large, 8 << 20);
    other.first->close();
  };
  co_await cosock::when_all(write(), drain_to_end(*other.second, large));
  BOOST_TEST(large.out == 8u << 20);
}

STREAM_CHECK(CloseWakesReceiver) {
  for (const operation which : receiving) {
    BOOST_TEST_INFO_SCOPE(which);
    const stream_pair pair = co_await of.make_pair();
    ledger l;
    char into[8];
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return perform(which, *pair.first, into, l, 0); });
      co_await settle();
      BOOST_TEST(!read.done);
      pair.first->close();
    });
    BOOST_TEST(read.result.is(cosock::error::closed));
  }
}

STREAM_CHECK(CloseWakesSender, &kind::bounded) {
  for (const operation which : {operation::send, operation::send_some}) {
    BOOST_TEST_INFO_SCOPE(which);
    const stream_pair pair = co_await of.make_pair();
    ledger l;
    beside write;
    co_await clog(*pair.first, l);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, write, [&] { return perform(which, *pair.first, {}, l, huge); });
      co_await settle();
      BOOST_TEST(!write.done);
      pair.first->close();
    });
    BOOST_TEST(write.result.is(cosock::error::closed));
  }
}

STREAM_CHECK(CloseWakesWaitWritable, &kind::bounded) {
  ledger l;
  beside wait;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return a.wait_writable(); });
    co_await settle();
    BOOST_TEST(!wait.done);
    a.close();
  });
  BOOST_TEST(wait.result.is(cosock::error::closed));
}

STREAM_CHECK(ReceiverCloseWakesWaitWritable, &kind::bounded, &kind::tells_of_close) {
  ledger l;
  beside wait;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return a.wait_writable(); });
    co_await settle();
    BOOST_TEST(!wait.done);
    b.close();
  });
  BOOST_TEST(wait.done);
  BOOST_TEST(is_broken(co_await send_until_error(a)));
}

/// A receiver that closes ends a pending send.
STREAM_CHECK(ReceiverCloseWakesSender, &kind::bounded, &kind::tells_of_close) {
  ledger l;
  beside write;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return a.send(l.next(huge)); });
    co_await settle();
    BOOST_TEST(!write.done);
    b.close();
  });
  BOOST_TEST(is_broken(write.result.error));
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

STREAM_CHECK(HalfCloseEof, &kind::half_close) {
  char into[8];
  co_await a.send("last");
  a.shutdown_send();
  BOOST_TEST(co_await b.receive(into) == 4u);
  for (int i = 0; i != 3; ++i) {
    co_await b.wait_readable();
    BOOST_TEST(co_await b.receive(into) == 0u);
  }
  BOOST_CHECK_EXCEPTION(co_await b.receive_exactly(into), boost::system::system_error,
                        is(cosock::error::end_of_stream));
  co_await b.send("still");
  BOOST_TEST(co_await a.receive(into) == 5u);
}

STREAM_CHECK(SendAfterEofFails, &kind::half_close) {
  char into[8];
  a.shutdown_send();
  for (int i = 0; i != 2; ++i) {
    for (const operation which : {operation::send, operation::send_some}) {
      ledger l;
      const outcome o = co_await perform(which, a, {}, l, 8);
      BOOST_TEST(is_broken(o.error));
      BOOST_TEST(o.bytes == 0u);
    }
  }
  BOOST_TEST(co_await b.receive(into) == 0u);
  co_await b.send("x");
  BOOST_TEST(co_await a.receive(into) == 1u);
}

STREAM_CHECK(EofTwiceOk, &kind::half_close) {
  char into[8];
  a.shutdown_send();
  a.shutdown_send();
  BOOST_TEST(co_await b.receive(into) == 0u);
  b.shutdown_send();
  a.shutdown_send();
  BOOST_TEST(co_await a.receive(into) == 0u);
  a.shutdown_send();
  b.shutdown_send();
}

STREAM_CHECK(DataAfterPeerEof, &kind::half_close) {
  ledger l;
  char into[8];
  a.shutdown_send();
  BOOST_TEST(co_await b.receive(into) == 0u);
  const auto write = [&]() -> task<> {
    co_await send(b, l, 1 << 20);
    b.shutdown_send();
  };
  co_await cosock::when_all(write(), drain_to_end(a, l));
  BOOST_TEST(l.out == 1u << 20);
}

/// The end of one direction does not wake or hurt a receiver in the other.
STREAM_CHECK(EofThenReverseData, &kind::half_close) {
  char into[8];
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await settle();
    a.shutdown_send();
    co_await settle();
    BOOST_TEST(!read.done);
    BOOST_TEST(co_await b.receive(into) == 0u);
    co_await b.send("reply");
  });
  BOOST_TEST(read.result.bytes == 5u);
  BOOST_TEST(std::string_view(into, 5) == "reply");
}

/// A pending receive learns of the end.
STREAM_CHECK(EofWakesReceiver) {
  for (const operation which : receiving)
    for (const bool all : {false, true}) {
      if (!all && !of.half_close) continue;
      BOOST_TEST_INFO_SCOPE(which << (all ? ", closed" : ", shut down"));
      const stream_pair pair = co_await of.make_pair();
      ledger l;
      char into[8];
      beside read;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, read, [&] { return perform(which, *pair.first, into, l, 0); });
        co_await settle();
        BOOST_TEST(!read.done);
        if (all)
          pair.second->close();
        else
          pair.second->shutdown_send();
      });
      BOOST_TEST(read.result.bytes == 0u);
      BOOST_TEST(read.result.error ==
                 (which == operation::receive_exactly ? code(cosock::error::end_of_stream)
                                                      : error_code()));
    }
}

STREAM_CHECK(CloseAfterCancelledOp, &kind::bounded, &kind::delivers_after_close) {
  ledger l;
  char into[8];
  co_await clog(a, l);
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    beside op;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return perform(which, a, into, l, 1000); });
      co_await settle();
      n.cancel_all();
    });
    BOOST_TEST(op.result.is(cosock::error::cancelled));
    l.sent(op.result);
  }
  a.close();
  BOOST_TEST(!a.is_open());
  co_await drain_to_end(b, l);
}

/// Of a peer that has gone a receiver sees the end or an error, never data, and it never hangs.
STREAM_CHECK(ForcefulCloseReceive) {
  char into[8];
  [[maybe_unused]] ledger l;
  co_await b.send("unread");  // TCP answers this close with a reset
  a.close();
  for (int i = 0; i != 3; ++i) {
    const outcome o = co_await outcome_of(b.receive(into));
    BOOST_TEST(o.bytes == 0u);
    BOOST_TEST((!o.error || is_broken(o.error)));
  }
}

STREAM_CHECK(ForcefulCloseSend, &kind::tells_of_close) {
  co_await a.send("unread");
  b.close();
  BOOST_TEST(is_broken(co_await send_until_error(a)));
}

STREAM_CHECK(CancelledCloseStillCloses) {
  cancel_scope scope;
  scope.cancel();
  const auto close = [](byte_stream& s) -> task<> {
    s.close();
    co_await cosock::yield();
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(close(a)), boost::system::system_error,
                        is(cosock::error::cancelled));
  BOOST_TEST(!a.is_open());
  char into[8];
  BOOST_TEST(co_await b.receive(into) == 0u);
}

STREAM_CHECK(PeerResetDuringRead, &kind::reset) {
  for (const operation which : receiving) {
    BOOST_TEST_INFO_SCOPE(which);
    const stream_pair pair = co_await of.make_pair();
    ledger l;
    char into[8];
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return perform(which, *pair.first, into, l, 0); });
      co_await settle();
      BOOST_TEST(!read.done);
      of.reset(*pair.second);
    });
    if (which != operation::wait_readable)
      BOOST_TEST(read.result.error == reset_by_peer());
    // It stays broken, and is not taken for the end of the stream.
    for (int i = 0; i != 3; ++i) {
      const outcome o = co_await outcome_of(pair.first->receive(into));
      BOOST_TEST(o.error == reset_by_peer());
    }
    BOOST_TEST(is_broken((co_await outcome_of(pair.first->send("x"))).error));
  }
}

STREAM_CHECK(PeerResetDuringWrite, &kind::reset, &kind::bounded) {
  for (const operation which : sending) {
    BOOST_TEST_INFO_SCOPE(which);
    const stream_pair pair = co_await of.make_pair();
    ledger l;
    char into[8];
    beside write;
    co_await clog(*pair.first, l);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, write, [&] { return perform(which, *pair.first, {}, l, huge); });
      co_await settle();
      BOOST_TEST(!write.done);
      of.reset(*pair.second);
    });
    if (which != operation::wait_writable) BOOST_TEST(is_broken(write.result.error));
    BOOST_TEST(is_broken((co_await outcome_of(pair.first->send("x"))).error));
    for (int i = 0; i != 3; ++i) {
      const outcome o = co_await outcome_of(pair.first->receive(into));
      BOOST_TEST(o.error == reset_by_peer());
    }
  }
}

STREAM_CHECK(LocalReset, &kind::reset) {
  char into[8];
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await settle();
    of.reset(a);
  });
  BOOST_TEST(read.result.is(cosock::error::closed));
  BOOST_TEST(!a.is_open());
}

// Cancellation and time limits

STREAM_CHECK(CancelBeforeStart) {
  ledger to_a;
  ledger to_b;
  co_await send(b, to_a, 100);
  for (const operation which : all_operations)
    for (const std::size_t size : {0, 10}) {
      BOOST_TEST_INFO_SCOPE(which << " of " << size);
      char into[10];
      cancel_scope scope;
      scope.cancel();
      const outcome o = co_await scope.run(perform(which, a, {into, size}, to_b, size));
      BOOST_TEST(o.is(cosock::error::cancelled));
      BOOST_TEST(o.bytes == 0u);
    }
  co_await drain(a, to_a);
  co_await round_trip(a, b);
}

STREAM_CHECK(CancelWhilePending, &kind::bounded) {
  [[maybe_unused]] ledger to_a;
  ledger to_b;
  co_await clog(a, to_b);
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    char into[10];
    cancel_scope scope;
    beside op;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return scope.run(perform(which, a, into, to_b, 1000)); });
      co_await settle();
      BOOST_TEST(!op.done);
      scope.cancel();
      BOOST_TEST(!op.done);
    });
    BOOST_TEST(op.result.is(cosock::error::cancelled));
    to_b.sent(op.result);
  }
  co_await drain(b, to_b);
  co_await round_trip(a, b);
}

/// What a receive_exactly had taken when it was cancelled is reported, and the rest is still there.
STREAM_CHECK(CancelledReceiveExactlyKeepsItsPart) {
  ledger l;
  for (const std::size_t part : {0, 1, 7, 99}) {
    char into[100];
    cancel_scope scope;
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return scope.run(a.receive_exactly(into)); });
      co_await send(b, l, part);
      co_await settle();
      BOOST_TEST(!read.done);
      scope.cancel();
    });
    BOOST_TEST(read.result.is(cosock::error::cancelled));
    BOOST_TEST(l.received(into, read.result.bytes));
    co_await drain(a, l);
  }
  co_await round_trip(a, b);
}

STREAM_CHECK(CancelAfterCompletionKeepsResult, &kind::stays_in_loop) {
  char into[8];
  cancel_scope scope;
  const auto receive = [&]() -> task<std::size_t> {
    const std::size_t n = co_await a.receive(into);
    scope.cancel();
    co_return n;
  };
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(receive()); });
    co_await settle();
    co_await b.send("kept");
  });
  BOOST_TEST(!read.result.error);
  BOOST_TEST(read.result.bytes == 4u);
  BOOST_TEST(scope.is_cancelled());

  // A limit that passes while the result is on its way.
  const auto late = [&]() -> task<std::size_t> {
    const std::size_t n = co_await a.receive(into);
    const auto end = steady_clock::now() + 3ms;
    while (steady_clock::now() < end) {
    }
    co_return n;
  };
  co_await b.send("kept");
  BOOST_TEST(co_await cosock::with_timeout(2ms, late()) == 4u);
}

/// Data and cancellation arrive in the same turn of the loop, in every order: no byte is lost.
STREAM_CHECK(CancelRaceLedger, &kind::bytes) {
  ledger l;
  const stream_pair side = co_await of.make_pair();
  int cancelled = 0;
  int completed = 0;
  char into[64];
  for (int round = 0; round != 3000; ++round) {
    const operation which = receiving[round / 6 % 3];
    BOOST_TEST_INFO_SCOPE(which << " in round " << round);
    cancel_scope scope;
    outcome got;
    const std::size_t size = 1 + round % 40;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        got = co_await scope.run(perform(which, a, {into, size}, l, 0));
      });
      if (round % 2) co_await cosock::yield();
      const auto cancel_when_told = [&]() -> task<> {
        char told[1];
        co_await side.second->receive(told);
        scope.cancel();
      };
      switch (round % 6) {
        case 0:  // first the data, then the cancellation, before the loop looks
          co_await send(b, l, size);
          scope.cancel();
          break;
        case 1:
          scope.cancel();
          co_await send(b, l, size);
          break;
        case 2:  // by a task that runs before the loop looks
          co_await send(b, l, size);
          n.start([&]() -> task<> {
            scope.cancel();
            co_return;
          });
          break;
        case 3:  // by a task that learns of it in the same turn, sooner
          n.start(cancel_when_told);
          co_await settle();
          co_await side.first->send("!");
          co_await send(b, l, size);
          break;
        case 4:  // or later
          n.start(cancel_when_told);
          co_await settle();
          co_await send(b, l, size);
          co_await side.first->send("!");
          break;
        case 5:  // by a limit
          scope.set_deadline(steady_clock::now() + std::chrono::microseconds(round % 60));
          co_await send(b, l, size);
          break;
      }
    });
    if (got.error) {
      BOOST_REQUIRE(got.is(cosock::error::cancelled));
      if (which != operation::receive_exactly) BOOST_REQUIRE(got.bytes == 0u);
      ++cancelled;
    } else {
      ++completed;
    }
    BOOST_REQUIRE(l.received(into, got.bytes));
    if (l.on_the_way() > 500) co_await drain(a, l);
  }
  BOOST_TEST(cancelled != 0);
  BOOST_TEST(completed != 0);
  co_await drain(a, l);
  BOOST_TEST(l.in == l.out);
  co_await round_trip(a, b);
}

/// The same for sends: what is reported as sent is what arrives.
STREAM_CHECK(CancelRaceLedgerOfSends, &kind::bytes, &kind::bounded) {
  ledger l;
  co_await clog(a, l);
  const std::size_t capacity = l.on_the_way();
  for (int round = 0; round != 300; ++round) {
    const operation which = sending[round / 3 % 3];
    BOOST_TEST_INFO_SCOPE(which << " in round " << round);
    cancel_scope scope;
    outcome sent;
    std::vector<char> into(1 + round * capacity / 1000 % (capacity / 10));
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        sent = co_await scope.run(perform(which, a, {}, l, 50'000));
      });
      co_await cosock::yield();
      const std::size_t n1 =
          co_await b.receive(cosock::buffer(into, std::min(into.size(), l.on_the_way())));
      BOOST_REQUIRE(l.received(into.data(), n1));
      if (round % 3 == 1) co_await cosock::yield();
      if (round % 3 == 2) co_await settle();
      scope.cancel();
    });
    if (sent.error) BOOST_REQUIRE(sent.is(cosock::error::cancelled));
    l.sent(sent);
    if (l.on_the_way() < capacity / 2) co_await clog(a, l);
  }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// A conversation that is cancelled at every step at which it can be.
STREAM_CHECK(StepKCancelSweep, &kind::bytes, &kind::stays_in_loop) {
  bool completed = false;
  for (int k = 0; !completed; ++k) {
    BOOST_TEST_INFO_SCOPE("step " << k);
    BOOST_REQUIRE(k < 1000);
    const stream_pair pair = co_await of.make_pair();
    ledger there;
    ledger back;
    cancel_scope scope;
    const auto say = [](byte_stream& s, ledger& l, std::size_t size) -> task<> {
      const const_buffer bytes = l.next(size);
      l.sent(size);  // first, or the receiver may see bytes that nobody has sent
      const outcome o = co_await outcome_of(s.send(bytes));
      l.in -= size - o.bytes;
      if (o.error) throw boost::system::system_error(o.error);
    };
    const auto hear = [](byte_stream& s, ledger& l, std::size_t size) -> task<> {
      std::vector<char> into(size);
      const outcome o = co_await outcome_of(s.receive_exactly(into));
      BOOST_REQUIRE(l.received(into.data(), o.bytes));
      if (o.error) throw boost::system::system_error(o.error);
    };
    const auto client = [&]() -> task<> {
      for (int i = 0; i != 3; ++i) {
        co_await say(*pair.first, there, 10);
        co_await cosock::yield();
        co_await say(*pair.first, there, 20);
        co_await hear(*pair.first, back, 5);
        co_await hear(*pair.first, back, 25);
      }
    };
    const auto server = [&]() -> task<> {
      for (int i = 0; i != 3; ++i) {
        co_await pair.second->wait_readable();
        co_await hear(*pair.second, there, 30);
        co_await say(*pair.second, back, 12);
        co_await cosock::yield();
        co_await pair.second->wait_writable();
        co_await say(*pair.second, back, 18);
      }
    };
    bool over = false;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        for (int i = 0; i != k && !over; ++i) co_await cosock::yield();
        scope.cancel();
      });
      try {
        co_await scope.run(cosock::when_all(client(), server()));
        completed = true;
      } catch (const boost::system::system_error& e) {
        BOOST_TEST(e.code() == code(cosock::error::cancelled));
      }
      over = true;
    });
    // Whatever it came to, the books balance and both ends work.
    co_await drain(*pair.second, there);
    co_await drain(*pair.first, back);
    co_await round_trip(*pair.first, *pair.second);
  }
}

STREAM_CHECK(NestedTimeoutInnerWins) {
  char into[8];
  bool inner_timed_out = false;
  const auto inner = [&]() -> task<> {
    const outcome o = co_await outcome_of(cosock::with_timeout(2ms, a.receive(into)));
    inner_timed_out = o.is(cosock::error::timed_out);
    co_await b.send("x");  // the outer one has time left
    co_await a.receive_exactly(cosock::buffer(into, 1));
  };
  co_await cosock::with_timeout(1h, inner());
  BOOST_TEST(inner_timed_out);
}

STREAM_CHECK(NestedTimeoutOuterWins) {
  char into[8];
  bool inner_cancelled = false;
  const auto inner = [&]() -> task<std::size_t> {
    const outcome o = co_await outcome_of(cosock::with_timeout(1h, a.receive(into)));
    inner_cancelled = o.is(cosock::error::cancelled);
    co_return co_await a.receive(into);  // still cancelled
  };
  const outcome o = co_await outcome_of(cosock::with_timeout(2ms, inner()));
  BOOST_TEST(inner_cancelled);
  BOOST_TEST(o.is(cosock::error::timed_out));
  co_await round_trip(a, b);
}

STREAM_CHECK(TimeoutExtendWhilePending) {
  char into[8];
  cancel_scope scope;
  scope.set_deadline(steady_clock::now() + 20ms);
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(a.receive(into)); });
    co_await cosock::yield();
    BOOST_TEST(!read.done);
    scope.set_deadline(steady_clock::now() + 1h);
    co_await cosock::sleep_for(22ms);
    BOOST_TEST(!read.done);
    co_await b.send("data");
    co_await ended(read);
    BOOST_TEST(read.result.bytes == 4u);
  });
}

STREAM_CHECK(TimeoutClearWhilePending) {
  char into[8];
  cancel_scope scope;
  scope.set_deadline(steady_clock::now() + 20ms);
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(a.receive(into)); });
    co_await cosock::yield();
    scope.clear_deadline();
    co_await cosock::sleep_for(22ms);
    BOOST_TEST(!read.done);
    co_await b.send("data");
  });
  BOOST_TEST(read.result.bytes == 4u);
  BOOST_TEST(!scope.timed_out());
}

/// Nothing is attempted, although it would succeed.
STREAM_CHECK(ZeroTimeout) {
  ledger to_a;
  [[maybe_unused]] ledger to_b;
  co_await send(b, to_a, 100);
  char into[100];
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(0s, a.receive(into))))
                 .is(cosock::error::timed_out));
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(0s, a.receive_exactly(into))))
                 .is(cosock::error::timed_out));
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(0s, a.wait_readable())))
                 .is(cosock::error::timed_out));
  const outcome sent = co_await outcome_of(cosock::with_timeout(0s, a.send("none of it")));
  BOOST_TEST(sent.is(cosock::error::timed_out));
  BOOST_TEST(sent.bytes == 0u);
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(0s, a.send_some("none of it"))))
                 .is(cosock::error::timed_out));
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(0s, a.wait_writable())))
                 .is(cosock::error::timed_out));
  co_await drain(a, to_a);
  co_await round_trip(a, b);
}

STREAM_CHECK(NegativeTimeout) {
  ledger l;
  co_await send(b, l, 100);
  char into[100];
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(-1s, a.receive(into))))
                 .is(cosock::error::timed_out));
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(std::chrono::hours::min(), a.receive(into))))
                 .is(cosock::error::timed_out));
  BOOST_TEST((co_await outcome_of(cosock::with_timeout(-1ns, a.send("none of it"))))
                 .is(cosock::error::timed_out));
  co_await drain(a, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(InfiniteTimeout, &kind::bytes) {
  using seconds = std::chrono::duration<double>;
  ledger l;
  char into[8];
  beside reads[4];
  for (beside& read : reads) {
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] {
        const auto i = &read - reads;
        const auto limit = i == 0   ? seconds(std::numeric_limits<double>::infinity())
                           : i == 1 ? seconds(1e30)
                                    : seconds(1e9);
        return cosock::with_timeout(limit, a.receive(into));
      });
      co_await settle();
      BOOST_TEST(!read.done);
      co_await send(b, l, 8);
    });
    BOOST_TEST(!read.result.error);
    BOOST_TEST(l.received(into, read.result.bytes));
    co_await drain(a, l);
  }
  co_await b.send("8 bytes.8 bytes.8 bytes.");
  co_await cosock::with_timeout(std::chrono::hours::max(), a.receive_exactly(into));
  co_await cosock::with_timeout(std::chrono::nanoseconds::max(), a.receive_exactly(into));
  co_await cosock::with_deadline(steady_clock::time_point::max(), a.receive_exactly(into));
  co_await round_trip(a, b);
}

STREAM_CHECK(TimeoutDoesNotPoisonStream) {
  for (int round = 0; round != 30; ++round) {
    char into[8];
    const auto limit = std::chrono::microseconds(100 + round);
    BOOST_TEST((co_await outcome_of(cosock::with_timeout(limit, a.receive(into))))
                   .is(cosock::error::timed_out));
    BOOST_TEST((co_await outcome_of(cosock::with_timeout(limit, b.wait_readable())))
                   .is(cosock::error::timed_out));
    co_await round_trip(a, b);
  }
}

STREAM_CHECK(ShieldedCleanup) {
  char into[8];
  cancel_scope scope;
  beside read;
  bool refused = false;
  const auto work = [&]() -> task<> {
    try {
      co_await a.receive(into);
    } catch (const boost::system::system_error&) {
    }
    refused = (co_await outcome_of(a.send("x"))).is(cosock::error::cancelled);
    co_await cosock::shielded(cosock::with_timeout(10s, a.send("farewell")));
  };
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(work()); });
    co_await settle();
    scope.cancel();
  });
  BOOST_TEST(refused);
  co_await b.receive_exactly(into);
  BOOST_TEST(std::string_view(into, 8) == "farewell");
}

/// Two receives race, data for both is there: no byte is lost.
STREAM_CHECK(RaceReturnsAllCompleted) {
  const stream_pair other = co_await of.make_pair();
  ledger one;
  ledger two;
  int both = 0;
  for (int round = 0; round != 1000; ++round) {
    char into_one[100];
    char into_two[100];
    const auto take = [&](auto& result) {
      if (result.template get<0>()) BOOST_REQUIRE(one.received(into_one, *result.template get<0>()));
      if (result.template get<1>()) BOOST_REQUIRE(two.received(into_two, *result.template get<1>()));
      BOOST_REQUIRE((result.template get<0>() || result.template get<1>()));
      if (result.template get<0>() && result.template get<1>()) ++both;
    };
    const auto feed = [&]() -> task<> {
      if (round % 3 != 0) co_await cosock::yield();
      if (round % 3 != 2) co_await send(b, one, 1 + round % 100);
      co_await send(*other.second, two, 1 + round % 77);
      if (round % 3 == 2) co_await send(b, one, 1 + round % 100);
    };
    const auto race = [&]() -> task<> {
      auto result = co_await cosock::when_any(a.receive(into_one), other.first->receive(into_two));
      take(result);
    };
    co_await cosock::when_all(feed(), race());
    // What the race has left is there for the next one.
    if (one.on_the_way() > 1000) co_await drain(a, one);
    if (two.on_the_way() > 1000) co_await drain(*other.first, two);
  }
  co_await drain(a, one);
  co_await drain(*other.first, two);
  BOOST_TEST(one.in == one.out);
  BOOST_TEST(two.in == two.out);
  co_await round_trip(a, b);
}

/// A race of waits takes nothing from the loser.
STREAM_CHECK(WaitAnyCancelSafeOnly) {
  const stream_pair other = co_await of.make_pair();
  for (int round = 0; round != 100; ++round) {
    co_await b.send("one");
    co_await other.second->send("two");
    auto result = co_await cosock::when_any(a.wait_readable(), other.first->wait_readable());
    BOOST_TEST((result.get<0>() || result.get<1>()));
    char into[3];
    co_await a.receive_exactly(into);
    BOOST_TEST(std::string_view(into, 3) == "one");
    co_await other.first->receive_exactly(into);
    BOOST_TEST(std::string_view(into, 3) == "two");
  }
}

STREAM_CHECK(DestroyedWhilePending, &kind::bounded, &kind::delivers_after_close) {
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    stream_pair pair = co_await of.make_pair();
    ledger l;
    char into[8];
    beside op;
    co_await clog(*pair.first, l);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return perform(which, *pair.first, into, l, 1000); });
      co_await settle();
      BOOST_TEST(!op.done);
      pair.first.reset();
    });
    BOOST_TEST(op.result.is(cosock::error::closed));
    l.sent(op.result);
    co_await drain_to_end(*pair.second, l);
  }
}

/// Closed in the same turn of the loop in which the data arrive.
STREAM_CHECK(CloseRacesWithData) {
  for (int round = 0; round != 100; ++round) {
    const stream_pair pair = co_await of.make_pair();
    char into[8];
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return pair.first->receive(into); });
      co_await cosock::yield();
      co_await pair.second->send("data");
      if (round % 2) co_await cosock::yield();
      pair.first->close();
    });
    if (read.result.error)
      BOOST_TEST(read.result.is(cosock::error::closed));
    else
      BOOST_TEST(read.result.bytes == 4u);
  }
}

// Reading and writing

STREAM_CHECK(ReadExactlySplitEverywhere, &kind::delivers_after_close) {
  ledger l;
  constexpr std::size_t size = 24;
  char into[size];
  for (std::size_t split = 0; split <= size; ++split) {
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return b.receive_exactly(into); });
      co_await send(a, l, split);
      co_await settle();
      BOOST_TEST(read.done == (split == size));
      co_await send(a, l, size - split);
    });
    BOOST_TEST(read.result.bytes == size);
    BOOST_TEST(l.received(into, size));
  }
  for (std::size_t cut = 0; cut != size; ++cut) {
    const stream_pair pair = co_await of.make_pair();
    ledger short_one;
    co_await send(*pair.first, short_one, cut);
    pair.first->close();
    const outcome o = co_await outcome_of(pair.second->receive_exactly(into));
    BOOST_TEST(o.is(cosock::error::end_of_stream));
    BOOST_TEST(o.bytes == cut);
    BOOST_TEST(short_one.received(into, o.bytes));
  }
}

STREAM_CHECK(ScatterGather, &kind::bytes) {
  ledger l;
  for (const std::size_t count : {0, 1, 1024, 1025, 2000}) {
    for (const std::size_t each : {1, 3, 4000}) {
      BOOST_TEST_INFO_SCOPE(count << " buffers of up to " << each);
      // Some are empty, and the receiver cuts elsewhere.
      std::vector<const_buffer> from;
      std::size_t size = 0;
      for (std::size_t i = 0; i != count; ++i) {
        const std::size_t n = i % 7 == 3 ? 0 : 1 + i % each;
        from.emplace_back(pattern().data() + (l.in + size) % period, n);
        size += n;
      }
      std::vector<char> memory(size);
      std::vector<mutable_buffer> into;
      for (std::size_t filled = 0, i = 0; filled != size; ++i) {
        const std::size_t n = i % 5 == 2 ? 0 : std::min(size - filled, 1 + i % (2 * each));
        into.emplace_back(memory.data() + filled, n);
        filled += n;
      }
      l.sent(size);
      const auto [sent, got] =
          co_await cosock::when_all(a.send(from), b.receive_exactly(into));
      BOOST_TEST(sent == size);
      BOOST_TEST(got == size);
      BOOST_TEST(l.received(memory.data(), got));
    }
  }
  char first[2];
  char last[10];
  const std::array<mutable_buffer, 3> parts = {first, mutable_buffer(), last};
  co_await a.send("12345");
  BOOST_TEST(co_await b.receive(parts) == 5u);
  BOOST_TEST(std::string_view(first, 2) == "12");
  BOOST_TEST(std::string_view(last, 3) == "345");
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

STREAM_CHECK(ZeroByteRead) {
  const std::vector<mutable_buffer> none;
  const std::vector<mutable_buffer> blank(2);
  for (int round = 0; round != 2; ++round) {
    BOOST_TEST(co_await b.receive(mutable_buffer()) == 0u);
    BOOST_TEST(co_await b.receive_exactly(mutable_buffer()) == 0u);
    BOOST_TEST(co_await b.receive(none) == 0u);
    BOOST_TEST(co_await b.receive(blank) == 0u);
    BOOST_TEST(co_await b.receive_exactly(blank) == 0u);
    if (round == 0) co_await a.send("data");
    co_await settle();
  }
  char into[8];
  BOOST_TEST(co_await b.receive(into) == 4u);
  a.close();
  BOOST_TEST(co_await b.receive(mutable_buffer()) == 0u);
  BOOST_TEST(co_await b.receive_exactly(mutable_buffer()) == 0u);
}

/// A gather that was stopped half way says where.
STREAM_CHECK(WriteVectorPartial, &kind::bytes, &kind::bounded) {
  ledger l;
  co_await clog(a, l);
  for (int round = 0; round != 5; ++round) {
    std::vector<const_buffer> from;
    std::size_t size = 0;
    for (int i = 0; i != 2000; ++i) {
      const std::size_t n = i * 7919 % 9000;
      from.emplace_back(pattern().data() + (l.in + size) % period, n);
      size += n;
    }
    cancel_scope scope;
    beside write;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, write, [&] { return scope.run(a.send(from)); });
      co_await settle();
      co_await drain(b, l);  // makes room
      co_await settle();
      scope.cancel();
    });
    BOOST_TEST(write.result.bytes <= size);
    if (write.result.bytes != size) BOOST_TEST(write.result.is(cosock::error::cancelled));
    l.sent(write.result);
    co_await drain(b, l);
    co_await clog(a, l);
  }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(SendSomeSendsWhatFits, &kind::bytes, &kind::bounded) {
  ledger l;
  const std::size_t n = co_await a.send_some(l.next(huge));
  l.sent(n);
  BOOST_TEST(n > 0u);
  BOOST_TEST(n < huge);
  co_await drain(b, l);
  const std::array<std::string_view, 3> parts = {"", "gat", "her"};
  char into[6];
  const std::size_t some = co_await a.send_some(parts);
  BOOST_TEST(some > 0u);
  BOOST_REQUIRE(some <= 6u);
  co_await b.receive_exactly(cosock::buffer(into, some));
  BOOST_TEST(std::string_view("gather").starts_with(std::string_view(into, some)));
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
