// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Acceptors of local sockets: which connections they give, and how an accept ends.

#include <cosock/local.hpp>

#define BOOST_TEST_MODULE local_accept
#include "local_fixture.hpp"

#include <memory>
#include <stdexcept>
#include <vector>

namespace {

using namespace test;
using cosock::cancel_scope;
using cosock::local_acceptor;
using cosock::local_pair;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::loop;

}  // namespace

BOOST_AUTO_TEST_SUITE(accepting)

COROUTINE_TEST_CASE(both_types_of_acceptor_accept) {
  const temporary_folder folder;
  local_acceptor streams(folder.at("stream"));
  auto a = co_await connect_over(streams);
  co_await round_trip(a.client, a.server);
  BOOST_TEST(a.server.local_endpoint() == folder.at("stream"));
  local_acceptor<local_seqpacket_socket> messages(folder.at("messages"));
  auto b = co_await connect_over(messages);
  co_await round_trip(b.client, b.server);
  for (const int fd :
       {streams.native_handle(), messages.native_handle(), a.client.native_handle(),
        a.server.native_handle(), b.client.native_handle(), b.server.native_handle()})
    BOOST_TEST(is_close_on_exec(fd));
}

COROUTINE_TEST_CASE(an_accept_ends_with_its_acceptor) {
  for (const char how : {'c', 'd', 'm'}) {
    BOOST_TEST_INFO_SCOPE(how);
    auto acceptor = std::make_unique<local_acceptor<>>(local_endpoint());
    pending_op accept;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, accept, [&] { return acceptor->accept(); });
      co_await let_others_run();
      BOOST_TEST(!accept.done);
      BOOST_TEST((co_await outcome_of(acceptor->accept())).is(cosock::error::busy));
      BOOST_TEST(!accept.done);
      if (how == 'c') acceptor->close();
      if (how == 'd') acceptor.reset();
      if (how == 'm') *acceptor = local_acceptor();
    });
    BOOST_TEST(accept.result.is(cosock::error::closed));
    if (acceptor) BOOST_TEST((co_await outcome_of(acceptor->accept())).is(cosock::error::closed));
  }
  local_acceptor none;
  BOOST_TEST(!none.is_open());
  BOOST_TEST(none.native_handle() == -1);
  BOOST_TEST((co_await outcome_of_accept(none)).is(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)none.local_endpoint(); }) == code(cosock::error::closed));
}

COROUTINE_TEST_CASE(a_released_acceptor_keeps_its_file_and_can_be_adopted) {
  const temporary_folder folder;
  local_acceptor acceptor(folder.at("socket"));
  const int fd = acceptor.release();
  BOOST_TEST(!acceptor.is_open());
  BOOST_TEST(acceptor.release() == -1);
  BOOST_TEST(thrown_by([&] { acceptor.set_backlog(1); }) == code(cosock::error::closed));
  {
    local_acceptor back = local_acceptor<>::adopt(fd);
    back.set_backlog(5);
    BOOST_TEST(back.local_endpoint() == folder.at("socket"));
    auto c = co_await connect_over(back);
    co_await round_trip(c.client, c.server);
  }
  BOOST_TEST(exists(folder / "socket"));
}

COROUTINE_TEST_CASE(what_does_not_listen_is_not_adopted_as_an_acceptor) {
  const int stream = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  BOOST_TEST(thrown_by([&] { (void)local_acceptor<>::adopt(stream); }) == system_code(EINVAL));
  BOOST_TEST(::fcntl(stream, F_GETFD) == -1);
  local_acceptor<local_seqpacket_socket> messages((local_endpoint()));
  const int fd = messages.release();
  BOOST_TEST(thrown_by([&] { (void)local_acceptor<>::adopt(fd); }) == system_code(EPROTOTYPE));
  co_return;
}

COROUTINE_TEST_CASE(an_accept_goes_on_when_its_acceptor_moves) {
  auto acceptor = std::make_unique<local_acceptor<>>(local_endpoint());
  const local_endpoint at = acceptor->local_endpoint();
  pending_op accept;
  local_acceptor moved;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return acceptor->accept(); });
    co_await let_others_run();
    moved = std::move(*acceptor);
    acceptor.reset();
    raw_local client;
    BOOST_REQUIRE(client.connect(at) == 0);
    co_await ended(accept);
  });
  BOOST_TEST(!accept.result.error);
}

