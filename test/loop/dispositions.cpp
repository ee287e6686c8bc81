// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/run.hpp>
#include <cosock/signal.hpp>

#define BOOST_TEST_MODULE dispositions
#include "manual_event.hpp"
#include "support.hpp"

#include <sys/wait.h>

#include <array>
#include <csignal>
#include <latch>
#include <thread>

namespace {

using cosock::signal_set;
using cosock::task;
using namespace std::chrono_literals;

/// The status of a child process that runs the program; or the signal that ended it, negative.
int status_of(int (*program)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    ::_exit(program());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct sigaction action_of(int number) {
  struct sigaction now = {};
  ::sigaction(number, nullptr, &now);
  return now;
}
bool is(int number, sighandler_t handler) { return action_of(number).sa_handler == handler; }

volatile std::sig_atomic_t handled = 0;
void handle(int) { handled = handled + 1; }
void handle_with_info(int, siginfo_t*, void*) {}

task<> raise_and_go_on(int number) {
  ::raise(number);
  // What a signal set in the same program sees, run() has seen.
  signal_set probe({SIGUSR1});
  ::raise(SIGUSR1);
  (void)co_await probe.wait();
}
task<> raise_and_wait(int number) {
  ::raise(number);
  co_await test::forever();
}
task<> nothing() { co_await cosock::yield(); }

}  // namespace

BOOST_AUTO_TEST_CASE(run_leaves_ignored_signals_ignored) {
  const test::alarm_clock guard;
  for (const int number : {SIGINT, SIGTERM}) {
    ::signal(number, SIG_IGN);
    BOOST_TEST(cosock::run(raise_and_go_on(number)) == 0);
    BOOST_TEST(is(number, SIG_IGN));
    // The other one still stops the program.
    const int other = number == SIGINT ? SIGTERM : SIGINT;
    BOOST_TEST(cosock::run(raise_and_wait(other)) == 0);
    BOOST_TEST(is(other, SIG_DFL));
    BOOST_TEST(is(number, SIG_IGN));
    ::signal(number, SIG_DFL);
  }
}

BOOST_AUTO_TEST_CASE(a_program_in_which_both_are_ignored_runs_to_its_end) {
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  BOOST_TEST(cosock::run(raise_and_go_on(SIGTERM)) == 0);
  BOOST_TEST((is(SIGINT, SIG_IGN) && is(SIGTERM, SIG_IGN)));
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(an_ignored_signal_that_a_set_catches_does_not_stop_a_program) {
  ::signal(SIGINT, SIG_IGN);
  cosock::loop loop;
  const auto program = []() -> task<> {
    signal_set set({SIGINT});
    BOOST_TEST(cosock::run(raise_and_go_on(SIGINT)) == 0);
    const int got = co_await set.wait();
    BOOST_TEST(got == SIGINT);
  };
  loop.run(program());
  BOOST_TEST(is(SIGINT, SIG_IGN));
  ::signal(SIGINT, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(handlers_of_the_program_are_there_again_after_run) {
  struct sigaction own = {};
  own.sa_sigaction = handle_with_info;
  own.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaddset(&own.sa_mask, SIGHUP);
  for (const bool stopped : {false, true}) {
    ::sigaction(SIGTERM, &own, nullptr);
    ::signal(SIGINT, handle);
    BOOST_TEST(cosock::run(stopped ? raise_and_wait(SIGTERM) : nothing()) == 0);
    const struct sigaction after = action_of(SIGTERM);
    BOOST_TEST((after.sa_sigaction == handle_with_info));
    BOOST_TEST((after.sa_flags & (SA_SIGINFO | SA_RESTART)) == (SA_SIGINFO | SA_RESTART));
    BOOST_TEST(sigismember(&after.sa_mask, SIGHUP) == 1);
    BOOST_TEST(is(SIGINT, handle));
  }
  handled = 0;
  ::raise(SIGINT);
  BOOST_TEST(handled == 1);
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(a_handler_that_the_program_installs_meanwhile_stays) {
  const auto program = []() -> task<> {
    co_await cosock::yield();
    ::signal(SIGTERM, handle);
  };
  BOOST_TEST(cosock::run(program()) == 0);
  BOOST_TEST(is(SIGTERM, handle));
  ::signal(SIGTERM, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(each_run_of_a_program_is_stopped_by_a_signal) {
  for (int i = 0; i != 3; ++i) {
    BOOST_TEST(cosock::run(raise_and_wait(i % 2 ? SIGINT : SIGTERM)) == 0);
    BOOST_TEST((is(SIGINT, SIG_DFL) && is(SIGTERM, SIG_DFL)));
  }
}

BOOST_AUTO_TEST_CASE(a_run_inside_another_leaves_the_signals_to_it) {
  ::signal(SIGTERM, handle);
  const auto program = []() -> task<int> {
    const int inner = cosock::run(nothing());
    ::raise(SIGTERM);
    const auto stopped = co_await cosock::as_result(test::forever());
    co_return !stopped && inner == 0 ? 7 : 1;
  };
  BOOST_TEST(cosock::run(program()) == 7);
  BOOST_TEST(is(SIGTERM, handle));
  ::signal(SIGTERM, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(a_signal_stops_the_programs_of_all_threads) {
  const test::alarm_clock guard;
  ::signal(SIGTERM, handle);
  std::latch ready(4);
  std::array<int, 3> status = {-1, -1, -1};
  std::array<std::thread, 3> threads;
  for (std::size_t i = 0; i != threads.size(); ++i)
    threads[i] = std::thread([&, i] {
      const auto program = [&]() -> task<> {
        ready.count_down();
        co_await test::forever();
      };
      status[i] = cosock::run(program());
    });
  ready.arrive_and_wait();
  ::kill(::getpid(), SIGTERM);
  for (std::thread& each : threads) each.join();
  BOOST_TEST((status == std::array<int, 3>{0, 0, 0}));
  BOOST_TEST(is(SIGTERM, handle));
  ::signal(SIGTERM, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(the_second_signal_ends_a_program_that_has_a_handler) {
  BOOST_TEST(status_of([] {
               ::signal(SIGTERM, handle);
               const auto program = []() -> task<> {
                 ::raise(SIGTERM);
                 static_cast<void>(co_await cosock::as_result(test::forever()));
                 ::raise(SIGTERM);
               };
               return cosock::run(program());
             }) == -SIGTERM);
}
