// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Readiness, and the second operation in one direction, which is refused.

#include "testing/stream_checks.hpp"

namespace cosock::testing::detail {

STREAM_CHECK(double_receive_busy) {
  byte_pattern l;
  char one[4];
  char two[4];
  for (const operation first : receiving)
    for (const operation second : receiving) {
      WITH_INFO(first << " then " << second);
      pending_op read;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, read, [&] { return perform(first, a, one, l, 0); });
        co_await let_others_run();
        const outcome refused = co_await perform(second, a, two, l, 0);
        EXPECT(refused.is(cosock::error::busy));
        EXPECT(!read.done);
        co_await send(b, l, sizeof one);
      });
      EXPECT(!read.result.error);
      EXPECT(l.received(one, read.result.bytes));
      co_await drain(a, l);
    }
}

STREAM_CHECK(double_send_busy) {
  byte_pattern l;
  co_await clog(a, l);
  for (const operation first : sending)
    for (const operation second : sending) {
      WITH_INFO(first << " then " << second);
      pending_op write;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, write, [&] { return perform(first, a, {}, l, 1000); });
        co_await let_others_run();
        EXPECT(!write.done);
        const outcome refused = co_await perform(second, a, {}, l, 1000);
        EXPECT(refused.is(cosock::error::busy));
        EXPECT(!write.done);
        co_await drain(b, l);
      });
      EXPECT(!write.result.error);
      l.sent(write.result);
      co_await clog(a, l);
    }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(send_and_eof_busy) {
  byte_pattern l;
  pending_op write;
  co_await clog(a, l);
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return a.send(l.next(1 << 20)); });
    co_await let_others_run();
    EXPECT_ERROR(a.shutdown_send(), cosock::error::busy);
    EXPECT(!write.done);
    co_await drain(b, l);
    l.sent(1 << 20);
    co_await drain(b, l);
  });
  EXPECT(!write.result.error);
  a.shutdown_send();
  co_await drain_to_end(b, l);
}

STREAM_CHECK(wait_writable_busy) {
  byte_pattern l;
  co_await clog(a, l);
  cancel_scope scope;
  pending_op wait;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return scope.run(a.wait_writable()); });
    co_await let_others_run();
    EXPECT(!wait.done);
    for (const operation second : sending) {
      WITH_INFO(second);
      const outcome refused = co_await perform(second, a, {}, l, 10);
      EXPECT(refused.is(cosock::error::busy));
    }
    scope.cancel();
  });
  EXPECT(wait.result.is(cosock::error::cancelled));
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(wait_writable_returns_early_never_late) {
  byte_pattern l;
  co_await a.wait_writable();
  co_await clog(a, l);
  pending_op wait;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return a.wait_writable(); });
    co_await let_others_run();
    EXPECT(!wait.done);
    co_await drain(b, l);
    co_await ended(wait);
    EXPECT(!wait.result.error);
    // Nobody reads any more, so this finds room or never ends.
    l.sent(co_await a.send_some(l.next(huge)));
  });
  EXPECT(l.on_the_way() != 0u);
  co_await drain(b, l);
}

/// The same for the other direction.
STREAM_CHECK(wait_readable_returns_early_never_late) {
  char into[4];
  for (int round = 0; round != 3; ++round) {
    pending_op wait;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, wait, [&] { return b.wait_readable(); });
      co_await let_others_run();
      EXPECT(!wait.done);
      co_await a.send("data");
      co_await ended(wait);
    });
    EXPECT(!wait.result.error);
    co_await b.wait_readable();  // it took nothing
    EXPECT(co_await b.receive(into) == 4u);
  }
  pending_op wait;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, wait, [&] { return b.wait_readable(); });
    co_await let_others_run();
    EXPECT(!wait.done);
    a.close();
    co_return;
  });
  EXPECT(!wait.result.error);
  EXPECT(co_await b.receive(into) == 0u);
}

STREAM_CHECK(what_ends_at_once_lets_others_run) {
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
          EXPECT(o.is(cosock::error::closed) == closed);
        }
      });
    }
  }
}

std::span<const stream_check_entry> waits_checks() {
  static constexpr stream_check_entry all[] = {
      {"double_receive_busy", &double_receive_busy, needs::buffers},
      {"double_send_busy", &double_send_busy, needs::buffers | needs::bounded},
      {"send_and_eof_busy", &send_and_eof_busy, needs::bytes | needs::bounded | needs::half_close},
      {"wait_writable_busy", &wait_writable_busy, needs::bounded},
      {"wait_writable_returns_early_never_late", &wait_writable_returns_early_never_late,
       needs::buffers | needs::bytes | needs::bounded},
      {"wait_readable_returns_early_never_late", &wait_readable_returns_early_never_late,
       needs::buffers},
      {"what_ends_at_once_lets_others_run", &what_ends_at_once_lets_others_run, 0},
  };
  return all;
}

}  // namespace cosock::testing::detail
