// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Which connections an acceptor gives, and how an accept ends.

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp_accept
#include "loop_endings.hpp"
#include "manual_event.hpp"
#include "raw_socket.hpp"
#include "stream_fixture.hpp"
#include "tcp_fixture.hpp"

#include <cosock/connect.hpp>

#include <sys/socket.h>

#include <memory>
#include <set>

namespace {

using namespace test;
using cosock::cancel_scope;
using cosock::endpoint;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(accepting)

COROUTINE_TEST_CASE(a_thousand_connections_are_accepted) {
  tcp_acceptor acceptor(any_port_v4);
  std::vector<raw_socket> clients;
  std::set<endpoint> expected;
  std::set<endpoint> accepted;
  std::vector<tcp_socket> servers;
  for (int i = 0; i != 1000; ++i) {
    clients.emplace_back(acceptor.local_endpoint());
    expected.insert(clients.back().local_endpoint());
  }
  for (int i = 0; i != 1000; ++i) {
    endpoint peer;
    servers.push_back(co_await acceptor.accept(peer));
    accepted.insert(peer);
  }
  BOOST_TEST((expected == accepted));
  // Each of them works.
  for (int i = 0; i != 1000; ++i) BOOST_REQUIRE(clients[i].send("x"));
  for (tcp_socket& server : servers) {
    char into[2];
    BOOST_REQUIRE(co_await server.receive(into) == 1u);
  }
}

COROUTINE_TEST_CASE(a_second_accept_is_refused) {
  tcp_acceptor acceptor(any_port_v4);
  pending_op first;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, first, [&] { return outcome_of_accept(acceptor); });
    co_await let_others_run();
    BOOST_TEST((co_await outcome_of_accept(acceptor)).is(cosock::error::busy));
    BOOST_TEST(!first.done);
    const raw_socket client(acceptor.local_endpoint());
    co_await ended(first);
  });
  BOOST_TEST(!first.result.error);
}

COROUTINE_TEST_CASE(closing_and_destroying_an_acceptor_ends_a_pending_accept) {
  for (const bool destroy : {false, true}) {
    auto acceptor = std::make_unique<tcp_acceptor>(any_port_v4);
    const endpoint at = acceptor->local_endpoint();
    pending_op accept;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, accept, [&] { return outcome_of_accept(*acceptor); });
      co_await let_others_run();
      BOOST_TEST(!accept.done);
      if (destroy)
        acceptor.reset();
      else
        acceptor->close();
    });
    BOOST_TEST(accept.result.is(cosock::error::closed));
    if (!destroy) {
      acceptor->close();
      BOOST_TEST(!acceptor->is_open());
      BOOST_TEST((co_await outcome_of_accept(*acceptor)).is(cosock::error::closed));
    }
    BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(at), boost::system::system_error,
                          is(errc::connection_refused));
  }
}

COROUTINE_TEST_CASE(an_acceptor_moves_while_an_accept_is_pending) {
  tcp_acceptor acceptor(any_port_v4);
  tcp_acceptor moved;
  pending_op accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return outcome_of_accept(acceptor); });
    co_await let_others_run();
    moved = std::move(acceptor);
    BOOST_TEST(!acceptor.is_open());
    co_await let_others_run();
    BOOST_TEST(!accept.done);
    const raw_socket client(moved.local_endpoint());
    co_await ended(accept);
  });
  BOOST_TEST(!accept.result.error);
}

