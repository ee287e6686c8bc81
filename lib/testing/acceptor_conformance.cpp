// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/check_acceptor.hpp>

#include "testing/check_run.hpp"
#include "testing/stream_tools.hpp"

#include <memory>
#include <stdexcept>
#include <string>

namespace cosock::testing {

namespace detail {

namespace {

using accepted = std::unique_ptr<byte_stream>;

struct acceptor_setting {
  acceptor_under_test& acceptor;
  std::unique_ptr<acceptor_under_test>& owner;
  const acceptor_traits& traits;
};

struct acceptor_check_entry {
  const char* name;
  task<> (*body)(acceptor_setting& in);
  bool needs_one_at_a_time = false;
};

/// Accepts, and stores the connection.
task<> accept_into(acceptor_under_test& acceptor, accepted& into) {
  into = co_await acceptor.accept();
}
/// Whether the two are the ends of one connection.
task<bool> are_connected(byte_stream& one, byte_stream& other, int number) {
  int got = 0;
  co_await cosock::when_all(one.send(const_buffer(&number, sizeof number)),
                            other.receive_exactly(mutable_buffer(&got, sizeof got)));
  co_return got == number;
}

task<> accepts_a_connection(acceptor_setting& in) {
  accepted client = co_await in.acceptor.connect();
  accepted server = co_await in.acceptor.accept();
  co_await round_trip(*client, *server);
  client->close();
  char into[8];
  EXPECT(co_await server->receive(into) == 0u);
}

task<> an_accept_waits_for_a_connection(acceptor_setting& in) {
  accepted server;
  accepted client;
  pending_op accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return accept_into(in.acceptor, server); });
    co_await let_others_run();
    EXPECT(!accept.done);
    client = co_await in.acceptor.connect();
  });
  REQUIRE(static_cast<bool>(server));
  co_await round_trip(*client, *server);
}

task<> connections_are_accepted_in_order(acceptor_setting& in) {
  std::vector<accepted> clients;
  for (std::size_t i = 0; i != std::min<std::size_t>(in.traits.backlog, 20); ++i)
    clients.push_back(co_await in.acceptor.connect());
  for (std::size_t i = 0; i != clients.size(); ++i) {
    const accepted server = co_await in.acceptor.accept();
    EXPECT(co_await are_connected(*clients[i], *server, static_cast<int>(i)));
  }
}

task<> many_connections_one_after_the_other(acceptor_setting& in) {
  for (int i = 0; i != 300; ++i) {
    const accepted client = co_await in.acceptor.connect();
    const accepted server = co_await in.acceptor.accept();
    REQUIRE(co_await are_connected(*client, *server, i));
  }
}

task<> an_accepted_connection_outlives_the_acceptor(acceptor_setting& in) {
  const accepted client = co_await in.acceptor.connect();
  const accepted server = co_await in.acceptor.accept();
  in.acceptor.close();
  co_await round_trip(*client, *server);
  in.owner.reset();
  co_await round_trip(*client, *server);
}

task<> a_connection_that_has_gone_is_accepted_and_at_its_end(acceptor_setting& in) {
  accepted gone = co_await in.acceptor.connect();
  gone->close();
  const accepted client = co_await in.acceptor.connect();
  const accepted first = co_await in.acceptor.accept();
  char into[8];
  EXPECT((co_await outcome_of(first->receive(into))).bytes == 0u);
  const accepted second = co_await in.acceptor.accept();
  co_await round_trip(*client, *second);
}

task<> cancelled_before_start_it_accepts_nothing(acceptor_setting& in) {
  const accepted client = co_await in.acceptor.connect();
  cancel_scope scope;
  scope.cancel();
  const outcome o = co_await outcome_of(scope.run(in.acceptor.accept()));
  EXPECT(o.is(error::cancelled));
  const accepted server = co_await in.acceptor.accept();
  co_await round_trip(*client, *server);
}

/// Connection and cancellation in the same turn of the loop, in every order: none is lost.
task<> a_cancelled_accept_loses_no_connection(acceptor_setting& in) {
  for (int round = 0; round != 100; ++round) {
    accepted server;
    accepted client;
    cancel_scope scope;
    pending_op accept;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, accept, [&] { return scope.run(accept_into(in.acceptor, server)); });
      if (round % 2) co_await cosock::yield();
      if (round % 5 == 1) scope.cancel();
      client = co_await in.acceptor.connect();
      if (round % 5 == 2) co_await cosock::yield();
      if (round % 5 == 3) co_await let_others_run();
      scope.cancel();
    });
    if (accept.result.error) REQUIRE(accept.result.is(error::cancelled));
    if (!server) server = co_await cosock::with_timeout(10s, in.acceptor.accept());
    REQUIRE(co_await are_connected(*client, *server, round));
  }
}

