// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagram sockets that wait, are cancelled and are closed.

#include "testing/datagram_checks.hpp"

#include <array>
#include <string>

namespace cosock::testing::detail {

namespace {

enum class datagram_call { receive, receive_from, receive_batch, wait_readable };
constexpr datagram_call receiving_calls[] = {datagram_call::receive, datagram_call::receive_from,
                                             datagram_call::receive_batch,
                                             datagram_call::wait_readable};

std::ostream& operator<<(std::ostream& out, datagram_call call) {
  constexpr const char* names[] = {"receive", "receive_from", "receive_batch", "wait_readable"};
  return out << names[static_cast<int>(call)];
}

/// One of the calls that wait for a datagram, whose bytes it stores.
template <class Endpoint>
task<> make_call(datagram_call call, datagram_socket<Endpoint>& on, std::string& got) {
  char into[16];
  switch (call) {
    case datagram_call::receive: {
      const receive_result one = co_await on.receive(into);
      got = text(into, one.size);
      break;
    }
    case datagram_call::receive_from: {
      const receive_from_result<Endpoint> one = co_await on.receive_from(into);
      got = text(into, one.size);
      break;
    }
    case datagram_call::receive_batch: {
      datagram_batch<Endpoint> one(1, 16);
      co_await on.receive_batch(one);
      for (const auto& each : one) got = text(each.data().data(), each.size());
      break;
    }
    case datagram_call::wait_readable: co_await on.wait_readable(); break;
  }
}

/// A socket that has found nothing knows that it is not readable; one that has not looked may not.
template <class Endpoint>
task<> look(datagram_socket<Endpoint>& on) {
  char into[16];
  EXPECT(co_await error_of(cosock::with_timeout(1ms, on.receive(into))) == error::timed_out);
}

}  // namespace

DATAGRAM_CHECK(receives_wait_for_a_datagram) {
  for (const datagram_call call : receiving_calls) {
    WITH_INFO(call);
    std::string got;
    pending_op read;
    co_await look(in.b);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return make_call(call, in.b, got); });
      co_await let_others_run();
      EXPECT(!read.done);
      co_await in.a.send_to("late", in.b_at);
    });
    EXPECT(!read.result.error);
    if (call == datagram_call::wait_readable) got = co_await next_of(in.b);
    EXPECT(got == "late");
  }
}

DATAGRAM_CHECK(waits_for_readiness_end_early_never_late) {
  co_await in.a.wait_writable();
  co_await in.a.send_to("one", in.b_at);
  co_await in.b.wait_readable();
  co_await in.b.wait_readable();  // it took nothing
  EXPECT((co_await next_of(in.b) == "one"));
}

DATAGRAM_CHECK(cancelled_before_start_nothing_happens) {
  co_await in.a.send_to("kept", in.b_at);
  for (const datagram_call call : receiving_calls) {
    WITH_INFO(call);
    std::string got;
    cancel_scope scope;
    scope.cancel();
    EXPECT(co_await error_of(scope.run(make_call(call, in.b, got))) == error::cancelled);
  }
  cancel_scope scope;
  scope.cancel();
  EXPECT(co_await error_of(scope.run(in.a.send_to("never", in.b_at))) == error::cancelled);
  co_await in.a.send_to("next", in.b_at);
  EXPECT((co_await next_of(in.b) == "kept"));
  EXPECT((co_await next_of(in.b) == "next"));
}

DATAGRAM_CHECK(a_cancelled_receive_takes_nothing) {
  for (const datagram_call call : receiving_calls) {
    WITH_INFO(call);
    std::string got;
    cancel_scope scope;
    pending_op read;
    co_await look(in.b);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return scope.run(make_call(call, in.b, got)); });
      co_await let_others_run();
      EXPECT(!read.done);
      scope.cancel();
    });
    EXPECT(read.result.is(error::cancelled));
    co_await in.a.send_to("kept", in.b_at);
    EXPECT((co_await next_of(in.b) == "kept"));
  }
}

/// Datagram and cancellation in the same turn of the loop, in every order: each is received once.
DATAGRAM_CHECK(cancel_race_loses_nothing) {
  int sent = 0;
  int received = 0;
  const auto take = [&](const std::string& got) {
    REQUIRE(got == std::to_string(received));
    ++received;
  };
  for (int round = 0; round != 1000; ++round) {
    std::string got;
    cancel_scope scope;
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return scope.run(make_call(receiving_calls[round % 3], in.b, got)); });
      if (round % 2) co_await cosock::yield();
      const std::string number = std::to_string(sent++);
      if (round % 5 == 1) scope.cancel();
      if (round % 5 == 2) scope.set_deadline(cosock::now() + std::chrono::microseconds(round % 60));
      co_await in.a.send_to(number, in.b_at);
      if (round % 5 == 3) co_await cosock::yield();
      scope.cancel();
    });
    if (!read.result.error) take(got);
    while (sent - received > 10) take(co_await next_of(in.b));
  }
  while (sent != received) take(co_await next_of(in.b));
}

