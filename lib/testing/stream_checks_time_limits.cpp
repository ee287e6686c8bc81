// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Time limits of every length, and nested ones.

#include "testing/stream_checks.hpp"

#include <cosock/when.hpp>

#include <chrono>
#include <limits>
#include <string_view>

namespace cosock::testing::detail {

STREAM_CHECK(read_timeout) {
  char into[8];
  for (const auto limit : {0ms, 2ms}) {
    const outcome o = co_await outcome_of(cosock::with_timeout(limit, a.receive(into)));
    EXPECT(o.is(cosock::error::timed_out));
    co_await a.send("not hurt");
    co_await b.receive_exactly(into);
    EXPECT(std::string_view(into, 8) == "not hurt");
  }
  co_await round_trip(a, b);
}

STREAM_CHECK(write_timeout) {
  byte_pattern l;
  char into[8];
  for (const auto limit : {0ms, 2ms}) {
    const outcome o = co_await outcome_of(cosock::with_timeout(limit, a.send(l.next(huge))));
    EXPECT(o.is(cosock::error::timed_out));
    l.sent(o);
    if (limit == 0ms) EXPECT(o.bytes == 0u);
    co_await b.send("not hurt");
    co_await a.receive_exactly(into);
    EXPECT(std::string_view(into, 8) == "not hurt");
  }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// A deadline in the past: nothing happens, although it could.
STREAM_CHECK(past_timeout) {
  byte_pattern to_a;
  byte_pattern to_b;
  co_await round_trip(a, b);
  co_await send(b, to_a, 1000);
  for (const operation which : all_operations) {
    WITH_INFO(which);
    char into[10];
    for (const auto past : {clock::time_point::min(), clock::time_point(), now()}) {
      const outcome o = co_await cosock::with_deadline(past, perform(which, a, into, to_b, 10));
      EXPECT(o.is(cosock::error::cancelled));
      EXPECT(o.bytes == 0u);
    }
    const outcome direct =
        co_await outcome_of(cosock::with_deadline(clock::time_point::min(), a.receive(into)));
    EXPECT(direct.is(cosock::error::timed_out));
  }
  co_await drain(a, to_a);
  co_await round_trip(a, b);
}

/// A deadline set to the past while operations wait ends them.
STREAM_CHECK(present_timeout) {
  byte_pattern l;
  char into[8];
  cancel_scope read_scope;
  cancel_scope write_scope;
  pending_op read;
  pending_op write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return read_scope.run(a.receive(into)); });
    start(n, write, [&] { return write_scope.run(a.send(l.next(huge))); });
    co_await let_others_run();
    EXPECT(!read.done);
    EXPECT(!write.done);
    read_scope.set_deadline(now() - 1h);
    co_await ended(read);
    EXPECT(!write.done);
    write_scope.set_deadline(now() - 1h);
  });
  EXPECT(read.result.is(cosock::error::timed_out));
  EXPECT(write.result.is(cosock::error::timed_out));
  EXPECT(read_scope.timed_out());
  l.sent(write.result);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(future_timeout) {
  byte_pattern l;
  char into[8];
  const auto begun = now();
  const auto [read, write] =
      co_await cosock::when_all(outcome_of(cosock::with_timeout(5ms, a.receive(into))),
                                outcome_of(cosock::with_timeout(5ms, a.send(l.next(huge)))));
  EXPECT((now() - begun >= 5ms));
  EXPECT(read.is(cosock::error::timed_out));
  EXPECT(write.is(cosock::error::timed_out));
  l.sent(write);
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// close() ends what waits with `closed`, whatever time is left.
STREAM_CHECK(close_timeout) {
  byte_pattern l;
  char into[8];
  pending_op read;
  pending_op write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return cosock::with_timeout(1h, a.receive(into)); });
    start(n, write, [&] { return cosock::with_timeout(1h, a.send(l.next(huge))); });
    co_await let_others_run();
    EXPECT(!read.done);
    EXPECT(!write.done);
    a.close();
  });
  EXPECT(read.result.is(cosock::error::closed));
  EXPECT(write.result.is(cosock::error::closed));
}

STREAM_CHECK(nested_timeout_inner_wins) {
  char into[8];
  bool inner_timed_out = false;
  const auto inner = [&]() -> task<> {
    const outcome o = co_await outcome_of(cosock::with_timeout(2ms, a.receive(into)));
    inner_timed_out = o.is(cosock::error::timed_out);
    co_await b.send("x");  // the outer one has time left
    co_await a.receive_exactly(cosock::buffer(into, 1));
  };
  co_await cosock::with_timeout(1h, inner());
  EXPECT(inner_timed_out);
}

STREAM_CHECK(nested_timeout_outer_wins) {
  char into[8];
  bool inner_cancelled = false;
  const auto inner = [&]() -> task<std::size_t> {
    const outcome o = co_await outcome_of(cosock::with_timeout(1h, a.receive(into)));
    inner_cancelled = o.is(cosock::error::cancelled);
    co_return co_await a.receive(into);  // still cancelled
  };
  const outcome o = co_await outcome_of(cosock::with_timeout(2ms, inner()));
  EXPECT(inner_cancelled);
  EXPECT(o.is(cosock::error::timed_out));
  co_await round_trip(a, b);
}