task<> a_limit_ends_an_accept(acceptor_setting& in) {
  for (const auto limit : {0ms, 2ms}) {
    const outcome o = co_await outcome_of(cosock::with_timeout(limit, in.acceptor.accept()));
    EXPECT(o.is(error::timed_out));
  }
  const accepted client = co_await in.acceptor.connect();
  const accepted server = co_await in.acceptor.accept();
  co_await round_trip(*client, *server);
}

task<> a_second_accept_is_refused(acceptor_setting& in) {
  accepted server;
  accepted client;
  pending_op accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return accept_into(in.acceptor, server); });
    co_await let_others_run();
    const outcome o = co_await outcome_of(in.acceptor.accept());
    EXPECT(o.is(error::busy));
    EXPECT(!accept.done);
    client = co_await in.acceptor.connect();
  });
  REQUIRE(static_cast<bool>(server));
  co_await round_trip(*client, *server);
}

task<> close_wakes_an_accept(acceptor_setting& in) {
  accepted server;
  pending_op accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return accept_into(in.acceptor, server); });
    co_await let_others_run();
    EXPECT(!accept.done);
    in.acceptor.close();
  });
  EXPECT(accept.result.is(error::closed));
}

task<> a_closed_acceptor_says_so(acceptor_setting& in) {
  in.acceptor.close();
  in.acceptor.close();
  for (int i = 0; i != 2; ++i) {
    const outcome o = co_await outcome_of(in.acceptor.accept());
    EXPECT(o.is(error::closed));
  }
}

task<> connections_that_were_not_accepted_end(acceptor_setting& in) {
  const accepted client = co_await in.acceptor.connect();
  in.acceptor.close();
  in.owner.reset();
  char into[8];
  for (int i = 0; i != 2; ++i) {
    const outcome o = co_await outcome_of(client->receive(into));
    EXPECT(o.bytes == 0u);
    EXPECT((!o.error || is_broken(o.error)));
  }
}

task<> connections_do_not_starve_other_tasks(acceptor_setting& in) {
  bool turn = false;
  int accepts = 0;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await cosock::yield();
      turn = true;
    });
    for (; !turn && accepts != 2000; ++accepts) {
      const accepted client = co_await in.acceptor.connect();
      const accepted server = co_await in.acceptor.accept();
    }
  });
  EXPECT(turn);
  EXPECT(accepts != 2000);
}

constexpr acceptor_check_entry all_checks[] = {
    {"accepts_a_connection", &accepts_a_connection},
    {"an_accept_waits_for_a_connection", &an_accept_waits_for_a_connection},
    {"connections_are_accepted_in_order", &connections_are_accepted_in_order},
    {"many_connections_one_after_the_other", &many_connections_one_after_the_other},
    {"an_accepted_connection_outlives_the_acceptor", &an_accepted_connection_outlives_the_acceptor},
    {"a_connection_that_has_gone_is_accepted_and_at_its_end",
     &a_connection_that_has_gone_is_accepted_and_at_its_end},
    {"cancelled_before_start_it_accepts_nothing", &cancelled_before_start_it_accepts_nothing},
    {"a_cancelled_accept_loses_no_connection", &a_cancelled_accept_loses_no_connection},
    {"a_limit_ends_an_accept", &a_limit_ends_an_accept},
    {"a_second_accept_is_refused", &a_second_accept_is_refused, true},
    {"close_wakes_an_accept", &close_wakes_an_accept},
    {"a_closed_acceptor_says_so", &a_closed_acceptor_says_so},
    {"connections_that_were_not_accepted_end", &connections_that_were_not_accepted_end},
    {"connections_do_not_starve_other_tasks", &connections_do_not_starve_other_tasks},
};

struct request {
  const acceptor_check_entry& entry;
  const acceptor_maker& make;
  const acceptor_traits& traits;
};

task<> run_entry(const void* argument) {
  const auto& [entry, make, traits] = *static_cast<const request*>(argument);
  std::unique_ptr<acceptor_under_test> acceptor = co_await make();
  acceptor_setting in = {*acceptor, acceptor, traits};
  co_await entry.body(in);
}

bool applies(const acceptor_check_entry& entry, const acceptor_traits& traits) {
  return traits.one_at_a_time || !entry.needs_one_at_a_time;
}

}  // namespace

}  // namespace detail

std::vector<std::string_view> acceptor_check_names(const acceptor_traits& traits) {
  std::vector<std::string_view> names;
  for (const auto& entry : detail::all_checks)
    if (detail::applies(entry, traits)) names.push_back(entry.name);
  return names;
}

void check_acceptor(const acceptor_maker& make, const check_report& report,
                    const acceptor_traits& traits, std::string_view only) {
  bool found = false;
  for (const auto& entry : detail::all_checks) {
    if (!detail::applies(entry, traits) || (!only.empty() && only != entry.name)) continue;
    found = true;
    const detail::request what{entry, make, traits};
    report(entry.name, detail::run_check(&detail::run_entry, &what, traits.limit, true));
  }
  if (!found)
    throw std::invalid_argument("check_acceptor: no check that applies is called \"" +
                                std::string(only) + "\"; see acceptor_check_names()");
}

}  // namespace cosock::testing
