// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/nursery.hpp>
#include <cosock/sync.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <array>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::error_code;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::error;
using cosock::nursery;
using cosock::shielded;
using cosock::task;
using cosock::with_deadline;
using cosock::with_grace;
using cosock::with_nursery;
using cosock::with_timeout;
using test::counted;
using test::forever;
using test::gate;
using test::is;
using test::settle;
using clock = std::chrono::steady_clock;

task<> wait_for_ever() {
  co_await forever();
}
task<int> give(int n) {
  co_return n;
}
task<int> give_later(int n) {
  co_await cosock::yield();
  co_return n;
}

task<int> give_after_ever() {
  co_await forever();
  co_return 1;
}

/// One way to wait for a gate with each function that may suspend.
struct kind {
  const char* name;
  task<> (*wait)(gate&);
  bool completes = true;  // once the gate is open
};

task<> in_sleep_for(gate&) {
  const counted local;
  co_await cosock::sleep_for(1h);
}
task<> in_sleep_until(gate&) {
  const counted local;
  co_await cosock::sleep_until(clock::now() + 1h);
}
task<> in_task(gate& g) {
  const counted local;
  co_await g.wait();
}
task<> in_timeout_of_task(gate& g) {
  const counted local;
  co_await with_timeout(1h, g.wait());
}
task<> in_timeout_of_operation(gate&) {
  const counted local;
  co_await with_timeout(1h, forever());
}
task<> in_deadline_of_task(gate& g) {
  const counted local;
  co_await with_deadline(clock::now() + 1h, g.wait());
}
task<> in_deadline_of_operation(gate&) {
  const counted local;
  co_await with_deadline(clock::now() + 1h, forever());
}
task<> in_scope(gate& g) {
  const counted local;
  cancel_scope scope;
  co_await scope.run(g.wait());
}
task<> in_scope_with_deadline(gate& g) {
  const counted local;
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1h);
  co_await scope.run(g.wait());
}
task<> in_body(gate& g) {
  const counted local;
  co_await with_nursery([&](nursery&) { return g.wait(); });
}
task<> in_child(gate& g) {
  const counted local;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([](gate& g) { return g.wait(); }, std::ref(g));
    co_return;
  });
}
task<> in_all(gate& g) {
  const counted local;
  co_await cosock::when_all(give(1), g.wait());
}
task<> in_all_of_vector(gate& g) {
  const counted local;
  std::vector<task<>> all;
  all.push_back(g.wait());
  co_await cosock::when_all(std::move(all));
}
task<> in_any(gate& g) {
  const counted local;
  co_await cosock::when_any(wait_for_ever(), g.wait(), forever());
}
task<> in_any_of_vector(gate& g) {
  const counted local;
  std::vector<task<>> any;
  any.push_back(wait_for_ever());
  any.push_back(g.wait());
  co_await cosock::when_any(std::move(any));
}
task<> in_result_of_task(gate& g) {
  const counted local;
  (co_await as_result(g.wait())).value();
}
task<> in_result_of_operation(gate&) {
  const counted local;
  (co_await as_result(forever())).value();
}
task<> in_no_grace(gate& g) {
  const counted local;
  co_await with_grace(0s, g.wait());
}
task<> in_everything(gate& g) {
  const counted local;
  co_await with_timeout(
      1h, with_nursery([&](nursery& n) -> task<> {
        cancel_scope scope;
        n.start(in_any, std::ref(g));
        (co_await as_result(scope.run(cosock::when_all(cosock::yield(), give_later(1))))).value();
      }));
}

task<> in_shield(gate& g) {
  const counted local;
  co_await shielded(g.wait());
}
task<> in_grace(gate& g) {
  const counted local;
  co_await with_grace(1h, g.wait());
}
task<> in_shielded_timeout(gate& g) {
  const counted local;
  co_await shielded(with_timeout(1h, g.wait()));
}

const std::vector<kind> cancellable = {
    {"task", in_task},
    {"sleep_for", in_sleep_for, false},
    {"sleep_until", in_sleep_until, false},
    {"with_timeout of a task", in_timeout_of_task},
    {"with_timeout of an operation", in_timeout_of_operation, false},
    {"with_deadline of a task", in_deadline_of_task},
    {"with_deadline of an operation", in_deadline_of_operation, false},
    {"cancel_scope::run", in_scope},
    {"cancel_scope::run with a deadline", in_scope_with_deadline},
    {"with_nursery, its body", in_body},
    {"with_nursery, its child", in_child},
    {"when_all", in_all},
    {"when_all of a vector", in_all_of_vector},
    {"when_any", in_any},
    {"when_any of a vector", in_any_of_vector},
    {"as_result of a task", in_result_of_task},
    {"as_result of an operation", in_result_of_operation, false},
    {"with_grace of nothing", in_no_grace},
    {"all of them", in_everything},
};

const std::vector<kind> protecting = {
    {"shielded", in_shield},
    {"with_grace", in_grace},
    {"shielded with_timeout", in_shielded_timeout},
};

std::vector<kind> all_kinds() {
  std::vector<kind> all = cancellable;
  all.insert(all.end(), protecting.begin(), protecting.end());
  return all;
}

task<> run_in(cancel_scope& scope, task<> work) {
  co_await scope.run(std::move(work));
}

/// Calls attempt(deadline) with deadlines farther and farther away, until it says that all was in
/// place before the deadline.
template <class F>
void before_a_deadline(F attempt) {
  for (auto after = 2ms; !attempt(clock::now() + after);) after *= 2;
}

}  // namespace

// Every function that may suspend

