// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Readiness, and the second operation in one direction, which is refused.

#include "stream_check.hpp"

namespace test::stream_conformance {

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

}  // namespace test::stream_conformance