DATAGRAM_CHECK(a_limit_ends_a_receive_and_the_socket_stays_usable) {
  for (const auto limit : {0ms, 2ms}) {
    co_await look(in.b);
    for (const datagram_call call : receiving_calls) {
      WITH_INFO(call);
      std::string got;
      EXPECT(co_await error_of(cosock::with_timeout(limit, make_call(call, in.b, got))) ==
             error::timed_out);
    }
    co_await in.a.send_to("fine", in.b_at);
    EXPECT((co_await next_of(in.b) == "fine"));
  }
}

DATAGRAM_CHECK(a_second_receiver_is_refused) {
  for (const datagram_call first : receiving_calls)
    for (const datagram_call second : receiving_calls) {
      WITH_INFO(first << " then " << second);
      std::string got;
      std::string other;
      pending_op read;
      co_await look(in.b);
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, read, [&] { return make_call(first, in.b, got); });
        co_await let_others_run();
        EXPECT(co_await error_of(make_call(second, in.b, other)) == error::busy);
        EXPECT(!read.done);
        co_await in.a.send_to("one", in.b_at);
      });
      EXPECT(!read.result.error);
      if (first == datagram_call::wait_readable) got = co_await next_of(in.b);
      EXPECT(got == "one");
    }
}

DATAGRAM_CHECK(close_wakes_a_receiver) {
  std::string got;
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return make_call(datagram_call::receive, in.b, got); });
    co_await let_others_run();
    EXPECT(!read.done);
    in.b.close();
  });
  EXPECT(read.result.is(error::closed));
}

DATAGRAM_CHECK(a_destroyed_socket_ends_a_receive) {
  std::string got;
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return make_call(datagram_call::receive, *in.pair.second, got); });
    co_await let_others_run();
    EXPECT(!read.done);
    in.pair.second.reset();
  });
  EXPECT(read.result.is(error::closed));
}

DATAGRAM_CHECK(a_closed_socket_says_so) {
  co_await in.a.send_to("lost", in.b_at);
  in.b.close();
  in.b.close();
  EXPECT(!in.b.is_open());
  for (const datagram_call call : receiving_calls) {
    WITH_INFO(call);
    std::string got;
    EXPECT(co_await error_of(make_call(call, in.b, got)) == error::closed);
  }
  EXPECT(co_await error_of(in.b.send_to("x", in.a_at)) == error::closed);
  const std::array<const_buffer, 2> two = {const_buffer("1"), const_buffer("2")};
  EXPECT(co_await error_of(in.b.send_batch(two, in.a_at)) == error::closed);
  EXPECT(co_await error_of(in.b.wait_writable()) == error::closed);
}

DATAGRAM_CHECK(a_busy_socket_does_not_starve_others) {
  bool turn = false;
  int sent = 0;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await cosock::yield();
      turn = true;
    });
    for (; !turn && sent != 100'000; ++sent) {
      co_await in.a.send_to("x", in.b_at);
      co_await next_of(in.b);
    }
  });
  EXPECT(turn);
  EXPECT(sent < 100'000);
}

template <class Endpoint>
std::span<const datagram_check_entry<Endpoint>> datagram_wait_checks() {
  static constexpr datagram_check_entry<Endpoint> all[] = {
      {"receives_wait_for_a_datagram", &receives_wait_for_a_datagram},
      {"waits_for_readiness_end_early_never_late", &waits_for_readiness_end_early_never_late},
      {"cancelled_before_start_nothing_happens", &cancelled_before_start_nothing_happens},
      {"a_cancelled_receive_takes_nothing", &a_cancelled_receive_takes_nothing},
      {"cancel_race_loses_nothing", &cancel_race_loses_nothing},
      {"a_limit_ends_a_receive_and_the_socket_stays_usable",
       &a_limit_ends_a_receive_and_the_socket_stays_usable},
      {"a_second_receiver_is_refused", &a_second_receiver_is_refused},
      {"close_wakes_a_receiver", &close_wakes_a_receiver},
      {"a_destroyed_socket_ends_a_receive", &a_destroyed_socket_ends_a_receive},
      {"a_closed_socket_says_so", &a_closed_socket_says_so},
      {"a_busy_socket_does_not_starve_others", &a_busy_socket_does_not_starve_others},
  };
  return all;
}

template std::span<const datagram_check_entry<endpoint>> datagram_wait_checks();
template std::span<const datagram_check_entry<local_endpoint>> datagram_wait_checks();

}  // namespace cosock::testing::detail