BOOST_AUTO_TEST_CASE(what_is_cancelled_before_it_starts_fails_at_once) {
  for (const kind& k : cancellable) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      cosock::loop loop;
      gate g;
      cancel_scope scope;
      scope.cancel();
      auto root = loop.start(run_in(scope, k.wait(g)));
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
      BOOST_TEST(counted::alive == before);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_cancelled_while_it_waits_ends_in_the_next_turn) {
  for (const kind& k : cancellable) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      cosock::loop loop;
      gate g;
      auto root = loop.start(k.wait(g));
      settle(loop);
      BOOST_TEST(!root.done());
      root.cancel();
      BOOST_TEST(!root.done());
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
      BOOST_TEST(counted::alive == before);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_completes_in_the_turn_of_its_cancellation_has_completed) {
  for (const kind& k : all_kinds()) {
    if (!k.completes) continue;
    BOOST_TEST_CONTEXT(k.name) {
      cosock::loop loop;
      gate g;
      auto root = loop.start(k.wait(g));
      settle(loop);
      BOOST_TEST(!root.done());
      g.open();
      root.cancel();
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_NO_THROW(root.result());
    }
  }
}

BOOST_AUTO_TEST_CASE(what_waits_completes_when_nothing_cancels_it) {
  for (const kind& k : all_kinds()) {
    if (!k.completes) continue;
    BOOST_TEST_CONTEXT(k.name) {
      cosock::loop loop;
      gate g;
      auto root = loop.start(k.wait(g));
      settle(loop);
      BOOST_TEST(!root.done());
      g.open();
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_NO_THROW(root.result());
    }
  }
}

BOOST_AUTO_TEST_CASE(what_waits_is_destroyed_with_its_loop) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      auto loop = std::make_unique<cosock::loop>();
      auto root = loop->start(k.wait(g));
      settle(*loop);
      BOOST_TEST(counted::alive > before);
      loop.reset();
      BOOST_TEST(counted::alive == before);
      BOOST_CHECK_THROW(root.result(), std::logic_error);
      root.cancel();
      g.open();
    }
  }
}

BOOST_AUTO_TEST_CASE(what_waits_is_destroyed_with_its_task) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      cosock::loop loop;
      gate g;
      {
        auto root = loop.start(k.wait(g));
        settle(loop);
        BOOST_TEST(counted::alive > before);
      }
      BOOST_TEST(counted::alive == before);
      g.open();
      settle(loop);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_was_cancelled_is_destroyed_before_its_turn_comes) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      cosock::loop loop;
      {
        auto root = loop.start(k.wait(g));
        settle(loop);
        root.cancel();
      }
      BOOST_TEST(counted::alive == before);
      settle(loop);
      gate again;
      auto other = std::make_unique<cosock::loop>();
      auto root = other->start(k.wait(again));
      settle(*other);
      root.cancel();
      other.reset();
      BOOST_TEST(counted::alive == before);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_completed_is_destroyed_before_its_turn_comes) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      cosock::loop loop;
      {
        auto root = loop.start(k.wait(g));
        settle(loop);
        g.open();
      }
      BOOST_TEST(counted::alive == before);
      settle(loop);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_never_had_a_turn_is_destroyed) {
  for (const kind& k : all_kinds()) {
    BOOST_TEST_CONTEXT(k.name) {
      const int before = counted::alive;
      gate g;
      cosock::loop loop;
      {
        auto root = loop.start(k.wait(g));
        root.cancel();
      }
      BOOST_TEST(counted::alive == before);
      settle(loop);
    }
  }
}

