// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Look-ups that are cancelled or destroyed while the name server is silent, or while it answers.

#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE resolve_cancel
#include "look_ups.hpp"
#include "manual_event.hpp"
#include "name_server.hpp"
#include "netns.hpp"

#include <cosock/run.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::resolve;
using cosock::reverse_resolve;
using cosock::task;
using cosock::task_handle;
using cosock::with_timeout;
using test::code_of;
using test::finish;
using test::joined;
using test::name_server;
using test::resolver_threads;
using test::silent_name_server;
using test::started;
using namespace std::chrono_literals;

using endpoints = std::vector<endpoint>;

namespace {

using pending = std::unique_ptr<task_handle<endpoints>>;

/// How long the function takes: the least of a few times, because the machine may be busy.
template <class F>
std::chrono::duration<double> time_of(F function) {
  std::chrono::duration<double> least = 1h;
  for (int i = 0; i != 5 && least > 10ms; ++i) least = std::min(least, function());
  return least;
}

std::chrono::duration<double> since(cosock::clock::time_point start) {
  return cosock::clock::now() - start;
}

}  // namespace

// A name server that says nothing.

NETWORK_TEST_CASE(a_cancelled_look_up_returns_at_once_from_a_silent_name_server) {
  silent_name_server silent;
  const auto taken = time_of([] {
    loop l;
    auto look_up = l.start(resolve("silent.test", 80));
    auto reverse = l.start(reverse_resolve(address::parse("192.0.2.1")));
    while (l.poll() != 0) continue;
    BOOST_TEST(!look_up.done());
    BOOST_TEST(!reverse.done());
    const auto begin = cosock::clock::now();
    look_up.cancel();
    reverse.cancel();
    finish(l, look_up);
    finish(l, reverse);
    const auto taken = since(begin);
    BOOST_TEST(code_of(look_up) == make_error_code(error::cancelled));
    BOOST_TEST(code_of(reverse) == make_error_code(error::cancelled));
    return taken;
  });
  BOOST_TEST(taken.count() < 0.050);
}

NETWORK_TEST_CASE(a_limit_ends_a_look_up_at_a_silent_name_server) {
  silent_name_server silent;
  const auto taken = time_of([] {
    loop l;
    const auto begin = cosock::clock::now();
    const auto result = l.run([]() -> task<cosock::result<endpoints>> {
      co_return co_await as_result(with_timeout(5ms, resolve("silent.test", 80)));
    }());
    const auto taken = since(begin);
    BOOST_TEST(result.error() == make_error_code(error::timed_out));
    BOOST_TEST(taken >= 5ms);
    return taken;
  });
  BOOST_TEST(taken.count() < 0.055);
}

NETWORK_TEST_CASE(a_loop_ends_at_once_while_the_name_server_is_silent) {
  silent_name_server silent;
  const auto taken = time_of([] {
    std::optional<loop> l(std::in_place);
    auto look_up = l->start(resolve("silent.test", 80));
    while (l->poll() != 0) continue;
    const auto begin = cosock::clock::now();
    l.reset();
    const auto taken = since(begin);
    BOOST_CHECK_THROW((void)look_up.result(), std::logic_error);
    return taken;
  });
  BOOST_TEST(taken.count() < 0.100);
}

NETWORK_TEST_CASE(run_ends_at_once_while_the_name_server_is_silent) {
  silent_name_server silent;
  static cosock::clock::time_point cancelled;
  const auto taken = time_of([] {
    const int status = cosock::run([]() -> task<int> {
      const auto result = co_await as_result(with_timeout(5ms, resolve("silent.test", 80)));
      BOOST_TEST(result.error() == make_error_code(error::timed_out));
      cancelled = cosock::clock::now();
      co_return 7;
    }());
    BOOST_TEST(status == 7);
    return since(cancelled);
  });
  BOOST_TEST(taken.count() < 0.100);
}