/// Cancelled before it began, while it waited, and in the same turn of the loop in which a connection
/// came: each connection is accepted once.
COROUTINE_TEST_CASE(a_cancelled_accept_loses_no_connection) {
  tcp_acceptor acceptor(any_port_v4);
  connection signal = co_await connect_pair();
  std::set<endpoint> made;
  std::set<endpoint> accepted;
  int cancelled = 0;
  constexpr int rounds = COSOCK_TEST_SANITIZED ? 300 : 1200;
  for (int round = 0; round != rounds; ++round) {
    cancel_scope scope;
    const auto accept = [&]() -> task<> {
      endpoint peer;
      (void)co_await acceptor.accept(peer);
      BOOST_REQUIRE(accepted.insert(peer).second);
    };
    const auto connect = [&] {
      const raw_socket client(acceptor.local_endpoint());
      BOOST_REQUIRE(made.insert(client.local_endpoint()).second);
    };
    const auto cancel_when_told = [&]() -> task<> {
      char told[1];
      co_await signal.server.receive(told);
      scope.cancel();
    };
    if (round % 6 == 5) scope.cancel();
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const outcome o = co_await outcome_of(scope.run(accept()));
        if (o.error) BOOST_REQUIRE(o.is(cosock::error::cancelled));
        if (o.error) ++cancelled;
      });
      co_await cosock::yield();
      switch (round % 6) {
        case 0:
          connect();
          scope.cancel();
          break;
        case 1:
          scope.cancel();
          connect();
          break;
        case 2:
          n.start(cancel_when_told);
          co_await let_others_run();
          co_await signal.client.send("!");
          connect();
          break;
        case 3:
          n.start(cancel_when_told);
          co_await let_others_run();
          connect();
          co_await signal.client.send("!");
          break;
        case 4:
          scope.set_deadline(cosock::clock::now() + std::chrono::microseconds(round % 90));
          connect();
          break;
        case 5: connect(); break;
      }
    });
  }
  BOOST_TEST(cancelled != 0);
  BOOST_TEST(accepted.size() != 0u);
  while (accepted.size() < made.size()) {
    endpoint peer;
    (void)co_await acceptor.accept(peer);
    BOOST_REQUIRE(accepted.insert(peer).second);
  }
  BOOST_TEST((accepted == made));
}

/// Linux hands such a connection over; it is skipped, or broken.
COROUTINE_TEST_CASE(accepting_goes_on_after_a_connection_was_reset_in_the_queue) {
  tcp_acceptor acceptor(any_port_v4);
  for (int round = 0; round != 20; ++round) {
    raw_socket gone(acceptor.local_endpoint());
    gone.reset();
    raw_socket stays(acceptor.local_endpoint());
    endpoint peer;
    tcp_socket server = co_await acceptor.accept(peer);
    if (peer != stays.local_endpoint()) {
      char into[8];
      BOOST_TEST((co_await outcome_of(server.receive(into))).error == reset_by_peer());
      server = co_await acceptor.accept(peer);
    }
    BOOST_TEST(peer == stays.local_endpoint());
    BOOST_REQUIRE(stays.send("x"));
    char into[8];
    BOOST_TEST(co_await server.receive(into) == 1u);
  }
}

COROUTINE_TEST_CASE(accepting_goes_on_after_the_process_had_too_many_files_open) {
  tcp_acceptor acceptor(any_port_v4);
  std::vector<raw_socket> clients;
  pending_op waiting;
  // One accept is pending when the limit strikes.
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, waiting, [&] { return outcome_of_accept(acceptor); });
    co_await let_others_run();
    for (int i = 0; i != 3; ++i) clients.emplace_back(acceptor.local_endpoint());
    const no_more_descriptors full;
    co_await ended(waiting);
    for (int i = 0; i != 3; ++i) {
      const outcome o = co_await outcome_of_accept(acceptor);
      BOOST_TEST(o.error == errc::too_many_files_open);
    }
    const outcome o = co_await outcome_of_connect(acceptor.local_endpoint());
    BOOST_TEST(o.error == errc::too_many_files_open);
    BOOST_TEST(thrown_by([] { tcp_acceptor{any_port_v4}; }) == errc::too_many_files_open);
  });
  BOOST_TEST(waiting.result.error == errc::too_many_files_open);
  std::set<endpoint> expected;
  for (const raw_socket& client : clients) expected.insert(client.local_endpoint());
  for (int i = 0; i != 3; ++i) {
    endpoint peer;
    const tcp_socket server = co_await acceptor.accept(peer);
    BOOST_TEST(expected.erase(peer) == 1u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