namespace {

task<> yield_once(bool& passed) {
  const counted local;
  co_await cosock::yield();
  passed = true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_before_it_starts) {
  bool passed = false;
  cosock::loop loop;
  auto root = loop.start(yield_once(passed));
  root.cancel();
  settle(loop);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_while_it_waits) {
  bool passed = false;
  cosock::loop loop;
  auto root = loop.start(yield_once(passed));
  loop.run_some();
  BOOST_TEST(!root.done());
  root.cancel();
  settle(loop);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_in_the_turn_in_which_it_would_go_on) {
  bool passed = false;
  cosock::loop loop;
  cosock::running<void>* second = nullptr;
  const auto canceller = [&]() -> task<> {
    co_await cosock::yield();
    second->cancel();
  };
  auto first = loop.start(canceller());
  auto yields = loop.start(yield_once(passed));
  second = &yields;
  settle(loop);
  BOOST_TEST(first.done());
  BOOST_CHECK_EXCEPTION(yields.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_destroyed_with_its_task_and_with_its_loop) {
  const int before = counted::alive;
  bool passed = false;
  auto loop = std::make_unique<cosock::loop>();
  {
    auto root = loop->start(yield_once(passed));
    loop->run_some();
    BOOST_TEST(counted::alive == before + 1);
  }
  BOOST_TEST(counted::alive == before);
  settle(*loop);
  auto root = loop->start(yield_once(passed));
  loop->run_some();
  loop.reset();
  BOOST_TEST(counted::alive == before);
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_sleep_is_cancelled_in_the_turn_in_which_it_expires) {
  before_a_deadline([](clock::time_point at) {
    cosock::loop loop;
    cosock::running<void>* sleeping = nullptr;
    const auto canceller = [&]() -> task<> {
      co_await cosock::sleep_until(at);
      sleeping->cancel();
    };
    const auto sleeper = [&]() -> task<> { co_await cosock::sleep_until(at); };
    auto first = loop.start(canceller());
    auto second = loop.start(sleeper());
    sleeping = &second;
    settle(loop);
    if (clock::now() >= at) return false;
    while (!second.done()) loop.run_some();
    BOOST_CHECK_EXCEPTION(second.result(), system_error, is(error::cancelled));
    return true;
  });
}

// Level-triggering

namespace {

task<int> count_failing_awaits(cancel_scope& scope) {
  scope.cancel();
  int failed = 0;
  for (int round = 0; round != 2; ++round) {
    for (const kind& k : cancellable) {
      gate g;
      try {
        co_await k.wait(g);
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

task<> enter_timeout(cancel_scope& s, bool& p) {
  co_await with_timeout(1h, cancel_and_wait(s, p));
}
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
task<> enter_no_grace(cancel_scope& s, bool& p) {
  co_await with_grace(0s, cancel_and_wait(s, p));
}
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

// Nested limits

namespace {

/// Notes the error and throws it on.
task<> noted(error_code& to, task<> of) {
  const auto result = co_await as_result(std::move(of));
  to = result.error();
  result.value();
}
task<> limited(std::chrono::nanoseconds limit) {
  co_await with_timeout(limit, forever());
}
task<> limited_until(clock::time_point at) {
  co_await with_deadline(at, forever());
}
task<> within(std::chrono::nanoseconds limit, task<> of) {
  co_await with_timeout(limit, std::move(of));
}

}  // namespace

COROUTINE_TEST_CASE(the_nearer_inner_limit_times_out_and_leaves_the_outer_one_alone) {
  error_code inner;
  bool went_on = false;
  const auto body = [&]() -> task<> {
    try {
      co_await noted(inner, limited(1ms));
    } catch (const system_error&) {
    }
    co_await cosock::sleep_for(1ms);
    went_on = true;
  };
  co_await with_timeout(1h, body());
  BOOST_TEST(inner == error::timed_out);
  BOOST_TEST(went_on);
}

COROUTINE_TEST_CASE(the_nearer_outer_limit_times_out_and_the_inner_one_is_cancelled) {
  error_code inner;
  error_code middle;
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, noted(middle, within(1h, noted(inner, limited(2h))))),
      system_error, is(error::timed_out));
  BOOST_TEST(inner == error::cancelled);
  BOOST_TEST(middle == error::cancelled);
}

COROUTINE_TEST_CASE(an_inner_limit_that_is_farther_changes_nothing) {
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, with_timeout(1h, forever())), system_error,
                        is(error::timed_out));
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, with_timeout(1ms, forever())), system_error,
                        is(error::timed_out));
}

BOOST_AUTO_TEST_CASE(of_two_limits_at_the_same_tick_the_outer_one_reports) {
  before_a_deadline([](clock::time_point at) {
    cosock::loop loop;
    error_code inner;
    const auto work = [&]() -> task<> {
      co_await with_deadline(at, noted(inner, limited_until(at)));
    };
    auto root = loop.start(work());
    settle(loop);
    if (clock::now() >= at) return false;
    while (!root.done()) loop.run_some();
    BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::timed_out));
    BOOST_TEST(inner == error::cancelled);
    return true;
  });
}

BOOST_AUTO_TEST_CASE(an_outer_cancellation_in_the_turn_of_a_time_out_is_a_cancellation) {
  before_a_deadline([](clock::time_point at) {
    cosock::loop loop;
    cancel_scope outer;
    error_code inner;
    const auto canceller = [&]() -> task<> {
      co_await cosock::sleep_until(at);
      outer.cancel();
    };
    auto first = loop.start(canceller());
    auto second = loop.start(run_in(outer, noted(inner, limited_until(at))));
    settle(loop);
    if (clock::now() >= at) return false;
    while (!second.done()) loop.run_some();
    BOOST_CHECK_EXCEPTION(second.result(), system_error, is(error::cancelled));
    BOOST_TEST(inner == error::cancelled);
    BOOST_TEST(outer.is_cancelled());
    BOOST_TEST(!outer.timed_out());
    return true;
  });
}

COROUTINE_TEST_CASE(an_outer_cancellation_is_not_taken_for_a_time_out) {
  cancel_scope outer;
  error_code inner;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await outer.run(within(1h, noted(inner, limited(2h)))), system_error,
                            is(error::cancelled));
    });
    co_await cosock::yield();
    outer.cancel();
  });
  BOOST_TEST(inner == error::cancelled);
}

COROUTINE_TEST_CASE(a_scope_that_was_cancelled_does_not_time_out_later) {
  cancel_scope scope;
  const auto work = [&]() -> task<> {
    scope.cancel();
    co_await shielded(cosock::sleep_for(3ms));
    co_await cosock::yield();
  };
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, scope.run(work())), system_error,
                        is(error::cancelled));
  scope.set_deadline(clock::now() + 1ms);
  BOOST_TEST(!scope.timed_out());
}

// The length of limits

COROUTINE_TEST_CASE(limits_of_any_length_are_taken) {
  using std::chrono::duration;
  BOOST_TEST(co_await with_timeout(std::chrono::hours::max(), give_later(1)) == 1);
  BOOST_TEST(co_await with_timeout(std::chrono::nanoseconds::max(), give_later(2)) == 2);
  BOOST_TEST(co_await with_timeout(std::chrono::milliseconds::max(), give_later(3)) == 3);
  const duration<double> infinite(std::numeric_limits<double>::infinity());
  BOOST_TEST(co_await with_timeout(infinite, give_later(4)) == 4);
  const duration<float, std::ratio<3600>> fraction(0.5f);
  BOOST_TEST(co_await with_timeout(fraction, give_later(5)) == 5);
  BOOST_TEST(co_await with_deadline(clock::time_point::max(), give_later(6)) == 6);
  BOOST_TEST(co_await with_timeout(std::chrono::hours::max(),
                                   with_timeout(std::chrono::nanoseconds::max(), give_later(7))) ==
             7);
}

