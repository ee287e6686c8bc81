// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Cancellation at every moment: no byte is lost, and none comes twice.

#include "testing/stream_checks.hpp"

#include <cosock/when.hpp>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <vector>

namespace cosock::testing::detail {

STREAM_CHECK(cancel_before_start) {
  byte_pattern to_a;
  byte_pattern to_b;
  co_await send(b, to_a, 100);
  for (const operation which : all_operations)
    for (const std::size_t size : {0, 10}) {
      WITH_INFO(which << " of " << size);
      char into[10];
      cancel_scope scope;
      scope.cancel();
      const outcome o = co_await scope.run(perform(which, a, {into, size}, to_b, size));
      EXPECT(o.is(cosock::error::cancelled));
      EXPECT(o.bytes == 0u);
    }
  co_await drain(a, to_a);
  co_await round_trip(a, b);
}

STREAM_CHECK(cancel_while_pending) {
  [[maybe_unused]] byte_pattern to_a;
  byte_pattern to_b;
  co_await clog(a, to_b);
  for (const operation which : all_operations) {
    WITH_INFO(which);
    char into[10];
    cancel_scope scope;
    pending_op op;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return scope.run(perform(which, a, into, to_b, 1000)); });
      co_await let_others_run();
      EXPECT(!op.done);
      scope.cancel();
      EXPECT(!op.done);
    });
    EXPECT(op.result.is(cosock::error::cancelled));
    to_b.sent(op.result);
  }
  co_await drain(b, to_b);
  co_await round_trip(a, b);
}

/// What a receive_exactly had taken when it was cancelled is reported, and the rest is still there.
STREAM_CHECK(cancelled_receive_exactly_keeps_its_part) {
  byte_pattern l;
  for (const std::size_t part : {0, 1, 7, 99}) {
    char into[100];
    cancel_scope scope;
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return scope.run(a.receive_exactly(into)); });
      co_await send(b, l, part);
      co_await let_others_run();
      EXPECT(!read.done);
      scope.cancel();
    });
    EXPECT(read.result.is(cosock::error::cancelled));
    EXPECT(l.received(into, read.result.bytes));
    co_await drain(a, l);
  }
  co_await round_trip(a, b);
}

STREAM_CHECK(cancel_after_completion_keeps_result) {
  char into[8];
  cancel_scope scope;
  const auto receive = [&]() -> task<std::size_t> {
    const std::size_t n = co_await a.receive(into);
    scope.cancel();
    co_return n;
  };
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return scope.run(receive()); });
    co_await let_others_run();
    co_await b.send("kept");
  });
  EXPECT(!read.result.error);
  EXPECT(read.result.bytes == 4u);
  EXPECT(scope.is_cancelled());

  // A limit that passes while the result is on its way.
  const auto late = [&]() -> task<std::size_t> {
    const std::size_t n = co_await a.receive(into);
    const auto end = now() + 3ms;
    while (now() < end) {
    }
    co_return n;
  };
  co_await b.send("kept");
  EXPECT(co_await cosock::with_timeout(2ms, late()) == 4u);
}

/// Data and cancellation arrive in the same turn of the loop, in every order: no byte is lost.
STREAM_CHECK(cancel_race_loses_nothing) {
  byte_pattern l;
  const stream_pair side = co_await of.make_pair();
  int cancelled = 0;
  int completed = 0;
  char into[64];
  for (int round = 0; round != 3000; ++round) {
    const operation which = receiving[round / 6 % 3];
    WITH_INFO(which << " in round " << round);
    cancel_scope scope;
    outcome got;
    const std::size_t size = 1 + round % 40;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> { got = co_await scope.run(perform(which, a, {into, size}, l, 0)); });
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
          co_await let_others_run();
          co_await side.first->send("!");
          co_await send(b, l, size);
          break;
        case 4:  // or later
          n.start(cancel_when_told);
          co_await let_others_run();
          co_await send(b, l, size);
          co_await side.first->send("!");
          break;
        case 5:  // by a limit
          scope.set_deadline(now() + std::chrono::microseconds(round % 60));
          co_await send(b, l, size);
          break;
      }
    });
    if (got.error) {
      REQUIRE(got.is(cosock::error::cancelled));
      if (which != operation::receive_exactly) REQUIRE(got.bytes == 0u);
      ++cancelled;
    } else {
      ++completed;
    }
    REQUIRE(l.received(into, got.bytes));
    if (l.on_the_way() > 500) co_await drain(a, l);
  }
  EXPECT(cancelled != 0);
  EXPECT(completed != 0);
  co_await drain(a, l);
  EXPECT(l.in == l.out);
  co_await round_trip(a, b);
}

