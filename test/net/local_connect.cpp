// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// connect() to local endpoints that refuse, are full or are cancelled.

#include <cosock/local.hpp>

#define BOOST_TEST_MODULE local_connect
#include "local_fixture.hpp"

#include <cosock/when.hpp>

#include <memory>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::cancel_scope;
using cosock::local_acceptor;
using cosock::local_acceptor_options;
using cosock::local_seqpacket_socket;
using cosock::loop;

}  // namespace

BOOST_AUTO_TEST_SUITE(connecting)

COROUTINE_TEST_CASE(a_connection_that_cannot_be_made_names_the_endpoint) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  leave_stale(folder.at("stale"));
  make_file(folder / "file");
  const local_acceptor acceptor(folder.at("stream"));
  const auto refuses = [&](local_endpoint to, errc::errc_t condition) -> task<> {
    BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(to), system_error,
                          says(condition, to.to_string()));
  };
  co_await refuses(folder.at("none"), errc::no_such_file_or_directory);
  co_await refuses(folder.at("stale"), errc::connection_refused);
  co_await refuses(folder.at("file"), errc::connection_refused);
  co_await refuses(local_endpoint::abstract("cosock-test-none"), errc::connection_refused);
  co_await refuses(local_endpoint(), errc::invalid_argument);
  BOOST_CHECK_EXCEPTION((void)co_await cosock::connect<local_seqpacket_socket>(folder.at("stream")),
                        system_error, says(errc::wrong_protocol_type, folder / "stream"));
  BOOST_TEST(open_descriptors() == before + 1);
  outcome without_descriptors;
  {
    const no_more_descriptors full;
    without_descriptors = co_await outcome_of_connect(folder.at("stream"));
  }
  BOOST_TEST(without_descriptors.error == errc::too_many_files_open);
}

namespace {

/// A listener whose backlog is full.
struct full_listener {
  explicit full_listener(const local_endpoint& at) : acceptor(at, options()) {
    BOOST_REQUIRE(fills_it.connect(at) == 0);
  }
  static local_acceptor_options options() {
    local_acceptor_options o;
    o.backlog = 0;
    return o;
  }
  local_acceptor<> acceptor;
  raw_local fills_it;
};

}  // namespace

COROUTINE_TEST_CASE(a_connect_waits_for_room_in_the_backlog) {
  const temporary_folder folder;
  full_listener full(folder.at("s"));
  pending_op connecting;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, connecting, [&] { return outcome_of_connect(folder.at("s")); });
    co_await cosock::sleep_for(4ms);  // it has tried again by then
    BOOST_TEST(!connecting.done);
    (void)co_await full.acceptor.accept();
    co_await ended(connecting);
  });
  BOOST_TEST(!connecting.result.error);
  // One that waits learns that there is nothing to wait for any more.
  pending_op in_vain;  // what has connected fills the backlog
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, in_vain, [&] { return outcome_of_connect(folder.at("s")); });
    co_await let_others_run();
    BOOST_TEST(!in_vain.done);
    full.acceptor.close();
  });
  BOOST_TEST((in_vain.result.error == errc::connection_refused ||
              in_vain.result.error == errc::no_such_file_or_directory));
}

COROUTINE_TEST_CASE(a_connect_that_waits_is_cancelled_and_closes_its_descriptor) {
  const temporary_folder folder;
  const full_listener full(folder.at("s"));
  const std::size_t before = open_descriptors();
  for (const bool by_limit : {false, true}) {
    cancel_scope scope;
    pending_op connecting;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, connecting, [&] { return scope.run(cosock::connect(folder.at("s"))); });
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
  cancel_scope cancelled;
  cancelled.cancel();
  BOOST_TEST((co_await outcome_of(cancelled.run(cosock::connect(folder.at("s")))))
                 .is(cosock::error::cancelled));
}

COROUTINE_TEST_CASE(a_connect_cancelled_before_it_starts_asks_nobody) {
  local_acceptor acceptor{local_endpoint()};
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

/// Room and cancellation come at the same time, in every order.
COROUTINE_TEST_CASE(a_connect_cancelled_in_the_turn_in_which_it_completes_leaks_nothing) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  int connected = 0;
  int cancelled = 0;
  for (int round = 0; round != 40; ++round) {
    {
      full_listener full(folder.at("s"));
      cancel_scope scope;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        n.start([&]() -> task<> {
          const auto result =
              co_await cosock::as_result(scope.run(cosock::connect(folder.at("s"))));
          if (result.has_value()) {
            BOOST_TEST(result->is_open());
            ++connected;
          } else {
            BOOST_REQUIRE(result.error() == code(cosock::error::cancelled));
            ++cancelled;
          }
        });
        co_await cosock::yield();
        (void)co_await full.acceptor.accept();
        co_await cosock::sleep_for(std::chrono::microseconds(800 + 10 * round));
        scope.cancel();
      });
    }
    BOOST_REQUIRE(open_descriptors() == before);
  }
  BOOST_TEST(connected + cancelled == 40);
}

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_connect_that_waits) {
  const temporary_folder folder;
  loop other;
  auto task_of_listener = [](const local_endpoint& at) -> task<std::unique_ptr<full_listener>> {
    co_return std::make_unique<full_listener>(at);
  };
  const auto full = other.run(task_of_listener(folder.at("s")));
  auto on = std::make_unique<loop>();
  const std::size_t before = open_descriptors();
  for (const bool task_first : {false, true}) {
    end_loop_under(std::make_unique<loop>(), task_first,
                   [&] { return outcome_of_connect(folder.at("s")); });
    BOOST_TEST(open_descriptors() == before);
  }
}

/// Each of them completes at once.
COROUTINE_TEST_CASE(many_connects_in_a_row_let_others_have_their_turn) {
  bool over = false;
  int turns = 0;
  const auto connect = [&]() -> task<> {
    for (int i = 0; i != 2000; ++i)
      (void)co_await outcome_of_connect(local_endpoint::abstract("cosock-test-none"));
    over = true;
  };
  const auto turn = [&]() -> task<> {
    while (!over) {
      co_await cosock::yield();
      ++turns;
    }
  };
  co_await cosock::when_all(turn(), connect());
  BOOST_TEST(turns > 5);
}

BOOST_AUTO_TEST_SUITE_END()