COROUTINE_TEST_CASE(limits_in_the_past_have_passed) {
  using std::chrono::duration;
  const auto timed_out = is(error::timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(0s, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(-1ns, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(std::chrono::hours::min(), forever()), system_error,
                        timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(std::chrono::nanoseconds::min(), forever()),
                        system_error, timed_out);
  const duration<double> ages(-std::numeric_limits<double>::infinity());
  BOOST_CHECK_EXCEPTION(co_await with_timeout(ages, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::time_point::min(), forever()), system_error,
                        timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::time_point(), forever()), system_error,
                        timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_deadline(clock::now(), forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(0s, wait_for_ever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(0s, cosock::yield()), system_error, timed_out);
}

COROUTINE_TEST_CASE(a_task_that_never_waits_gives_its_value_after_its_limit) {
  BOOST_TEST(co_await with_timeout(0s, give(1)) == 1);
  BOOST_TEST(co_await with_deadline(clock::time_point::min(), give(2)) == 2);
}

COROUTINE_TEST_CASE(a_limit_is_never_early) {
  for (const auto limit : {1ms, 2ms, 5ms}) {
    const auto begun = clock::now();
    BOOST_CHECK_THROW(co_await with_timeout(limit, forever()), system_error);
    BOOST_TEST((clock::now() - begun >= limit));
    const auto at = clock::now() + limit;
    BOOST_CHECK_THROW(co_await with_deadline(at, wait_for_ever()), system_error);
    BOOST_TEST((clock::now() >= at));
  }
}

COROUTINE_TEST_CASE(the_time_of_a_limit_counts_from_the_await) {
  auto kept = with_timeout(20ms, forever());
  co_await cosock::sleep_for(3ms);
  const auto begun = clock::now();
  BOOST_CHECK_THROW(co_await std::move(kept), system_error);
  BOOST_TEST((clock::now() - begun >= 20ms));
}

// What passes through

namespace {

task<int> fail_after_cancellation(std::exception_ptr with) {
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  std::rethrow_exception(with);
  co_return 0;
}
task<int> complete_after_cancellation(int value) {
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  co_return value;
}
template <class E>
task<int> fail(E e) {
  co_await cosock::yield();
  throw e;
  co_return 0;
}

}  // namespace

COROUTINE_TEST_CASE(a_value_that_comes_all_the_same_is_given) {
  BOOST_TEST(co_await with_timeout(1ms, complete_after_cancellation(3)) == 3);
  BOOST_TEST(co_await with_timeout(0s, complete_after_cancellation(4)) == 4);
  cancel_scope scope;
  scope.cancel();
  BOOST_TEST(co_await scope.run(complete_after_cancellation(5)) == 5);
  cancel_scope late;
  late.set_deadline(clock::now() + 1ms);
  BOOST_TEST(co_await late.run(complete_after_cancellation(6)) == 6);
  BOOST_TEST(late.timed_out());
  BOOST_TEST(*co_await as_result(with_timeout(1ms, complete_after_cancellation(7))) == 7);
}

COROUTINE_TEST_CASE(errors_of_another_kind_pass_unchanged) {
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, fail(system_error(error::busy))), system_error,
                        is(error::busy));
  BOOST_CHECK_THROW(co_await with_timeout(1h, fail(std::runtime_error("x"))), std::runtime_error);
  BOOST_CHECK_THROW(co_await with_timeout(1h, fail(5)), int);
  cancel_scope scope;
  BOOST_CHECK_THROW(co_await scope.run(fail(5)), int);
  BOOST_CHECK_THROW(co_await shielded(fail(5)), int);
  BOOST_CHECK_THROW(co_await with_grace(1s, fail(5)), int);
}

COROUTINE_TEST_CASE(errors_of_another_kind_pass_unchanged_after_the_limit) {
  const auto busy = std::make_exception_ptr(system_error(error::busy));
  const auto text = std::make_exception_ptr(std::runtime_error("x"));
  const auto number = std::make_exception_ptr(5);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, fail_after_cancellation(busy)), system_error,
                        is(error::busy));
  BOOST_CHECK_THROW(co_await with_timeout(1ms, fail_after_cancellation(text)), std::runtime_error);
  BOOST_CHECK_THROW(co_await with_timeout(1ms, fail_after_cancellation(number)), int);
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1ms);
  BOOST_CHECK_THROW(co_await scope.run(fail_after_cancellation(number)), int);
  BOOST_TEST(scope.timed_out());
  const auto r = co_await as_result(with_timeout(1ms, fail_after_cancellation(busy)));
  BOOST_TEST(r.error() == error::busy);
  BOOST_CHECK_THROW(co_await as_result(with_timeout(1ms, fail_after_cancellation(number))), int);
}

COROUTINE_TEST_CASE(cancelled_without_a_cancellation_passes_as_cancelled) {
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, fail(system_error(error::cancelled))),
                        system_error, is(error::cancelled));
}

COROUTINE_TEST_CASE(a_transfer_error_keeps_its_count_when_it_becomes_a_time_out) {
  const auto partial = std::make_exception_ptr(cosock::transfer_error(error::cancelled, 17));
  const auto timed_out = [](const cosock::transfer_error& e) {
    return e.code() == error::timed_out && e.bytes_transferred() == 17;
  };
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, fail_after_cancellation(partial)),
                        cosock::transfer_error, timed_out);
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1h, with_timeout(1ms, fail_after_cancellation(partial))),
      cosock::transfer_error, timed_out);
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, with_timeout(1h, fail_after_cancellation(partial))),
      cosock::transfer_error, timed_out);
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1ms);
  BOOST_CHECK_EXCEPTION(co_await scope.run(fail_after_cancellation(partial)),
                        cosock::transfer_error, timed_out);
  const auto r = co_await as_result(with_timeout(1ms, fail_after_cancellation(partial)));
  BOOST_TEST(r.error() == error::timed_out);
}

