// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The ends of TLS streams and handshakes: loops that end first, limits, cancellation, closing; and what a
// message costs.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_ends
#include "allocations.hpp"
#include "tls_fixture.hpp"

#include <cosock/cosock.hpp>
#include <cosock/testing/memory_stream.hpp>

#include <atomic>
#include <memory>
#include <thread>

namespace {

using cosock::task;
using cosock::tls_errc;
using cosock::tls_stream;
using test::client_context;
using test::is;
using test::server_context;
using test::tls_pair;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(streams_outlive_their_loop) {
  const test::alarm_clock guard;
  tls_stream kept;
  tls_stream other;
  {
    cosock::loop loop;
    loop.run([](tls_stream& one, tls_stream& two) -> task<> {
      tls_pair made = co_await test::tls_over_memory(client_context(), server_context());
      one = std::move(made.client);
      two = std::move(made.server);
    }(kept, other));
    BOOST_TEST(kept.is_open());
  }
  BOOST_TEST(!kept.is_open());
  BOOST_CHECK_EXCEPTION(static_cast<void>(kept.facts()), boost::system::system_error,
                        is(cosock::error::closed));
  kept.close();
}

BOOST_AUTO_TEST_CASE(a_loop_ends_while_handshakes_and_operations_wait) {
  const test::alarm_clock guard;
  cosock::loop loop;
  const auto one = loop.start([]() -> task<> {
    tls_pair made = co_await test::tls_over_memory(client_context(), server_context());
    char byte[1];
    co_await cosock::when_all(made.client.receive(byte), made.server.receive(byte));
  }());
  const auto other = loop.start([]() -> task<> {
    auto ends = co_await test::make_memory_pair();
    co_await cosock::tls_accept(server_context(), std::move(ends.first));
  }());
  while (loop.poll()) {
  }
}

COROUTINE_TEST_CASE(a_transport_may_be_a_pointer_to_it) {
  using memory_stream = cosock::testing::memory_stream;
  auto [one, other] = cosock::testing::memory_pair();
  auto [client, server] = co_await cosock::when_all(
      cosock::tls_over(client_context(), std::make_unique<memory_stream>(std::move(one)),
                       "localhost"),
      cosock::tls_accept(server_context(), std::make_unique<memory_stream>(std::move(other))));
  co_await client.send("x");
  char byte[1];
  BOOST_TEST(co_await server.receive(byte) == 1u);
  const auto no_stream = [](const std::invalid_argument& e) {
    return std::string_view(e.what()) == "cosock: no stream for TLS";
  };
  BOOST_CHECK_EXCEPTION(
      co_await cosock::tls_accept(server_context(), std::unique_ptr<memory_stream>()),
      std::invalid_argument, no_stream);
  std::unique_ptr<cosock::byte_stream> none;
  BOOST_CHECK_EXCEPTION(co_await cosock::tls_over(client_context(), std::move(none), "localhost"),
                        std::invalid_argument, no_stream);
}

COROUTINE_TEST_CASE(a_handshake_has_a_limit_and_can_be_cancelled) {
  for (const bool as_server : {true, false}) {
    auto ends = co_await test::make_memory_pair();
    try {
      if (as_server)
        co_await cosock::tls_accept(server_context(), std::move(ends.first), {.timeout = 5ms});
      else
        co_await cosock::tls_over(client_context(), std::move(ends.first), "localhost",
                                  {.timeout = 5ms});
      BOOST_ERROR("a handshake with nobody");
    } catch (const cosock::tls_error& e) {
      BOOST_TEST((e.code() == cosock::error::timed_out), e.what());
      BOOST_TEST(test::contains(e.what(), "TLS handshake: the time limit of 5 ms has passed"),
                 e.what());
    }
    auto more = co_await test::make_memory_pair();
    cosock::cancel_scope scope;
    scope.cancel();
    BOOST_CHECK_EXCEPTION(
        co_await scope.run(cosock::tls_accept(server_context(), std::move(more.first))),
        boost::system::system_error, is(cosock::error::cancelled));
  }
}

COROUTINE_TEST_CASE(connecting_has_one_limit_for_everything) {
  cosock::tcp_acceptor silent(cosock::endpoint(cosock::address::loopback_v4(), 0));
  BOOST_CHECK_EXCEPTION(
      co_await cosock::tls_connect(client_context(), "127.0.0.1", silent.local_endpoint().port(),
                                   {.timeout = 10ms}),
      boost::system::system_error, is(cosock::error::timed_out));
}

COROUTINE_TEST_CASE(data_that_was_sent_arrives_although_the_stream_is_closed) {
  for (const bool destroyed : {true, false}) {
    tls_pair made =
        co_await test::tls_over_memory(client_context(), server_context(), "localhost", 200'000);
    const std::string large(100'000, 'x');
    co_await made.client.send(large);
    if (destroyed)
      made.client = tls_stream();
    else
      made.client.close();
    std::string all;
    char block[5000];
    while (const std::size_t n = co_await made.server.receive(block)) all.append(block, n);
    BOOST_TEST((all == large));
  }
}

COROUTINE_TEST_CASE(finish_waits_for_the_peer_and_forgives_one_that_has_gone) {
  tls_pair made = co_await test::tls_over_memory(client_context(), server_context());
  const auto both = co_await cosock::when_all(made.client.finish(), made.server.finish(1s));
  BOOST_TEST(std::get<0>(both));
  BOOST_TEST(std::get<1>(both));
  BOOST_CHECK_EXCEPTION(co_await made.client.finish(), boost::system::system_error,
                        is(cosock::error::closed));
}

/// A server that answers and closes, and a client that has not read its tickets, over TCP: the answer is
/// not lost by a reset.
COROUTINE_TEST_CASE(unread_tickets_reset_nobody) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  for (int i = 0; i != 20; ++i) {
    auto [one, other] =
        co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
    tls_pair made = co_await test::shake_hands(
        client_context(), server_context(), std::make_unique<cosock::tcp_socket>(std::move(one)),
        std::make_unique<cosock::tcp_socket>(std::move(other)));
    co_await made.server.send("tickets, and data that the client does not read");
    co_await made.client.send("the last words");
    made.client.close();
    char block[100];
    BOOST_TEST(co_await made.server.receive(block) == 14u);
    BOOST_TEST(co_await made.server.receive(block) == 0u);
  }
}

/// The buffers of a record are OpenSSL's, and it has them allocated by malloc.
COROUTINE_TEST_CASE(a_message_costs_no_allocation_of_ours) {
  tls_pair made = co_await test::tls_over_memory(client_context(), server_context());
  char block[64] = {};
  constexpr long many = 1'000'000;
  for (int i = 0; i != 103; ++i) {
    if (i == 3) test::allocations_until_failure = many;  // before, the loop allocates what it keeps
    co_await made.client.send(block);
    co_await made.server.receive_exactly(block);
    co_await made.server.send(block);
    co_await made.client.receive_exactly(block);
  }
  const long left = test::allocations_until_failure.exchange(-1);
  BOOST_TEST(left == many);
}

/// OpenSSL's allocations are not among those that fail.
BOOST_AUTO_TEST_CASE(a_connection_without_memory_is_an_error) {
  const test::alarm_clock guard;
  static_cast<void>(client_context());
  static_cast<void>(server_context());
  const auto talk = []() -> task<> {
    auto [one, other] = cosock::local_pair();
    auto one_owned = std::make_unique<cosock::local_stream_socket>(std::move(one));
    auto other_owned = std::make_unique<cosock::local_stream_socket>(std::move(other));
    tls_pair made = co_await test::shake_hands(client_context(), server_context(),
                                               std::move(one_owned), std::move(other_owned));
    char byte[1];
    co_await made.client.send("?");
    co_await made.server.receive(byte);
    co_await made.server.send("!");
    co_await made.client.receive(byte);
    const auto facts = made.client.facts();
    co_await cosock::when_all(made.client.finish(), made.server.finish());
  };
  const int failures = test::fail_each_allocation([&] {
    try {
      cosock::loop loop;
      loop.run(talk());
      return true;
    } catch (const std::exception&) {
      return false;
    }
  });
  BOOST_TEST(failures > 20);
}

/// Four loops, each with a server of its own and one context, which another thread reloads all the
/// time. Clients come back to any of them.
BOOST_AUTO_TEST_CASE(sessions_are_resumed_over_all_loops_during_reloads) {
  const test::alarm_clock guard;
  cosock::tls_server_context shared(test::identity_of(test::localhost()));
  std::atomic<bool> ends = false;
  std::atomic<int> resumed = 0;
  std::atomic<int> all = 0;
  std::thread reloading([&] {
    while (!ends) {
      shared.reload();
      std::this_thread::yield();
    }
  });
  const auto session = [&]() -> task<> {
    for (int i = 0; i != 30; ++i) {
      tls_pair made = co_await test::tls_over_memory(client_context(), shared);
      char byte[1];
      co_await made.server.send("!");
      co_await made.client.receive(byte);
      resumed += made.client.is_resumed();
      ++all;
    }
  };
  std::thread threads[4];
  for (std::thread& one : threads)
    one = std::thread([&] {
      cosock::loop loop;
      loop.run(session());
    });
  for (std::thread& one : threads) one.join();
  ends = true;
  reloading.join();
  // The first one of each loop has nothing to resume.
  BOOST_TEST(resumed >= all - 4);
}

}  // namespace