NETWORK_TEST_CASE(a_process_ends_at_once_while_the_name_server_is_silent) {
  silent_name_server silent;
  int said[2];
  BOOST_REQUIRE(::pipe(said) == 0);
  cosock::clock::time_point begin;
  test::in_child([&] {  // nothing is asserted to have been cleaned up here: exit() has to do
    static loop l;
    static std::vector<pending> look_ups;
    for (int i = 0; i != 40; ++i) look_ups.push_back(started(l, "silent.test"));
    while (l.poll() != 0) continue;
    while (resolver_threads() != 16) std::this_thread::yield();
    begin = cosock::clock::now();
    BOOST_TEST(::write(said[1], &begin, sizeof begin) == static_cast<ssize_t>(sizeof begin));
  });
  const auto end = cosock::clock::now();
  BOOST_REQUIRE(::read(said[0], &begin, sizeof begin) == static_cast<ssize_t>(sizeof begin));
  BOOST_TEST(std::chrono::duration<double>(end - begin).count() < 3);  // leak checks included
}

// A name server that the test holds.

NETWORK_TEST_CASE(an_answer_that_comes_after_the_cancellation_is_dropped) {
  name_server names;
  loop l;
  auto cancelled = l.start(resolve("gate1.test", 80, {.family = family::v4}));
  auto destroyed = started(l, "gate2.test");
  auto other = l.start(resolve("gate3.test", 80, {.family = family::v4}));
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(3);
  cancelled.cancel();
  destroyed.reset();
  finish(l, cancelled);
  BOOST_TEST(code_of(cancelled) == make_error_code(error::cancelled));
  names.open_gate();
  finish(l, other);
  BOOST_TEST(joined(other.result()) == "127.0.0.7:80");
  auto later = l.start(resolve("v4.test", 80));
  finish(l, later);
  BOOST_TEST(joined(later.result()) == "127.0.0.4:80");
}

NETWORK_TEST_CASE(cancelled_at_any_moment_it_gives_its_answer_or_the_cancellation) {
  name_server names;
  loop l;
  int answered = 0;
  for (int i = 0; i != 400; ++i) {
    auto look_up = l.start(resolve("v4.test", 80, {.family = family::v4}));
    while (l.poll() != 0) continue;
    for (int spin = 0; spin != i && !look_up.done(); ++spin) l.poll();
    look_up.cancel();
    finish(l, look_up);
    const auto code = code_of(look_up);
    if (!code) ++answered;
    if (code && code != error::cancelled) BOOST_ERROR(code);
  }
  BOOST_TEST_MESSAGE(answered << " of 400 were answered first");
}

NETWORK_TEST_CASE(a_task_may_be_destroyed_while_its_answer_is_on_its_way) {
  name_server names;
  loop l;
  for (int i = 0; i != 400; ++i) {
    auto look_up = l.start(resolve("v4.test", 80, {.family = family::v4}));
    while (l.poll() != 0) continue;
    for (int spin = 0; spin != i && !look_up.done(); ++spin) l.poll();
  }
  auto last = l.start(resolve("v4.test", 80));
  finish(l, last);
  BOOST_TEST(joined(last.result()) == "127.0.0.4:80");
}

NETWORK_TEST_CASE(a_loop_may_be_destroyed_while_answers_are_on_their_way) {
  name_server names;
  for (int i = 0; i != 200; ++i) {
    std::optional<loop> l(std::in_place);
    auto first = l->start(resolve("v4.test", 80, {.family = family::v4}));
    auto second = l->start(reverse_resolve(address::parse("127.0.0.2")));
    while (l->poll() != 0) continue;
    for (int spin = 0; spin != i; ++spin) std::this_thread::yield();
    l.reset();
  }
  // The threads have outlived their loops.
  loop l;
  auto last = l.start(resolve("v4.test", 80));
  finish(l, last);
  BOOST_TEST(joined(last.result()) == "127.0.0.4:80");
}