STREAM_CHECK(timeout_extend_while_pending) {
  char into[8];
  cancel_scope scope;
  scope.set_deadline(now() + 20ms);
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(a.receive(into)); });
    co_await cosock::yield();
    EXPECT(!read.done);
    scope.set_deadline(now() + 1h);
    co_await cosock::sleep_for(22ms);
    EXPECT(!read.done);
    co_await b.send("data");
    co_await ended(read);
    EXPECT(read.result.bytes == 4u);
  });
}

STREAM_CHECK(timeout_clear_while_pending) {
  char into[8];
  cancel_scope scope;
  scope.set_deadline(now() + 20ms);
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(a.receive(into)); });
    co_await cosock::yield();
    scope.clear_deadline();
    co_await cosock::sleep_for(22ms);
    EXPECT(!read.done);
    co_await b.send("data");
  });
  EXPECT(read.result.bytes == 4u);
  EXPECT(!scope.timed_out());
}

/// Nothing is attempted, although it would succeed.
STREAM_CHECK(zero_timeout) {
  byte_pattern to_a;
  [[maybe_unused]] byte_pattern to_b;
  co_await send(b, to_a, 100);
  char into[100];
  EXPECT((co_await outcome_of(cosock::with_timeout(0s, a.receive(into))))
             .is(cosock::error::timed_out));
  EXPECT((co_await outcome_of(cosock::with_timeout(0s, a.receive_exactly(into))))
             .is(cosock::error::timed_out));
  EXPECT((co_await outcome_of(cosock::with_timeout(0s, a.wait_readable())))
             .is(cosock::error::timed_out));
  const outcome sent = co_await outcome_of(cosock::with_timeout(0s, a.send("none of it")));
  EXPECT(sent.is(cosock::error::timed_out));
  EXPECT(sent.bytes == 0u);
  EXPECT((co_await outcome_of(cosock::with_timeout(0s, a.send_some("none of it"))))
             .is(cosock::error::timed_out));
  EXPECT((co_await outcome_of(cosock::with_timeout(0s, a.wait_writable())))
             .is(cosock::error::timed_out));
  co_await drain(a, to_a);
  co_await round_trip(a, b);
}

STREAM_CHECK(negative_timeout) {
  byte_pattern l;
  co_await send(b, l, 100);
  char into[100];
  EXPECT((co_await outcome_of(cosock::with_timeout(-1s, a.receive(into))))
             .is(cosock::error::timed_out));
  EXPECT((co_await outcome_of(cosock::with_timeout(std::chrono::hours::min(), a.receive(into))))
             .is(cosock::error::timed_out));
  EXPECT((co_await outcome_of(cosock::with_timeout(-1ns, a.send("none of it"))))
             .is(cosock::error::timed_out));
  co_await drain(a, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(infinite_timeout) {
  using seconds = std::chrono::duration<double>;
  byte_pattern l;
  char into[8];
  pending_op reads[4];
  for (pending_op& read : reads) {
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] {
        const auto i = &read - reads;
        const auto limit = i == 0   ? seconds(std::numeric_limits<double>::infinity())
                           : i == 1 ? seconds(1e30)
                                    : seconds(1e9);
        return cosock::with_timeout(limit, a.receive(into));
      });
      co_await let_others_run();
      EXPECT(!read.done);
      co_await send(b, l, 8);
    });
    EXPECT(!read.result.error);
    EXPECT(l.received(into, read.result.bytes));
    co_await drain(a, l);
  }
  co_await b.send("8 bytes.8 bytes.8 bytes.");
  co_await cosock::with_timeout(std::chrono::hours::max(), a.receive_exactly(into));
  co_await cosock::with_timeout(std::chrono::nanoseconds::max(), a.receive_exactly(into));
  co_await cosock::with_deadline(clock::time_point::max(), a.receive_exactly(into));
  co_await round_trip(a, b);
}

STREAM_CHECK(timeout_does_not_poison_stream) {
  for (int round = 0; round != 30; ++round) {
    char into[8];
    const auto limit = std::chrono::microseconds(100 + round);
    EXPECT((co_await outcome_of(cosock::with_timeout(limit, a.receive(into))))
               .is(cosock::error::timed_out));
    EXPECT((co_await outcome_of(cosock::with_timeout(limit, b.wait_readable())))
               .is(cosock::error::timed_out));
    co_await round_trip(a, b);
  }
}

std::span<const stream_check_entry> time_limits_checks() {
  static constexpr stream_check_entry all[] = {
      {"read_timeout", &read_timeout, needs::buffers},
      {"write_timeout", &write_timeout, needs::buffers | needs::bytes | needs::bounded},
      {"past_timeout", &past_timeout, needs::buffers},
      {"present_timeout", &present_timeout, needs::bytes | needs::bounded},
      {"future_timeout", &future_timeout, needs::bytes | needs::bounded},
      {"close_timeout", &close_timeout, needs::bytes | needs::bounded},
      {"nested_timeout_inner_wins", &nested_timeout_inner_wins, 0},
      {"nested_timeout_outer_wins", &nested_timeout_outer_wins, 0},
      {"timeout_extend_while_pending", &timeout_extend_while_pending, 0},
      {"timeout_clear_while_pending", &timeout_clear_while_pending, 0},
      {"zero_timeout", &zero_timeout, needs::buffers},
      {"negative_timeout", &negative_timeout, needs::buffers},
      {"infinite_timeout", &infinite_timeout, needs::buffers | needs::bytes},
      {"timeout_does_not_poison_stream", &timeout_does_not_poison_stream, 0},
  };
  return all;
}

}  // namespace cosock::testing::detail
