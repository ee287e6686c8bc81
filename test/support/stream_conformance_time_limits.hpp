// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Time limits of every length, and nested ones.

#include <cosock/when.hpp>

#include "stream_check.hpp"

#include <chrono>
#include <limits>
#include <string_view>

namespace test::stream_conformance {

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
    for (const auto past :
         {cosock::clock::time_point::min(), cosock::clock::time_point(), cosock::clock::now()}) {
      const outcome o = co_await cosock::with_deadline(past, perform(which, a, into, to_b, 10));
      BOOST_TEST(o.is(cosock::error::cancelled));
      BOOST_TEST(o.bytes == 0u);
    }
    const outcome direct = co_await outcome_of(
        cosock::with_deadline(cosock::clock::time_point::min(), a.receive(into)));
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
    read_scope.set_deadline(cosock::clock::now() - 1h);
    co_await ended(read);
    BOOST_TEST(!write.done);
    write_scope.set_deadline(cosock::clock::now() - 1h);
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
  const auto begun = cosock::clock::now();
  const auto [read, write] =
      co_await cosock::when_all(outcome_of(cosock::with_timeout(5ms, a.receive(into))),
                                outcome_of(cosock::with_timeout(5ms, a.send(l.next(huge)))));
  BOOST_TEST((cosock::clock::now() - begun >= 5ms));
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
  scope.set_deadline(cosock::clock::now() + 20ms);
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(a.receive(into)); });
    co_await cosock::yield();
    BOOST_TEST(!read.done);
    scope.set_deadline(cosock::clock::now() + 1h);
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
  scope.set_deadline(cosock::clock::now() + 20ms);
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
  co_await cosock::with_deadline(cosock::clock::time_point::max(), a.receive_exactly(into));
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

}  // namespace test::stream_conformance
