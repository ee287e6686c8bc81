// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A client that is stopped, cancelled or destroyed at any step.

#include <cosock/reconnect.hpp>

#define BOOST_TEST_MODULE reconnect_stop
#include "loop_endings.hpp"
#include "manual_event.hpp"
#include "reconnect_machine.hpp"
#include "stream_fixture.hpp"

#include <memory>
#include <stdexcept>

namespace {

using namespace std::chrono_literals;
using cosock::error;
using cosock::reconnecting_client_options;
using cosock::retry_event;
using cosock::session_result;
using cosock::task;
using test::ended_with;
using test::fail;
using test::instance_counter;
using test::line;
using test::machine;
using test::place;
using test::run_until_idle;
using test::system_code;
using test::virtual_loop;

}  // namespace

BOOST_AUTO_TEST_CASE(cancelled_at_every_step_it_ends_and_closes) {
  for (const place where : {place::connecting, place::in_session, place::waiting}) {
    for (const bool timed : {false, true}) {
      machine m;
      m.stands = where;
      virtual_loop loop;
      cosock::cancel_scope scope;
      auto running = loop.start([](cosock::cancel_scope& scope, machine& m) -> task<> {
        co_await scope.run(m.run());
      }(scope, m));
      run_until_idle(loop);
      BOOST_TEST(!running.done());
      BOOST_TEST(instance_counter::alive == (where == place::in_session ? 1 : 0));
      if (timed)
        scope.set_deadline(loop.now());
      else
        scope.cancel();
      run_until_idle(loop);
      BOOST_TEST(ended_with(running, timed ? error::timed_out : error::cancelled));
      BOOST_TEST(instance_counter::alive == 0);
      BOOST_TEST(m.connects == 1);
      BOOST_TEST(m.waits.size() == (where == place::waiting ? 1u : 0u));
    }
  }
}

BOOST_AUTO_TEST_CASE(stopped_at_every_step_it_returns) {
  for (const place where : {place::connecting, place::in_session, place::waiting}) {
    machine m;
    m.stands = where;
    virtual_loop loop;
    auto running = loop.start(m.run());
    run_until_idle(loop);
    BOOST_TEST(!running.done());
    m.client.stop();
    m.client.stop();
    BOOST_TEST(!running.done());
    run_until_idle(loop);
    BOOST_REQUIRE(running.done());
    running.result();
    BOOST_TEST(instance_counter::alive == 0);
    BOOST_TEST(m.client.is_stopped());
    loop.run(m.run());  // for good
    BOOST_TEST(m.connects == 1);
  }
}

BOOST_AUTO_TEST_CASE(what_is_stopped_and_cancelled_throws_cancelled) {
  for (const bool before : {false, true}) {
    machine m;
    m.stands = place::in_session;
    virtual_loop loop;
    if (before) m.client.stop();
    auto running = loop.start(m.run());
    if (!before) {
      run_until_idle(loop);
      m.client.stop();
    }
    running.cancel();
    run_until_idle(loop);
    BOOST_TEST(ended_with(running, error::cancelled));
  }
}

BOOST_AUTO_TEST_CASE(cancelled_before_it_starts_it_tries_nothing) {
  machine m;
  virtual_loop loop;
  auto running = loop.start(m.run());
  running.cancel();
  run_until_idle(loop);
  BOOST_TEST(ended_with(running, error::cancelled));
  BOOST_TEST(m.connects == 0);
}

BOOST_AUTO_TEST_CASE(a_connection_that_was_made_although_it_is_cancelled_is_closed) {
  machine m;
  test::manual_event gate;
  virtual_loop loop;
  auto running = loop.start(m.client.run(
      [&]() -> task<line> {
        co_await gate.wait();
        co_return co_await m.connect();
      },
      [&](line& l) { return m.session(l); }));
  run_until_idle(loop);
  gate.set();
  running.cancel();
  run_until_idle(loop);
  BOOST_TEST(ended_with(running, error::cancelled));
  BOOST_TEST(m.connects == 1);
  BOOST_TEST(m.sessions == 0);
  BOOST_TEST(instance_counter::alive == 0);
}