/// The same for sends: what is reported as sent is what arrives.
STREAM_CHECK(cancel_race_of_sends_loses_nothing) {
  byte_pattern l;
  co_await clog(a, l);
  const std::size_t capacity = l.on_the_way();
  for (int round = 0; round != 300; ++round) {
    const operation which = sending[round / 3 % 3];
    WITH_INFO(which << " in round " << round);
    cancel_scope scope;
    outcome sent;
    std::vector<char> into(1 + round * capacity / 1000 % (capacity / 10));
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> { sent = co_await scope.run(perform(which, a, {}, l, 50'000)); });
      co_await cosock::yield();
      const std::size_t n1 =
          co_await b.receive(cosock::buffer(into, std::min(into.size(), l.on_the_way())));
      REQUIRE(l.received(into.data(), n1));
      if (round % 3 == 1) co_await cosock::yield();
      if (round % 3 == 2) co_await let_others_run();
      scope.cancel();
    });
    if (sent.error) REQUIRE(sent.is(cosock::error::cancelled));
    l.sent(sent);
    if (l.on_the_way() < capacity / 2) co_await clog(a, l);
  }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

/// A conversation that is cancelled at every step at which it can be.
STREAM_CHECK(step_k_cancel_sweep) {
  bool completed = false;
  for (int k = 0; !completed; ++k) {
    WITH_INFO("step " << k);
    REQUIRE(k < 1000);
    const stream_pair pair = co_await of.make_pair();
    byte_pattern there;
    byte_pattern back;
    cancel_scope scope;
    const auto say = [](byte_stream& s, byte_pattern& l, std::size_t size) -> task<> {
      const const_buffer bytes = l.next(size);
      l.sent(size);  // first, or the receiver may see bytes that nobody has sent
      const outcome o = co_await outcome_of(s.send(bytes));
      l.in -= size - o.bytes;
      if (o.error) throw boost::system::system_error(o.error);
    };
    const auto hear = [](byte_stream& s, byte_pattern& l, std::size_t size) -> task<> {
      std::vector<char> into(size);
      const outcome o = co_await outcome_of(s.receive_exactly(into));
      REQUIRE(l.received(into.data(), o.bytes));
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
        EXPECT(e.code() == code(cosock::error::cancelled));
      }
      over = true;
    });
    // Whatever it came to, the books balance and both ends work.
    co_await drain(*pair.second, there);
    co_await drain(*pair.first, back);
    co_await round_trip(*pair.first, *pair.second);
  }
}

STREAM_CHECK(shielded_cleanup) {
  char into[8];
  cancel_scope scope;
  pending_op read;
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
    co_await let_others_run();
    scope.cancel();
  });
  EXPECT(refused);
  co_await b.receive_exactly(into);
  EXPECT(std::string_view(into, 8) == "farewell");
}

/// Two receives race, data for both is there: no byte is lost.
STREAM_CHECK(race_returns_all_completed) {
  const stream_pair other = co_await of.make_pair();
  byte_pattern one;
  byte_pattern two;
  int both = 0;
  for (int round = 0; round != 1000; ++round) {
    char into_one[100];
    char into_two[100];
    const auto take = [&](auto& result) {
      if (result.template get<0>()) REQUIRE(one.received(into_one, *result.template get<0>()));
      if (result.template get<1>()) REQUIRE(two.received(into_two, *result.template get<1>()));
      REQUIRE((result.template get<0>() || result.template get<1>()));
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
  EXPECT(one.in == one.out);
  EXPECT(two.in == two.out);
  co_await round_trip(a, b);
}

/// A race of waits takes nothing from the loser.
STREAM_CHECK(wait_any_cancel_safe_only) {
  const stream_pair other = co_await of.make_pair();
  for (int round = 0; round != 100; ++round) {
    co_await b.send("one");
    co_await other.second->send("two");
    auto result = co_await cosock::when_any(a.wait_readable(), other.first->wait_readable());
    EXPECT((result.get<0>() || result.get<1>()));
    char into[3];
    co_await a.receive_exactly(into);
    EXPECT(std::string_view(into, 3) == "one");
    co_await other.first->receive_exactly(into);
    EXPECT(std::string_view(into, 3) == "two");
  }
}

std::span<const stream_check_entry> cancel_checks() {
  static constexpr stream_check_entry all[] = {
      {"cancel_before_start", &cancel_before_start, needs::buffers},
      {"cancel_while_pending", &cancel_while_pending, needs::bounded},
      {"cancelled_receive_exactly_keeps_its_part", &cancelled_receive_exactly_keeps_its_part, 0},
      {"cancel_after_completion_keeps_result", &cancel_after_completion_keeps_result,
       needs::buffers | needs::stays_in_loop},
      {"cancel_race_loses_nothing", &cancel_race_loses_nothing, needs::buffers | needs::bytes},
      {"cancel_race_of_sends_loses_nothing", &cancel_race_of_sends_loses_nothing,
       needs::buffers | needs::bytes | needs::bounded},
      {"step_k_cancel_sweep", &step_k_cancel_sweep, needs::bytes | needs::stays_in_loop},
      {"shielded_cleanup", &shielded_cleanup, needs::buffers},
      {"race_returns_all_completed", &race_returns_all_completed, needs::buffers},
      {"wait_any_cancel_safe_only", &wait_any_cancel_safe_only, needs::buffers},
  };
  return all;
}

}  // namespace cosock::testing::detail
