// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The end of one direction, which leaves the other open.

#include <cosock/when.hpp>

#include "stream_check.hpp"

#include <string_view>

namespace test::stream_conformance {

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
      BOOST_TEST(read.result.error == (which == operation::receive_exactly
                                           ? code(cosock::error::end_of_stream)
                                           : error_code()));
    }
}

}  // namespace test::stream_conformance