COROUTINE_TEST_CASE(a_cancelled_accept_loses_no_connection) {
  local_acceptor acceptor{local_endpoint()};
  const std::size_t before = open_descriptors();
  auto [told, teller] = local_pair();
  int made = 0;
  int accepted = 0;
  int cancelled = 0;
  for (int round = 0; round != 600; ++round) {
    cancel_scope scope;
    const auto connect = [&] {
      raw_local client;
      BOOST_REQUIRE(client.connect(acceptor.local_endpoint()) == 0);
      ++made;
    };
    const auto cancel_when_told = [&]() -> task<> {
      char byte[1];
      co_await told.receive(byte);
      scope.cancel();
    };
    if (round % 6 == 5) scope.cancel();
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const outcome o = co_await outcome_of(scope.run(acceptor.accept()));
        if (o.error) BOOST_REQUIRE(o.is(cosock::error::cancelled));
        ++(o.error ? cancelled : accepted);
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
          co_await teller.send("!");
          connect();
          break;
        case 3:
          n.start(cancel_when_told);
          co_await let_others_run();
          connect();
          co_await teller.send("!");
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
  BOOST_TEST(accepted != 0);
  for (; accepted < made; ++accepted) (void)co_await acceptor.accept();
  pending_op none_left;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, none_left, [&] { return acceptor.accept(); });
    co_await let_others_run();
    BOOST_TEST(!none_left.done);
    n.cancel();
  });
  BOOST_TEST(open_descriptors() == before + 2);
}

COROUTINE_TEST_CASE(accepting_goes_on_after_the_process_had_too_many_files_open) {
  local_acceptor acceptor{local_endpoint()};
  std::vector<raw_local> clients;
  pending_op waiting;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, waiting, [&] { return acceptor.accept(); });
    co_await let_others_run();
    for (int i = 0; i != 3; ++i)
      BOOST_REQUIRE(clients.emplace_back().connect(acceptor.local_endpoint()) == 0);
    outcome refused[3];
    {
      const no_more_descriptors full;
      co_await ended(waiting);
      for (outcome& o : refused) o = co_await outcome_of_accept(acceptor);
    }
    for (const outcome& o : refused) BOOST_TEST(o.error == errc::too_many_files_open);
  });
  BOOST_TEST(waiting.result.error == errc::too_many_files_open);
  for (int i = 0; i != 3; ++i) (void)co_await acceptor.accept();
}

COROUTINE_TEST_CASE(a_connection_that_has_gone_is_accepted_and_at_its_end) {
  local_acceptor acceptor{local_endpoint()};
  for (const bool with_data : {false, true}) {
    {
      raw_local gone;
      BOOST_REQUIRE(gone.connect(acceptor.local_endpoint()) == 0);
      if (with_data) BOOST_REQUIRE(gone.send("last"));
    }
    local_stream_socket s = co_await acceptor.accept();
    char into[8];
    if (with_data) BOOST_TEST(co_await s.receive(into) == 4u);
    BOOST_TEST(co_await s.receive(into) == 0u);
    BOOST_TEST(is_broken((co_await outcome_of(s.send("x"))).error));
  }
}

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_pending_accept) {
  for (const bool task_first : {false, true}) {
    const temporary_folder folder;
    auto on = std::make_unique<loop>();
    local_acceptor acceptor(*on, folder.at("s"));
    end_loop_under(std::move(on), task_first, [&] { return outcome_of_accept(acceptor); });
    BOOST_TEST(!acceptor.is_open());
    BOOST_TEST(!exists(folder / "s"));
    loop other;
    BOOST_TEST(other.run(outcome_of_accept(acceptor)).is(cosock::error::closed));
  }
}

BOOST_AUTO_TEST_CASE(an_acceptor_of_another_loop_is_refused) {
  loop one;
  loop two;
  local_acceptor acceptor(one, local_endpoint());
  BOOST_TEST(two.run(outcome_of_accept(acceptor)).is(cosock::error::wrong_loop));
  const std::size_t before = open_descriptors();
  BOOST_CHECK_THROW(local_acceptor{local_endpoint()}, std::logic_error);
  BOOST_CHECK_THROW((void)local_pair(), std::logic_error);
  BOOST_CHECK_THROW((void)local_stream_socket::adopt(::dup(0)), std::logic_error);
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_SUITE_END()