namespace {

/// An error of a program's own.
class row_error final : public cosock::detailed_error {
 public:
  row_error(const boost::system::error_code& code, int row) : detailed_error(code), row(row) {}
  std::exception_ptr with_code(const boost::system::error_code& code) const override {
    return std::make_exception_ptr(row_error(code, row));
  }
  int row;
};

}  // namespace

COROUTINE_TEST_CASE(the_details_of_an_error_of_the_program_survive_a_time_out) {
  const auto in_row = std::make_exception_ptr(row_error(error::cancelled, 17));
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, fail_after_cancellation(in_row)), row_error,
      [](const row_error& e) { return e.code() == error::timed_out && e.row == 17; });
  const auto other = std::make_exception_ptr(row_error(error::busy, 17));
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, fail_after_cancellation(other)), row_error,
                        [](const row_error& e) { return e.code() == error::busy && e.row == 17; });
}

COROUTINE_TEST_CASE(a_transfer_error_of_a_cancellation_stays_one) {
  const auto partial = std::make_exception_ptr(cosock::transfer_error(error::cancelled, 17));
  cancel_scope scope;
  scope.cancel();
  const auto cancelled = [](const cosock::transfer_error& e) {
    return e.code() == error::cancelled && e.bytes_transferred() == 17;
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_timeout(1h, fail_after_cancellation(partial))),
                        cosock::transfer_error, cancelled);
}

COROUTINE_TEST_CASE(several_errors_are_all_kept_when_the_limit_passes_meanwhile) {
  const auto slow = []() -> task<> {
    co_await shielded(cosock::sleep_for(5ms));
    throw std::runtime_error("slow");
  };
  const auto both = [](const cosock::multiple_errors& e) { return e.errors().size() == 2; };
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, cosock::when_all(fail(system_error(error::cancelled)), slow())),
      cosock::multiple_errors, both);
}

COROUTINE_TEST_CASE(results_of_every_type_pass_through) {
  int target = 1;
  const auto reference = [&]() -> task<int&> { co_return target; };
  const auto owner = []() -> task<std::unique_ptr<int>> {
    co_await cosock::yield();
    co_return std::make_unique<int>(2);
  };
  BOOST_TEST(&co_await with_timeout(1h, reference()) == &target);
  BOOST_TEST(&co_await shielded(reference()) == &target);
  cancel_scope scope;
  BOOST_TEST(&co_await scope.run(reference()) == &target);
  BOOST_TEST(*co_await with_timeout(1h, owner()) == 2);
  BOOST_TEST(*co_await shielded(owner()) == 2);
  BOOST_TEST(*co_await with_deadline(clock::now() + 1h, with_timeout(1h, owner())) == 2);
  static_assert(std::is_same_v<decltype(with_timeout(1h, reference()).result()), int&>);
  static_assert(std::is_void_v<decltype(with_timeout(1h, wait_for_ever()).result())>);
}

// Around everything

COROUTINE_TEST_CASE(a_limit_goes_around_anything) {
  const auto timed_out = is(error::timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, wait_for_ever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, with_nursery([](nursery&) { return wait_for_ever(); })),
      system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, with_nursery([](nursery& n) -> task<> {
                                                n.start(wait_for_ever);
                                                co_return;
                                              })),
                        system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, cosock::when_all(forever(), give(1))),
                        system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, cosock::when_any(forever(), wait_for_ever())),
                        system_error, timed_out);
  cancel_scope scope;
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, scope.run(forever())), system_error, timed_out);
  BOOST_TEST(scope.is_cancelled());
  BOOST_TEST(!scope.timed_out());
}

COROUTINE_TEST_CASE(a_limit_inside_as_result_is_a_time_out) {
  const auto of_operation = co_await as_result(with_timeout(1ms, forever()));
  BOOST_TEST(of_operation.error() == error::timed_out);
  const auto of_task = co_await as_result(with_timeout(1ms, give_after_ever()));
  BOOST_TEST(of_task.error() == error::timed_out);
  const auto of_nursery =
      co_await as_result(with_timeout(1ms, with_nursery([](nursery&) { return wait_for_ever(); })));
  BOOST_TEST(of_nursery.error() == error::timed_out);
  const auto of_all = co_await as_result(with_timeout(1ms, cosock::when_all(forever(), give(1))));
  BOOST_TEST(of_all.error() == error::timed_out);
  const auto of_nested = co_await as_result(with_timeout(1h, with_timeout(1ms, forever())));
  BOOST_TEST(of_nested.error() == error::timed_out);
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1ms);
  const auto of_scope = co_await as_result(scope.run(forever()));
  BOOST_TEST(of_scope.error() == error::timed_out);
}

COROUTINE_TEST_CASE(as_result_inside_a_limit_sees_the_cancellation) {
  const auto of_operation = co_await with_timeout(1ms, as_result(forever()));
  BOOST_TEST(of_operation.error() == error::cancelled);
  const auto of_task = co_await with_timeout(1ms, as_result(give_after_ever()));
  BOOST_TEST(of_task.error() == error::cancelled);
}

// shielded and with_grace

COROUTINE_TEST_CASE(what_is_shielded_runs_in_a_cancelled_scope) {
  cancel_scope scope;
  int value = 0;
  bool later = false;
  const auto body = [&]() -> task<> {
    scope.cancel();
    value = co_await shielded(give_later(3));
    co_await shielded(cosock::sleep_for(1ms));
    co_await shielded(cosock::yield());
    later = true;
    co_await cosock::yield();
    value = 0;
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::cancelled));
  BOOST_TEST(value == 3);
  BOOST_TEST(later);
}

