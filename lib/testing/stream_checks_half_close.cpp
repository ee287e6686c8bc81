// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The end of one direction, which leaves the other open.

#include "testing/stream_checks.hpp"

#include <cosock/when.hpp>

#include <string_view>

namespace cosock::testing::detail {

STREAM_CHECK(half_close_eof) {
  char into[8];
  co_await a.send("last");
  a.shutdown_send();
  EXPECT(co_await b.receive(into) == 4u);
  for (int i = 0; i != 3; ++i) {
    co_await b.wait_readable();
    EXPECT(co_await b.receive(into) == 0u);
  }
  EXPECT_ERROR(co_await b.receive_exactly(into), cosock::error::end_of_stream);
  co_await b.send("still");
  EXPECT(co_await a.receive(into) == 5u);
}

STREAM_CHECK(send_after_eof_fails) {
  char into[8];
  a.shutdown_send();
  for (int i = 0; i != 2; ++i) {
    for (const operation which : {operation::send, operation::send_some}) {
      byte_pattern l;
      const outcome o = co_await perform(which, a, {}, l, 8);
      EXPECT(is_broken(o.error));
      EXPECT(o.bytes == 0u);
    }
  }
  EXPECT(co_await b.receive(into) == 0u);
  co_await b.send("x");
  EXPECT(co_await a.receive(into) == 1u);
}

STREAM_CHECK(eof_twice_ok) {
  char into[8];
  a.shutdown_send();
  a.shutdown_send();
  EXPECT(co_await b.receive(into) == 0u);
  b.shutdown_send();
  a.shutdown_send();
  EXPECT(co_await a.receive(into) == 0u);
  a.shutdown_send();
  b.shutdown_send();
}

STREAM_CHECK(data_after_peer_eof) {
  byte_pattern l;
  char into[8];
  a.shutdown_send();
  EXPECT(co_await b.receive(into) == 0u);
  const auto write = [&]() -> task<> {
    co_await send(b, l, 1 << 20);
    b.shutdown_send();
  };
  co_await cosock::when_all(write(), drain_to_end(a, l));
  EXPECT(l.out == 1u << 20);
}

/// The end of one direction does not wake or hurt a receiver in the other.
STREAM_CHECK(eof_then_reverse_data) {
  char into[8];
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await let_others_run();
    a.shutdown_send();
    co_await let_others_run();
    EXPECT(!read.done);
    EXPECT(co_await b.receive(into) == 0u);
    co_await b.send("reply");
  });
  EXPECT(read.result.bytes == 5u);
  EXPECT(std::string_view(into, 5) == "reply");
}

/// A pending receive learns of the end.
STREAM_CHECK(eof_wakes_receiver) {
  for (const operation which : receiving)
    for (const bool all : {false, true}) {
      if (!all && !of.half_close) continue;
      WITH_INFO(which << (all ? ", closed" : ", shut down"));
      const stream_pair pair = co_await of.make_pair();
      byte_pattern l;
      char into[8];
      pending_op read;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, read, [&] { return perform(which, *pair.first, into, l, 0); });
        co_await let_others_run();
        EXPECT(!read.done);
        if (all)
          pair.second->close();
        else
          pair.second->shutdown_send();
      });
      EXPECT(read.result.bytes == 0u);
      EXPECT(read.result.error == (which == operation::receive_exactly
                                       ? code(cosock::error::end_of_stream)
                                       : error_code()));
    }
}

std::span<const stream_check_entry> half_close_checks() {
  static constexpr stream_check_entry all[] = {
      {"half_close_eof", &half_close_eof, needs::buffers | needs::half_close},
      {"send_after_eof_fails", &send_after_eof_fails, needs::buffers | needs::half_close},
      {"eof_twice_ok", &eof_twice_ok, needs::half_close},
      {"data_after_peer_eof", &data_after_peer_eof, needs::half_close},
      {"eof_then_reverse_data", &eof_then_reverse_data, needs::half_close},
      {"eof_wakes_receiver", &eof_wakes_receiver, 0},
  };
  return all;
}

}  // namespace cosock::testing::detail
