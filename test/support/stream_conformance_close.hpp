// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Streams that are closed, reset or destroyed, at either end.

#include <cosock/when.hpp>

#include "stream_check.hpp"

namespace test::stream_conformance {

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

STREAM_CHECK(CloseAfterCancelledOp, &kind::bounded, &kind::delivers_after_close,
             &kind::delivers_cancelled_after_close) {
  ledger l;
  char into[8];
  co_await clog(a, l);
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    beside op;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return perform(which, a, into, l, 1000); });
      co_await settle();
      n.cancel();
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
    if (which != operation::wait_readable) BOOST_TEST(read.result.error == reset_by_peer());
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

STREAM_CHECK(DestroyedWhilePending, &kind::bounded, &kind::delivers_after_close,
             &kind::delivers_cancelled_after_close, &kind::owns) {
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

}  // namespace test::stream_conformance