BOOST_AUTO_TEST_CASE(what_is_shielded_goes_on_when_it_is_cancelled_while_it_waits) {
  for (const kind& k : protecting) {
    BOOST_TEST_CONTEXT(k.name) {
      cosock::loop loop;
      gate g;
      error_code after;
      const auto body = [&]() -> task<> {
        co_await k.wait(g);
        after = (co_await as_result(cosock::yield())).error();
      };
      auto root = loop.start(body());
      settle(loop);
      root.cancel();
      settle(loop);
      BOOST_TEST(!root.done());
      g.open();
      settle(loop);
      BOOST_REQUIRE(root.done());
      BOOST_CHECK_NO_THROW(root.result());
      BOOST_TEST(after == error::cancelled);
    }
  }
}

COROUTINE_TEST_CASE(a_limit_of_its_own_ends_what_is_shielded) {
  cancel_scope scope;
  error_code inside;
  error_code after;
  const auto body = [&]() -> task<> {
    scope.cancel();
    inside = (co_await as_result(shielded(with_timeout(1ms, forever())))).error();
    after = (co_await as_result(cosock::yield())).error();
  };
  co_await scope.run(body());
  BOOST_TEST(inside == error::timed_out);
  BOOST_TEST(after == error::cancelled);
}

COROUTINE_TEST_CASE(a_scope_inside_a_shield_can_be_cancelled) {
  cancel_scope inner;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await shielded(inner.run(forever())), system_error,
                            is(error::cancelled));
    });
    co_await cosock::yield();
    inner.cancel();
  });
}

COROUTINE_TEST_CASE(shields_nest) {
  cancel_scope scope;
  int reached = 0;
  const auto inner = [&]() -> task<> {
    co_await shielded(cosock::yield());
    ++reached;
    co_await cosock::yield();  // still inside the outer shield
    ++reached;
  };
  const auto body = [&]() -> task<> {
    scope.cancel();
    co_await shielded(shielded(inner()));
    co_await cosock::yield();
    ++reached;
  };
  BOOST_CHECK_THROW(co_await scope.run(body()), system_error);
  BOOST_TEST(reached == 2);
}

COROUTINE_TEST_CASE(a_shield_keeps_a_limit_out_and_its_value_counts) {
  const auto slow = []() -> task<int> {
    co_await cosock::sleep_for(5ms);
    co_return 8;
  };
  BOOST_TEST(co_await with_timeout(1ms, shielded(slow())) == 8);
}

COROUTINE_TEST_CASE(a_shield_inside_a_cancelled_task_is_for_clean_up) {
  std::vector<std::string> order;
  const auto worker = [&]() -> task<> {
    bool cancelled = false;
    try {
      co_await forever();
    } catch (const system_error&) {
      cancelled = true;
    }
    if (cancelled) co_await shielded(with_timeout(10s, cosock::sleep_for(1ms)));
    order.push_back("cleaned up");
    throw system_error(error::cancelled);
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(worker);
    co_await cosock::yield();
    n.cancel_all();
  });
  order.push_back("left");
  BOOST_TEST((order == std::vector<std::string>{"cleaned up", "left"}));
}

COROUTINE_TEST_CASE(a_grace_ends_some_time_after_the_cancellation) {
  cancel_scope scope;
  clock::time_point cancelled_at;
  error_code inside;
  const auto body = [&]() -> task<> {
    const auto result = co_await as_result(with_grace(5ms, forever()));
    inside = result.error();
    result.value();
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::cancelled));
      BOOST_TEST((clock::now() - cancelled_at >= 5ms));
    });
    co_await cosock::sleep_for(2ms);
    cancelled_at = clock::now();
    scope.cancel();
  });
  BOOST_TEST(inside == error::cancelled);
}

COROUTINE_TEST_CASE(a_grace_lets_what_has_begun_complete) {
  cancel_scope scope;
  BOOST_TEST(co_await scope.run(with_grace(1h, give_later(1))) == 1);
  scope.cancel();
  BOOST_TEST(co_await scope.run(with_grace(1h, give_later(2))) == 2);
  BOOST_TEST(co_await scope.run(with_grace(std::chrono::hours::max(), give_later(3))) == 3);
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_grace(2ms, forever())), system_error,
                        is(error::cancelled));
}

COROUTINE_TEST_CASE(no_grace_is_none) {
  cancel_scope scope;
  scope.cancel();
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_grace(0s, give_later(1))), system_error,
                        is(error::cancelled));
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_grace(-1s, cosock::yield())), system_error,
                        is(error::cancelled));
}

// cancel_scope

COROUTINE_TEST_CASE(a_scope_gives_what_runs_in_it) {
  cancel_scope scope;
  BOOST_TEST(co_await scope.run(give_later(4)) == 4);
  BOOST_TEST(!scope.is_cancelled());
  BOOST_TEST(!scope.timed_out());
  BOOST_TEST(co_await scope.run(give_later(5)) == 5);
}

COROUTINE_TEST_CASE(a_scope_is_cancelled_before_it_runs) {
  cancel_scope scope;
  scope.cancel();
  BOOST_TEST(scope.is_cancelled());
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::yield()), system_error, is(error::cancelled));
  BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::cancelled));
  BOOST_TEST(!scope.timed_out());
}

COROUTINE_TEST_CASE(a_scope_is_cancelled_while_it_runs_and_after) {
  cancel_scope scope;
  bool ended = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::cancelled));
      ended = true;
    });
    co_await cosock::yield();
    BOOST_TEST(!ended);
    scope.cancel();
    BOOST_TEST(!ended);
    BOOST_TEST(scope.is_cancelled());
    scope.cancel();
    co_await cosock::yield();
    BOOST_TEST(ended);
    scope.cancel();
  });
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::yield()), system_error, is(error::cancelled));
}

COROUTINE_TEST_CASE(a_scope_cancels_itself_from_inside) {
  cancel_scope scope;
  bool before = false;
  bool after = false;
  const auto body = [&]() -> task<> {
    scope.cancel();
    before = true;
    co_await cosock::yield();
    after = true;
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::cancelled));
  BOOST_TEST(before);
  BOOST_TEST(!after);
}