BOOST_AUTO_TEST_CASE(what_ends_in_a_cancelled_scope_is_not_retried_but_done_counts) {
  for (const int ends : {0, 1, 2, 3}) {
    int notices = 0;
    auto observe = [&](const retry_event&) { ++notices; };
    reconnecting_client_options options;
    options.on_retry = observe;
    machine m(options);
    virtual_loop loop;
    cosock::cancel_scope scope;
    m.in_session = [&] {
      scope.cancel();
      if (ends == 1) fail(system_code(ECONNRESET));
      if (ends == 3) throw std::runtime_error("a bug");
      return ends == 2 ? session_result::done : session_result::reconnect;
    };
    auto running = loop.start([](cosock::cancel_scope& scope, machine& m) -> task<> {
      co_await scope.run(m.run());
    }(scope, m));
    run_until_idle(loop);
    BOOST_REQUIRE(running.done());
    if (ends == 2)
      running.result();
    else if (ends == 3)
      BOOST_CHECK_THROW(running.result(), std::runtime_error);
    else
      BOOST_TEST(ended_with(running, error::cancelled));
    BOOST_TEST(notices == 0);
    BOOST_TEST(m.connects == 1);
  }
}

BOOST_AUTO_TEST_CASE(the_observer_and_the_session_may_stop_it) {
  for (const bool session : {false, true}) {
    machine* running = nullptr;
    auto observe = [&](const retry_event&) { running->client.stop(); };
    reconnecting_client_options options;
    options.on_retry = observe;
    machine m(options);
    running = &m;
    m.in_session = [&] {
      if (session) m.client.stop();
      return session_result::reconnect;
    };
    virtual_loop loop;
    loop.run(m.run());
    BOOST_TEST(m.sessions == 1);
  }
}

BOOST_AUTO_TEST_CASE(a_session_that_cancels_itself_is_followed_by_the_next) {
  machine m;
  virtual_loop loop;
  std::optional<cosock::cancel_scope> scope;
  auto running = loop.start(
      m.client.run([&] { return m.connect(); },
                   [&](line&) -> task<> { co_await scope.emplace().run(test::forever()); }));
  run_until_idle(loop);
  scope->cancel();
  run_until_idle(loop);
  BOOST_TEST(m.connects == 1);
  loop.advance(1s);
  BOOST_TEST(!running.done());
  BOOST_TEST(m.connects == 2);
  BOOST_TEST(m.waits.size() == 1u);
}

BOOST_AUTO_TEST_CASE(it_runs_once_at_a_time) {
  machine m;
  m.stands = place::in_session;
  virtual_loop loop;
  auto running = loop.start(m.run());
  run_until_idle(loop);
  BOOST_CHECK_THROW(loop.run(m.run()), std::logic_error);
  BOOST_TEST(!running.done());
  m.client.stop();
  run_until_idle(loop);
  running.result();
}

BOOST_AUTO_TEST_CASE(destroyed_at_every_step_it_leaves_nothing) {
  for (const place where : {place::connecting, place::in_session, place::waiting}) {
    machine m;
    m.stands = where;
    for (const bool with_loop : {false, true}) {
      auto loop = std::make_unique<virtual_loop>();
      auto task = loop->start(m.run());
      run_until_idle(*loop);
      BOOST_TEST(!task.done());
      if (with_loop) {
        loop.reset();
        BOOST_CHECK_THROW(task.result(), std::logic_error);
        BOOST_TEST(instance_counter::alive == 0);
      }
    }
    BOOST_TEST(instance_counter::alive == 0);
    BOOST_TEST(m.connects == 2);
    m.client.stop();  // it runs no more, and can be told so
  }
}
