// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A cancellation lasts: it reaches what is awaited after it.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel_later_awaits
#include "manual_event.hpp"
#include "support.hpp"
#include "suspensions.hpp"

#include <cosock/connect.hpp>
#include <cosock/nursery.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <array>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::error_code;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::clock;
using cosock::error;
using cosock::nursery;
using cosock::task;
using cosock::with_deadline;
using cosock::with_grace;
using cosock::with_nursery;
using cosock::with_timeout;
using test::cancellable;
using test::forever;
using test::is;
using test::kind;

}  // namespace

// Level-triggering

namespace {

task<int> count_failing_awaits(cancel_scope& scope) {
  scope.cancel();
  int failed = 0;
  for (int round = 0; round != 2; ++round) {
    for (const kind& k : cancellable) {
      cosock::event e;
      try {
        co_await k.wait(e);
      } catch (const system_error& e) {
        if (e.code() == error::cancelled) ++failed;
      }
    }
    const auto yielded = co_await as_result(cosock::yield());
    if (yielded.error() == error::cancelled) ++failed;
    const auto past = co_await as_result(cosock::sleep_until(clock::now() - 1s));
    if (past.error() == error::cancelled) ++failed;
    const auto zero = co_await as_result(cosock::sleep_for(0s));
    if (zero.error() == error::cancelled) ++failed;
  }
  co_return failed;
}

}  // namespace

COROUTINE_TEST_CASE(after_a_cancellation_every_later_await_inside_fails) {
  cancel_scope scope;
  const auto expected = static_cast<int>(2 * (cancellable.size() + 3));
  BOOST_TEST(co_await scope.run(count_failing_awaits(scope)) == expected);
  co_await cosock::yield();  // outside of it nothing is cancelled
}

COROUTINE_TEST_CASE(after_a_time_out_every_later_await_inside_fails) {
  int failed = 0;
  const auto body = [&]() -> task<> {
    for (int i = 0; i != 3; ++i) {
      try {
        co_await forever();
      } catch (const system_error& e) {
        if (e.code() == error::cancelled) ++failed;
      }
    }
    co_await cosock::yield();
    ++failed;
  };
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, body()), system_error, is(error::timed_out));
  BOOST_TEST(failed == 3);
}

COROUTINE_TEST_CASE(in_a_cancelled_scope_socket_operations_fail_that_could_complete_at_once) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  const cosock::endpoint at = acceptor.local_endpoint();
  cosock::tcp_socket client = co_await cosock::connect(at);
  cosock::tcp_socket server = co_await acceptor.accept();
  const cosock::tcp_socket waiting = co_await cosock::connect(at);
  co_await client.send("abc");
  co_await server.wait_readable();

  std::array<char, 3> bytes{};
  std::vector<error_code> errors;
  cancel_scope scope;
  const auto body = [&]() -> task<> {
    scope.cancel();
    errors.push_back((co_await as_result(server.receive(bytes))).error());
    errors.push_back((co_await as_result(server.receive_exactly(bytes))).error());
    errors.push_back((co_await as_result(server.wait_readable())).error());
    errors.push_back((co_await as_result(server.wait_writable())).error());
    errors.push_back((co_await as_result(server.send("x"))).error());
    errors.push_back((co_await as_result(server.send_some("x"))).error());
    errors.push_back((co_await as_result(acceptor.accept())).error());
    errors.push_back((co_await as_result(cosock::connect(at))).error());
    errors.push_back((co_await as_result(cosock::connect("127.0.0.1", at.port()))).error());
  };
  co_await scope.run(body());
  BOOST_TEST(errors.size() == 9u);
  for (const error_code& e : errors) BOOST_TEST(e == error::cancelled);

  BOOST_TEST(co_await server.receive_exactly(bytes) == 3u);
  BOOST_TEST(std::string(bytes.data(), 3) == "abc");
  co_await server.send("d");
  BOOST_TEST(co_await client.receive(bytes) == 1u);
  BOOST_TEST(bytes[0] == 'd');
  const cosock::tcp_socket late = co_await acceptor.accept();
  BOOST_TEST((late.remote_endpoint() == waiting.local_endpoint()));
}

COROUTINE_TEST_CASE(a_limit_that_has_passed_sends_nothing_and_takes_nothing) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  cosock::tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  cosock::tcp_socket server = co_await acceptor.accept();
  co_await client.send("abc");
  co_await server.wait_readable();
  std::array<char, 8> bytes{};
  BOOST_CHECK_EXCEPTION(co_await with_timeout(0s, server.receive(bytes)), system_error,
                        is(error::timed_out));
  BOOST_CHECK_EXCEPTION(co_await with_timeout(-1s, server.send("x")), system_error,
                        is(error::timed_out));
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::now() - 1s, server.send("y")), system_error,
                        is(error::timed_out));
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::time_point::min(), server.receive(bytes)),
                        system_error, is(error::timed_out));
  BOOST_TEST(co_await with_timeout(1h, server.receive(bytes)) == 3u);
  co_await server.send("z");
  BOOST_TEST(co_await client.receive(bytes) == 1u);
  BOOST_TEST(bytes[0] == 'z');
}

// Before the first wait

namespace {

task<> cancel_and_wait(cancel_scope& scope, bool& passed) {
  scope.cancel();
  co_await forever();
  passed = true;
}

using entrance = task<> (*)(cancel_scope&, bool&);

task<> enter_timeout(cancel_scope& s, bool& p) { co_await with_timeout(1h, cancel_and_wait(s, p)); }
task<> enter_deadline(cancel_scope& s, bool& p) {
  co_await with_deadline(clock::now() + 1h, cancel_and_wait(s, p));
}
task<> enter_scope(cancel_scope& s, bool& p) {
  cancel_scope inner;
  co_await inner.run(cancel_and_wait(s, p));
}
task<> enter_nursery(cancel_scope& s, bool& p) {
  co_await with_nursery([&](nursery&) { return cancel_and_wait(s, p); });
}
task<> enter_child(cancel_scope& s, bool& p) {
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(cancel_and_wait, std::ref(s), std::ref(p));
    co_await forever();
  });
}
task<> enter_all(cancel_scope& s, bool& p) {
  co_await cosock::when_all(cancel_and_wait(s, p), forever());
}
task<> enter_any(cancel_scope& s, bool& p) {
  co_await cosock::when_any(forever(), cancel_and_wait(s, p));
}
task<> enter_no_grace(cancel_scope& s, bool& p) { co_await with_grace(0s, cancel_and_wait(s, p)); }
task<> enter_result(cancel_scope& s, bool& p) {
  (co_await as_result(with_timeout(1h, as_result(enter_scope(s, p))))).value().value();
}

}  // namespace

COROUTINE_TEST_CASE(cancelling_an_outer_scope_before_the_first_wait_reaches_inside) {
  for (const entrance enter : {enter_timeout, enter_deadline, enter_scope, enter_nursery,
                               enter_child, enter_all, enter_any, enter_no_grace, enter_result}) {
    cancel_scope scope;
    bool passed = false;
    BOOST_CHECK_EXCEPTION(co_await scope.run(enter(scope, passed)), system_error,
                          is(error::cancelled));
    BOOST_TEST(!passed);
  }
}
