// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Streams that are closed, reset or destroyed, at either end.

#include "testing/stream_checks.hpp"

#include <cosock/when.hpp>

namespace cosock::testing::detail {

STREAM_CHECK(peer_close_breaks_send) {
  b.close();
  EXPECT(is_broken(co_await send_until_error(a)));
}

STREAM_CHECK(broken_is_sticky) {
  char into[8];
  b.close();
  co_await send_until_error(a);
  for (int i = 0; i != 3; ++i) {
    for (const operation which : {operation::send, operation::send_some}) {
      WITH_INFO(which);
      byte_pattern l;
      const outcome o = co_await perform(which, a, {}, l, 10);
      EXPECT(is_broken(o.error));
      EXPECT(o.bytes == 0u);
    }
    co_await a.wait_writable();  // would not have to wait
    const outcome o = co_await outcome_of(a.receive(into));
    EXPECT(o.bytes == 0u);
  }
  EXPECT(a.is_open());
}

STREAM_CHECK(receive_after_own_close) {
  char into[8];
  byte_pattern l;
  co_await b.send("data");
  a.close();
  EXPECT(!a.is_open());
  for (int i = 0; i != 2; ++i) {
    for (const operation which : receiving) {
      WITH_INFO(which);
      const outcome o = co_await perform(which, a, into, l, 0);
      EXPECT(o.is(cosock::error::closed));
    }
  }
  const outcome empty = co_await outcome_of(a.receive(mutable_buffer()));
  EXPECT(empty.is(cosock::error::closed));
}

STREAM_CHECK(send_after_own_close) {
  byte_pattern l;
  a.close();
  for (int i = 0; i != 2; ++i)
    for (const operation which : sending)
      for (const std::size_t size : {0, 8}) {
        WITH_INFO(which << " of " << size);
        const outcome o = co_await perform(which, a, {}, l, size);
        EXPECT(o.is(cosock::error::closed));
      }
  if (of.half_close) EXPECT_ERROR(a.shutdown_send(), cosock::error::closed);
}

STREAM_CHECK(close_twice) {
  a.close();
  a.close();
  EXPECT(!a.is_open());
  char into[8];
  EXPECT(co_await b.receive(into) == 0u);
  b.close();
  b.close();
}

STREAM_CHECK(send_then_close_delivers_all) {
  byte_pattern small;
  co_await send(a, small, 1000);
  a.close();
  co_await drain_to_end(b, small);

  const stream_pair other = co_await of.make_pair();
  byte_pattern large;
  const auto write = [&]() -> task<> {
    co_await send(*other.first, large, 8 << 20);
    other.first->close();
  };
  co_await cosock::when_all(write(), drain_to_end(*other.second, large));
  EXPECT(large.out == 8u << 20);
}

STREAM_CHECK(close_wakes_receiver) {
  for (const operation which : receiving) {
    WITH_INFO(which);
    const stream_pair pair = co_await of.make_pair();
    byte_pattern l;
    char into[8];
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return perform(which, *pair.first, into, l, 0); });
      co_await let_others_run();
      EXPECT(!read.done);
      pair.first->close();
    });
    EXPECT(read.result.is(cosock::error::closed));
  }
}

STREAM_CHECK(close_wakes_sender) {
  for (const operation which : {operation::send, operation::send_some}) {
    WITH_INFO(which);
    const stream_pair pair = co_await of.make_pair();
    byte_pattern l;
    pending_op write;
    co_await clog(*pair.first, l);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, write, [&] { return perform(which, *pair.first, {}, l, huge); });
      co_await let_others_run();
      EXPECT(!write.done);
      pair.first->close();
    });
    EXPECT(write.result.is(cosock::error::closed));
  }
}

STREAM_CHECK(close_wakes_wait_writable) {
  byte_pattern l;
  pending_op wait;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return a.wait_writable(); });
    co_await let_others_run();
    EXPECT(!wait.done);
    a.close();
  });
  EXPECT(wait.result.is(cosock::error::closed));
}

STREAM_CHECK(receiver_close_wakes_wait_writable) {
  byte_pattern l;
  pending_op wait;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return a.wait_writable(); });
    co_await let_others_run();
    EXPECT(!wait.done);
    b.close();
  });
  EXPECT(wait.done);
  EXPECT(is_broken(co_await send_until_error(a)));
}

/// A receiver that closes ends a pending send.
STREAM_CHECK(receiver_close_wakes_sender) {
  byte_pattern l;
  pending_op write;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return a.send(l.next(huge)); });
    co_await let_others_run();
    EXPECT(!write.done);
    b.close();
  });
  EXPECT(is_broken(write.result.error));
}

STREAM_CHECK(close_after_cancelled_op) {
  byte_pattern l;
  char into[8];
  co_await clog(a, l);
  for (const operation which : all_operations) {
    WITH_INFO(which);
    pending_op op;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return perform(which, a, into, l, 1000); });
      co_await let_others_run();
      n.cancel();
    });
    EXPECT(op.result.is(cosock::error::cancelled));
    l.sent(op.result);
  }
  a.close();
  EXPECT(!a.is_open());
  co_await drain_to_end(b, l);
}

/// Of a peer that has gone a receiver sees the end or an error, never data, and it never hangs.
STREAM_CHECK(forceful_close_receive) {
  char into[8];
  [[maybe_unused]] byte_pattern l;
  co_await b.send("unread");  // TCP answers this close with a reset
  a.close();
  for (int i = 0; i != 3; ++i) {
    const outcome o = co_await outcome_of(b.receive(into));
    EXPECT(o.bytes == 0u);
    EXPECT((!o.error || is_broken(o.error)));
  }
}

