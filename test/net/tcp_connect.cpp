// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A connect() to one endpoint that is refused or cancelled.

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp_connect
#include "stream_fixture.hpp"
#include "tcp_fixture.hpp"

#include <cosock/connect.hpp>

#include <string_view>

namespace {

using namespace test;
using cosock::cancel_scope;
using cosock::connect_options;
using cosock::endpoint;
using cosock::tcp_acceptor;

}  // namespace

BOOST_AUTO_TEST_SUITE(connecting)

COROUTINE_TEST_CASE(a_refused_connection_names_the_endpoint) {
  const std::size_t before = open_descriptors();
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    endpoint to = at;
    {
      const tcp_acceptor acceptor(at);
      to = acceptor.local_endpoint();
    }
    BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(to), boost::system::system_error,
                          [&](const boost::system::system_error& e) {
                            return e.code() == errc::connection_refused &&
                                   std::string_view(e.what()).find(to.to_string()) !=
                                       std::string_view::npos;
                          });
  }
  BOOST_TEST(open_descriptors() == before);
}

/// Both ends of such a connection would be the same socket.
COROUTINE_TEST_CASE(a_connection_to_oneself_is_refused) {
  const std::size_t before = open_descriptors();
  for (const endpoint& at : {any_port_v4, any_port_v6})
    for (int round = 0; round != 3; ++round) {
      connect_options from;
      {
        const tcp_acceptor acceptor(at);
        from.local = acceptor.local_endpoint();
      }
      const outcome o = co_await outcome_of_connect(*from.local, from);
      BOOST_TEST(o.error == errc::connection_refused);
    }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_connect_cancelled_before_it_starts_asks_nobody) {
  tcp_acceptor acceptor(any_port_v4);
  cancel_scope scope;
  scope.cancel();
  const outcome o = co_await scope.run(outcome_of_connect(acceptor.local_endpoint()));
  BOOST_TEST(o.is(cosock::error::cancelled));
  pending_op accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return outcome_of_accept(acceptor); });
    co_await let_others_run();
    BOOST_TEST(!accept.done);
    n.cancel();
  });
}

COROUTINE_TEST_CASE(a_connect_cancelled_while_pending_closes_its_descriptor) {
  const black_hole nobody;
  const std::size_t before = open_descriptors();
  for (const bool by_limit : {false, true}) {
    cancel_scope scope;
    pending_op connecting;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, connecting, [&] { return scope.run(cosock::connect(nobody.at())); });
      co_await let_others_run();
      BOOST_TEST(!connecting.done);
      BOOST_TEST(open_descriptors() == before + 1);
      if (by_limit)
        scope.set_deadline(cosock::clock::now() + 2ms);
      else
        scope.cancel();
    });
    BOOST_TEST(
        connecting.result.is(by_limit ? cosock::error::timed_out : cosock::error::cancelled));
    BOOST_TEST(open_descriptors() == before);
  }
}

COROUTINE_TEST_CASE(a_connect_cancelled_in_the_turn_in_which_it_completes_leaks_nothing) {
  tcp_acceptor acceptor(any_port_v4);
  const std::size_t before = open_descriptors();
  int connected = 0;
  int cancelled = 0;
  for (int round = 0; round != 300; ++round) {
    cancel_scope scope;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const auto result =
            co_await cosock::as_result(scope.run(cosock::connect(acceptor.local_endpoint())));
        if (result.has_value()) {
          BOOST_TEST(result->is_open());
          ++connected;
        } else {
          BOOST_REQUIRE(result.error() == code(cosock::error::cancelled));
          ++cancelled;
        }
      });
      for (int i = 0; i != round % 4; ++i) co_await cosock::yield();
      scope.cancel();
    });
    BOOST_REQUIRE(open_descriptors() == before);
  }
  BOOST_TEST(connected != 0);
  BOOST_TEST(cancelled != 0);
}

BOOST_AUTO_TEST_SUITE_END()