COROUTINE_TEST_CASE(a_cancelled_scope_does_not_cancel_what_is_outside) {
  cancel_scope inner;
  cancel_scope outer;
  const auto body = [&]() -> task<> {
    inner.cancel();
    BOOST_CHECK_THROW(co_await inner.run(cosock::yield()), system_error);
    co_await cosock::yield();
  };
  co_await outer.run(body());
  BOOST_TEST(!outer.is_cancelled());
}

COROUTINE_TEST_CASE(a_scope_inside_a_cancelled_one_is_cancelled_and_has_not_timed_out) {
  cancel_scope outer;
  cancel_scope inner;
  inner.set_deadline(clock::now() + 1h);
  outer.cancel();
  BOOST_CHECK_EXCEPTION(co_await outer.run(inner.run(forever())), system_error,
                        is(error::cancelled));
  BOOST_TEST(inner.is_cancelled());
  BOOST_TEST(!inner.timed_out());
}

COROUTINE_TEST_CASE(a_second_run_at_the_same_time_is_a_logic_error) {
  cancel_scope scope;
  bool first_ended = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::cancelled));
      first_ended = true;
    });
    co_await cosock::yield();
    BOOST_CHECK_THROW(co_await scope.run(cosock::yield()), std::logic_error);
    BOOST_CHECK_THROW(co_await scope.run(give(1)), std::logic_error);
    BOOST_CHECK_THROW(co_await as_result(scope.run(give(1))), std::logic_error);
    co_await cosock::yield();
    BOOST_TEST(!first_ended);
    scope.cancel();
  });
  BOOST_TEST(first_ended);
}

COROUTINE_TEST_CASE(a_scope_runs_again_after_a_run_that_failed) {
  cancel_scope scope;
  BOOST_CHECK_THROW(co_await scope.run(fail(5)), int);
  BOOST_TEST(co_await scope.run(give(6)) == 6);
}

COROUTINE_TEST_CASE(the_deadline_of_a_scope_times_it_out) {
  cancel_scope scope;
  const auto at = clock::now() + 2ms;
  scope.set_deadline(at);
  BOOST_TEST(!scope.timed_out());
  BOOST_CHECK_EXCEPTION(co_await scope.run(forever()), system_error, is(error::timed_out));
  BOOST_TEST((clock::now() >= at));
  BOOST_TEST(scope.timed_out());
  BOOST_TEST(scope.is_cancelled());
}

COROUTINE_TEST_CASE(a_deadline_in_the_past_lets_nothing_begin) {
  cancel_scope scope;
  scope.set_deadline(clock::now() - 1s);
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::yield()), system_error, is(error::timed_out));
  BOOST_TEST(scope.timed_out());
}

COROUTINE_TEST_CASE(a_deadline_that_was_cleared_in_time_is_none) {
  cancel_scope scope;
  scope.set_deadline(clock::now() - 1s);
  scope.clear_deadline();
  BOOST_TEST(co_await scope.run(give_later(1)) == 1);
}

namespace {

/// A loop that runs one task in a scope, and is at its first wait.
struct pending_scope {
  explicit pending_scope(clock::time_point deadline) {
    scope.set_deadline(deadline);
    settle(loop);
  }
  cancel_scope scope;
  cosock::loop loop;
  cosock::running<void> root = loop.start(run_in(scope, wait_for_ever()));
};

void wait_out(cosock::loop& loop, std::chrono::nanoseconds time) {
  loop.run([](std::chrono::nanoseconds time) -> task<> { co_await cosock::sleep_for(time); }(time));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_deadline_is_set_sooner_while_the_scope_runs) {
  pending_scope p(clock::now() + 1h);
  BOOST_TEST(!p.root.done());
  p.scope.set_deadline(clock::now() + 1ms);
  while (!p.root.done()) p.loop.run_some();
  BOOST_CHECK_EXCEPTION(p.root.result(), system_error, is(error::timed_out));
  BOOST_TEST(p.scope.timed_out());
}

BOOST_AUTO_TEST_CASE(a_deadline_set_into_the_past_counts_at_once) {
  pending_scope p(clock::now() + 1h);
  p.scope.set_deadline(clock::now());
  BOOST_TEST(p.scope.is_cancelled());
  BOOST_TEST(!p.root.done());
  settle(p.loop);
  BOOST_REQUIRE(p.root.done());
  BOOST_CHECK_EXCEPTION(p.root.result(), system_error, is(error::timed_out));
}

BOOST_AUTO_TEST_CASE(a_deadline_is_set_later_while_the_scope_runs) {
  before_a_deadline([](clock::time_point at) {
    pending_scope p(at);
    p.scope.set_deadline(clock::now() + 1h);
    if (p.scope.is_cancelled()) return false;
    wait_out(p.loop, at - clock::now() + 3ms);
    BOOST_TEST(!p.root.done());
    BOOST_TEST(!p.scope.is_cancelled());
    p.scope.cancel();
    settle(p.loop);
    BOOST_CHECK_EXCEPTION(p.root.result(), system_error, is(error::cancelled));
    BOOST_TEST(!p.scope.timed_out());
    return true;
  });
}

BOOST_AUTO_TEST_CASE(a_deadline_is_cleared_while_the_scope_runs) {
  before_a_deadline([](clock::time_point at) {
    pending_scope p(at);
    p.scope.clear_deadline();
    if (p.scope.is_cancelled()) return false;
    wait_out(p.loop, at - clock::now() + 3ms);
    BOOST_TEST(!p.root.done());
    BOOST_TEST(!p.scope.is_cancelled());
    p.scope.set_deadline(clock::now() + 1ms);
    while (!p.root.done()) p.loop.run_some();
    BOOST_CHECK_EXCEPTION(p.root.result(), system_error, is(error::timed_out));
    return true;
  });
}

BOOST_AUTO_TEST_CASE(a_deadline_is_set_for_the_first_time_while_the_scope_runs) {
  pending_scope p(clock::time_point::max());
  BOOST_TEST(!p.root.done());
  p.scope.set_deadline(clock::now() + 1ms);
  while (!p.root.done()) p.loop.run_some();
  BOOST_CHECK_EXCEPTION(p.root.result(), system_error, is(error::timed_out));
}

COROUTINE_TEST_CASE(a_deadline_set_from_inside_before_the_first_wait_counts) {
  cancel_scope scope;
  const auto body = [&]() -> task<> {
    scope.set_deadline(clock::now() + 1ms);
    co_await forever();
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(body()), system_error, is(error::timed_out));
  cancel_scope past;
  bool passed = false;
  const auto late = [&]() -> task<> {
    past.set_deadline(clock::now());
    co_await cosock::yield();
    passed = true;
  };
  BOOST_CHECK_EXCEPTION(co_await past.run(late()), system_error, is(error::timed_out));
  BOOST_TEST(!passed);
}

// Other threads

BOOST_AUTO_TEST_CASE(a_scope_is_cancelled_from_another_thread_through_the_loop) {
  for (int i = 0; i != 20; ++i) {
    cosock::loop loop;
    cancel_scope scope;
    auto root = loop.start(run_in(scope, wait_for_ever()));
    if (i % 2 == 0) settle(loop);
    std::thread other([&] { loop.post([&scope] { scope.cancel(); }); });
    while (!root.done()) loop.run_some();
    other.join();
    BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  }
}

// Many

COROUTINE_TEST_CASE(a_hundred_thousand_deadlines_are_pending_and_go_away) {
  constexpr int many = 100'000;
  int cancelled = 0;
  const auto child = [&](int i) -> task<> {
    const auto r = co_await as_result(
        with_timeout(1h + std::chrono::milliseconds(i % 997), with_timeout(2h, forever())));
    if (r.error() == error::cancelled) ++cancelled;
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != many; ++i) n.start(child, i);
    co_await cosock::yield();
    BOOST_TEST(n.active() == static_cast<std::size_t>(many) + 1);
    n.cancel_all();
  });
  BOOST_TEST(cancelled == many);
}