STREAM_CHECK(forceful_close_send) {
  co_await a.send("unread");
  b.close();
  EXPECT(is_broken(co_await send_until_error(a)));
}

STREAM_CHECK(cancelled_close_still_closes) {
  cancel_scope scope;
  scope.cancel();
  const auto close = [](byte_stream& s) -> task<> {
    s.close();
    co_await cosock::yield();
  };
  EXPECT_ERROR(co_await scope.run(close(a)), cosock::error::cancelled);
  EXPECT(!a.is_open());
  char into[8];
  EXPECT(co_await b.receive(into) == 0u);
}

STREAM_CHECK(peer_reset_during_read) {
  for (const operation which : receiving) {
    WITH_INFO(which);
    const stream_pair pair = co_await of.make_pair();
    byte_pattern l;
    char into[8];
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return perform(which, *pair.first, into, l, 0); });
      co_await let_others_run();
      EXPECT(!read.done);
      of.reset(*pair.second);
    });
    if (which != operation::wait_readable) EXPECT(read.result.error == errc::connection_reset);
    // It stays broken, and is not taken for the end of the stream.
    for (int i = 0; i != 3; ++i) {
      const outcome o = co_await outcome_of(pair.first->receive(into));
      EXPECT(o.error == errc::connection_reset);
    }
    EXPECT(is_broken((co_await outcome_of(pair.first->send("x"))).error));
  }
}

STREAM_CHECK(peer_reset_during_write) {
  for (const operation which : sending) {
    WITH_INFO(which);
    const stream_pair pair = co_await of.make_pair();
    byte_pattern l;
    char into[8];
    pending_op write;
    co_await clog(*pair.first, l);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, write, [&] { return perform(which, *pair.first, {}, l, huge); });
      co_await let_others_run();
      EXPECT(!write.done);
      of.reset(*pair.second);
    });
    if (which != operation::wait_writable) EXPECT(is_broken(write.result.error));
    EXPECT(is_broken((co_await outcome_of(pair.first->send("x"))).error));
    for (int i = 0; i != 3; ++i) {
      const outcome o = co_await outcome_of(pair.first->receive(into));
      EXPECT(o.error == errc::connection_reset);
    }
  }
}

STREAM_CHECK(local_reset) {
  char into[8];
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await let_others_run();
    of.reset(a);
  });
  EXPECT(read.result.is(cosock::error::closed));
  EXPECT(!a.is_open());
}

STREAM_CHECK(destroyed_while_pending) {
  for (const operation which : all_operations) {
    WITH_INFO(which);
    stream_pair pair = co_await of.make_pair();
    byte_pattern l;
    char into[8];
    pending_op op;
    co_await clog(*pair.first, l);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return perform(which, *pair.first, into, l, 1000); });
      co_await let_others_run();
      EXPECT(!op.done);
      pair.first.reset();
    });
    EXPECT(op.result.is(cosock::error::closed));
    l.sent(op.result);
    co_await drain_to_end(*pair.second, l);
  }
}

/// Closed in the same turn of the loop in which the data arrive.
STREAM_CHECK(close_races_with_data) {
  for (int round = 0; round != 100; ++round) {
    const stream_pair pair = co_await of.make_pair();
    char into[8];
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return pair.first->receive(into); });
      co_await cosock::yield();
      co_await pair.second->send("data");
      if (round % 2) co_await cosock::yield();
      pair.first->close();
    });
    if (read.result.error)
      EXPECT(read.result.is(cosock::error::closed));
    else
      EXPECT(read.result.bytes == 4u);
  }
}

std::span<const stream_check_entry> close_checks() {
  static constexpr stream_check_entry all[] = {
      {"peer_close_breaks_send", &peer_close_breaks_send, needs::tells_of_close},
      {"broken_is_sticky", &broken_is_sticky, needs::tells_of_close},
      {"receive_after_own_close", &receive_after_own_close, needs::buffers},
      {"send_after_own_close", &send_after_own_close, 0},
      {"close_twice", &close_twice, needs::ends_after_close},
      {"send_then_close_delivers_all", &send_then_close_delivers_all,
       needs::buffers | needs::delivers_after_close},
      {"close_wakes_receiver", &close_wakes_receiver, 0},
      {"close_wakes_sender", &close_wakes_sender, needs::bounded},
      {"close_wakes_wait_writable", &close_wakes_wait_writable, needs::bounded},
      {"receiver_close_wakes_wait_writable", &receiver_close_wakes_wait_writable,
       needs::bounded | needs::tells_of_close},
      {"receiver_close_wakes_sender", &receiver_close_wakes_sender,
       needs::bounded | needs::tells_of_close},
      {"close_after_cancelled_op", &close_after_cancelled_op,
       needs::bounded | needs::delivers_after_close | needs::delivers_cancelled_after_close},
      {"forceful_close_receive", &forceful_close_receive, needs::buffers},
      {"forceful_close_send", &forceful_close_send, needs::buffers | needs::tells_of_close},
      {"cancelled_close_still_closes", &cancelled_close_still_closes, needs::ends_after_close},
      {"peer_reset_during_read", &peer_reset_during_read, needs::reset},
      {"peer_reset_during_write", &peer_reset_during_write, needs::reset | needs::bounded},
      {"local_reset", &local_reset, needs::reset},
      {"destroyed_while_pending", &destroyed_while_pending,
       needs::bounded | needs::delivers_after_close | needs::delivers_cancelled_after_close |
           needs::owns},
      {"close_races_with_data", &close_races_with_data, 0},
  };
  return all;
}

}  // namespace cosock::testing::detail
