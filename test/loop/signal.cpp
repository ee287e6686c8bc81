// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/signal.hpp>

#define BOOST_TEST_MODULE signal
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/run.hpp>

#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <stdexcept>
#include <vector>

namespace {

using boost::system::system_error;
using cosock::error;
using cosock::nursery;
using cosock::signal_set;
using cosock::task;
using cosock::with_nursery;
using test::is;
using test::run_until_idle;

task<> wait_for(signal_set& s, int number) {
  const int got = co_await s.wait();
  BOOST_TEST(got == number);
}
task<std::unique_ptr<signal_set>> make_set(int number) {
  co_return std::make_unique<signal_set>(std::initializer_list<int>{number});
}
auto handler_of(int number) {
  struct sigaction now = {};
  ::sigaction(number, nullptr, &now);
  return now.sa_handler;
}

/// The status of a child process that runs the program; or the signal that ended it, negative.
int status_of(int (*program)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::_exit(program());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

COROUTINE_TEST_CASE(each_set_gets_its_signals) {
  signal_set one({SIGUSR1, SIGUSR2, SIGUSR1});
  signal_set other({SIGUSR2});
  ::raise(SIGUSR2);
  co_await wait_for(one, SIGUSR2);
  co_await wait_for(other, SIGUSR2);
  ::raise(SIGUSR1);
  co_await wait_for(one, SIGUSR1);
}

COROUTINE_TEST_CASE(signals_that_came_before_the_wait_are_given_one_by_one) {
  signal_set set({SIGUSR1, SIGUSR2});
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  const int first = co_await set.wait();
  const int second = co_await set.wait();
  BOOST_TEST(first + second == SIGUSR1 + SIGUSR2);
  BOOST_TEST(first != second);
}

BOOST_AUTO_TEST_CASE(each_waiter_gets_a_signal_of_its_own) {
  cosock::loop loop;
  const auto set = loop.run(make_set(SIGUSR1));
  auto first = loop.start(wait_for(*set, SIGUSR1));
  auto second = loop.start(wait_for(*set, SIGUSR1));
  run_until_idle(loop);
  ::raise(SIGUSR1);
  run_until_idle(loop);
  BOOST_TEST(first.done());
  BOOST_TEST(!second.done());
  ::raise(SIGUSR1);
  run_until_idle(loop);
  BOOST_TEST(second.done());
}

BOOST_AUTO_TEST_CASE(signals_are_afterwards_what_they_were_before) {
  cosock::loop loop;
  for (const auto before : {SIG_IGN, SIG_DFL, static_cast<sighandler_t>([](int) {})}) {
    ::signal(SIGUSR1, before);
    {
      auto first = loop.run(make_set(SIGUSR1));
      const auto second = loop.run(make_set(SIGUSR1));
      BOOST_TEST((handler_of(SIGUSR1) != before));
      first.reset();
      BOOST_TEST((handler_of(SIGUSR1) != before));
    }
    BOOST_TEST((handler_of(SIGUSR1) == before));
    auto outlives = [&] {
      cosock::loop shorter;
      return shorter.run(make_set(SIGUSR1));
    }();
    BOOST_TEST((handler_of(SIGUSR1) == before));
    BOOST_CHECK_EXCEPTION(loop.run(wait_for(*outlives, 0)), system_error, is(error::wrong_loop));
  }
  ::signal(SIGUSR1, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(a_signal_that_cannot_be_caught_is_an_error) {
  cosock::loop loop;
  for (const int number : {SIGKILL, SIGSTOP, -1, 100'000}) {
    BOOST_CHECK_EXCEPTION(loop.run(make_set(number)), system_error,
                          is(boost::system::errc::invalid_argument));
  }
  BOOST_CHECK_THROW(signal_set({SIGUSR1}), std::logic_error);
  BOOST_TEST((handler_of(SIGUSR1) == SIG_DFL));
}

BOOST_AUTO_TEST_CASE(a_program_sees_the_signal_that_ends_it) {
  const auto program = [] {
    static int seen = 0;
    const auto body = []() -> task<> {
      signal_set set({SIGTERM, SIGHUP});
      ::raise(SIGHUP);
      co_await wait_for(set, SIGHUP);
      ::raise(SIGTERM);
      seen = co_await cosock::shielded(set.wait());
      co_await test::forever();
    };
    const int status = cosock::run(body());
    return status == 0 && seen == SIGTERM ? 7 : 1;
  };
  BOOST_TEST(status_of(program) == 7);
}

BOOST_AUTO_TEST_CASE(the_second_signal_still_ends_a_program_that_had_a_set_for_it) {
  const auto program = [] {
    const auto body = []() -> task<> {
      {
        signal_set set({SIGTERM});
        ::raise(SIGTERM);
        co_await cosock::shielded(wait_for(set, SIGTERM));
      }
      ::raise(SIGTERM);
      co_await test::forever();
    };
    return cosock::run(body());
  };
  BOOST_TEST(status_of(program) == -SIGTERM);
}