COROUTINE_TEST_CASE(a_hundred_thousand_deadlines_expire) {
  constexpr int many = 100'000;
  int timed_out = 0;
  const auto child = [&](int i) -> task<> {
    const auto r =
        co_await as_result(with_timeout(std::chrono::microseconds(1 + i % 5000), forever()));
    if (r.error() == error::timed_out) ++timed_out;
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != many; ++i) n.start(child, i);
    co_return;
  });
  BOOST_TEST(timed_out == many);
}

COROUTINE_TEST_CASE(a_limit_that_reaches_a_grace_keeps_the_other_timers_of_a_late_loop) {
  bool woken = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([]() -> task<> {
      const auto r = co_await as_result(with_timeout(10ms, with_grace(20ms, forever())));
      BOOST_TEST(r.error() == error::timed_out);
    });
    n.start([&]() -> task<> {
      co_await cosock::sleep_for(15ms);
      woken = true;
    });
    n.start([]() -> task<> {
      std::this_thread::sleep_for(30ms);  // the loop is late: both timers are due when it looks
      co_return;
    });
    co_return;
  });
  BOOST_TEST(woken);
}

COROUTINE_TEST_CASE(limits_that_have_passed_let_the_others_have_their_turn) {
  cosock::event done;
  const auto past = std::chrono::steady_clock::now() - 1s;
  cosock::cancel_scope scope;
  scope.set_deadline(past);
  const auto a_task = [&]() -> task<> { co_await done.wait(); };
  for (int which = 0; which != 5; ++which) {
    done.reset();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await cosock::sleep_for(1ms);
        done.set();
      });
      while (!done.is_set()) {
        boost::system::error_code e;
        if (which == 0) e = (co_await as_result(with_timeout(0s, done.wait()))).error();
        if (which == 1) e = (co_await as_result(with_deadline(past, done.wait()))).error();
        if (which == 2) e = (co_await as_result(with_timeout(0s, a_task()))).error();
        if (which == 3) e = (co_await as_result(scope.run(done.wait()))).error();
        if (which == 4)
          e = (co_await as_result(with_timeout(1h, with_timeout(0s, done.wait())))).error();
        BOOST_TEST(e == error::timed_out);
      }
    });
  }
}

BOOST_AUTO_TEST_CASE(a_limit_that_has_passed_is_destroyed_while_it_lets_the_others_have_their_turn) {
  const test::alarm_clock guard;
  cosock::event never;
  for (const bool scoped : {false, true}) {
    cosock::cancel_scope scope;
    scope.set_deadline(std::chrono::steady_clock::time_point());
    const auto work = [&]() -> task<> {
      for (;;)
        if (scoped)
          static_cast<void>(co_await as_result(scope.run(never.wait())));
        else
          static_cast<void>(co_await as_result(with_timeout(0s, never.wait())));
    };
    {
      cosock::loop loop;
      auto running = loop.start(work());
      for (int i = 0; i != 10; ++i) loop.run_some();
      BOOST_TEST(!running.done());
    }
    cosock::loop loop;
    {
      auto running = loop.start(work());
      for (int i = 0; i != 10; ++i) loop.run_some();
    }
    BOOST_TEST(loop.run([&]() -> task<int> {
      BOOST_TEST((co_await as_result(scope.run(never.wait()))).error() == error::timed_out);
      co_return 1;
    }()) == 1);
  }
}
