// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/run.hpp>

#define BOOST_TEST_MODULE run
#include "support.hpp"

#include <cosock/run_options.hpp>
#include <cosock/signal.hpp>
#include <cosock/when.hpp>

#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

struct ending {
  int status = 0;
  std::string errors;
};

/// Runs a program in a child process; `wait` is called in the parent when it has begun to wait.
template <class F>
ending in_child(F program, void (*when_waiting)(pid_t) = nullptr) {
  int errors[2];
  int waits[2];
  BOOST_REQUIRE(::pipe(errors) == 0 && ::pipe(waits) == 0);
  std::fflush(nullptr);
  std::cout.flush();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(errors[1], 2);
    ::close(errors[0]);
    ::close(errors[1]);
    ::close(waits[0]);
    ::alarm(60);
    ::_exit(program(waits[1]));
  }
  ::close(errors[1]);
  ::close(waits[1]);
  char byte;
  if (when_waiting && ::read(waits[0], &byte, 1) == 1) when_waiting(child);
  ending e;
  char text[1024];
  for (ssize_t n; (n = ::read(errors[0], text, sizeof text)) > 0;)
    e.errors.append(text, static_cast<std::size_t>(n));
  ::waitpid(child, &e.status, 0);
  ::close(errors[0]);
  ::close(waits[0]);
  return e;
}

void tell(int fd) { BOOST_REQUIRE(::write(fd, "x", 1) == 1); }

cosock::task<int> give(int status) {
  co_await cosock::yield();
  co_return status;
}
cosock::task<> succeed() { co_await cosock::yield(); }
cosock::task<> fail() {
  co_await cosock::yield();
  throw std::runtime_error("the reason");
}
cosock::task<> wait_for_ever(int fd) {
  tell(fd);
  co_await cosock::sleep_for(1h);
}
cosock::task<int> clean_up(int fd) {
  const auto stopped = co_await cosock::as_result(wait_for_ever(fd));
  BOOST_REQUIRE((stopped.error() == cosock::error::cancelled));
  co_await cosock::shielded(cosock::sleep_for(1ms));
  co_return 5;
}
cosock::task<> fail_when_stopped(int fd) {
  const auto stopped = co_await cosock::as_result(wait_for_ever(fd));
  if (!stopped) throw std::runtime_error("while stopping");
}
cosock::task<> refuse_to_end(int fd) {
  co_await cosock::shielded(cosock::when_all(wait_for_ever(fd)));
}

bool exited_with(const ending& e, int status) {
  return WIFEXITED(e.status) && WEXITSTATUS(e.status) == status;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_status_is_what_the_task_returns) {
  BOOST_TEST(exited_with(in_child([](int) { return cosock::run(give(3)); }), 3));
  const ending e = in_child([](int) { return cosock::run(succeed()); });
  BOOST_TEST(exited_with(e, 0));
  BOOST_TEST(e.errors == "");
}

BOOST_AUTO_TEST_CASE(an_error_is_printed_and_gives_1) {
  const ending e = in_child([](int) { return cosock::run(fail()); });
  BOOST_TEST(exited_with(e, 1));
  BOOST_TEST(e.errors == "test_run: the reason\n");
}

BOOST_AUTO_TEST_CASE(errors_of_every_kind_are_printed_and_give_1) {
  const auto throwing = [](auto what) {
    return in_child([what](int) {
      const auto program = [&]() -> cosock::task<int> {
        throw what;
        co_return 0;
      };
      return cosock::run(program());
    });
  };
  const ending number = throwing(42);
  BOOST_TEST(exited_with(number, 1));
  BOOST_TEST(number.errors == "test_run: unknown error\n");
  const ending own = throwing(boost::system::system_error(cosock::error::cancelled));
  BOOST_TEST(exited_with(own, 1));  // nobody asked it to stop
  BOOST_TEST(own.errors.find("test_run: the operation was cancelled") == 0u);
  const auto text = [](const char* what) {
    return std::make_exception_ptr(std::runtime_error(what));
  };
  const ending several = throwing(cosock::multiple_errors({text("one"), text("two")}));
  BOOST_TEST(exited_with(several, 1));
  BOOST_TEST(several.errors == "test_run: 2 tasks failed: one; two\n");
}

BOOST_AUTO_TEST_CASE(a_usage_error_is_printed_and_gives_2) {
  const ending e = in_child([](int) { return cosock::usage_error("usage: test"); });
  BOOST_TEST(exited_with(e, 2));
  BOOST_TEST(e.errors == "test_run: usage: test\n");
}

BOOST_AUTO_TEST_CASE(sigterm_and_sigint_cancel_and_give_0) {
  const auto program = [](int fd) { return cosock::run(wait_for_ever(fd)); };
  for (const ending& e : {in_child(program, [](pid_t child) { ::kill(child, SIGTERM); }),
                          in_child(program, [](pid_t child) { ::kill(child, SIGINT); })}) {
    BOOST_TEST(exited_with(e, 0));
    BOOST_TEST(e.errors == "");
  }
}

BOOST_AUTO_TEST_CASE(a_stopped_task_may_clean_up_and_give_its_own_status) {
  const ending e = in_child([](int fd) { return cosock::run(clean_up(fd)); },
                            [](pid_t child) { ::kill(child, SIGTERM); });
  BOOST_TEST(exited_with(e, 5));
}

BOOST_AUTO_TEST_CASE(a_signal_cancels_everything_in_the_task) {
  const auto program = [](int fd) {
    const auto work = [&]() -> cosock::task<> {
      co_await cosock::with_nursery([&](cosock::nursery& n) -> cosock::task<> {
        n.start(wait_for_ever, fd);
        co_await cosock::with_timeout(1h, cosock::sleep_for(2h));
      });
    };
    return cosock::run(work());
  };
  const ending e = in_child(program, [](pid_t child) { ::kill(child, SIGTERM); });
  BOOST_TEST(exited_with(e, 0));
  BOOST_TEST(e.errors == "");
}

BOOST_AUTO_TEST_CASE(a_task_that_returns_when_it_is_stopped_has_not_failed) {
  const auto program = [](int fd) {
    const auto work = [&]() -> cosock::task<> {
      static_cast<void>(co_await cosock::as_result(wait_for_ever(fd)));
    };
    return cosock::run(work());
  };
  BOOST_TEST(exited_with(in_child(program, [](pid_t child) { ::kill(child, SIGINT); }), 0));
}

BOOST_AUTO_TEST_CASE(an_error_while_stopping_is_an_error) {
  const ending e = in_child([](int fd) { return cosock::run(fail_when_stopped(fd)); },
                            [](pid_t child) { ::kill(child, SIGTERM); });
  BOOST_TEST(exited_with(e, 1));
  BOOST_TEST(e.errors == "test_run: while stopping\n");
}

BOOST_AUTO_TEST_CASE(a_second_signal_ends_the_process_at_once) {
  const ending e =
      in_child([](int fd) { return cosock::run(refuse_to_end(fd)); },
               [](pid_t child) {
                 // The first one may not have been handled yet when the next one comes.
                 siginfo_t ended = {};
                 while (::waitid(P_PID, static_cast<id_t>(child), &ended,
                                 WEXITED | WNOHANG | WNOWAIT) == 0 &&
                        ended.si_pid == 0 && ::kill(child, SIGTERM) == 0 && ::usleep(1000) == 0) {
                 }
               });
  BOOST_TEST(WIFSIGNALED(e.status));
  BOOST_TEST(WTERMSIG(e.status) == SIGTERM);
}

// Dumps

BOOST_AUTO_TEST_CASE(a_signal_dumps_the_tasks_and_the_program_goes_on) {
  const auto program = [](int fd) {
    const auto wait = [](int fd) -> cosock::task<int> {
      cosock::signal_set goes_on{SIGUSR1};
      tell(fd);
      co_await goes_on.wait();
      co_return 4;
    };
    return cosock::run(wait(fd), {.dump_on = SIGQUIT});
  };
  const ending e = in_child(program, [](pid_t child) {
    // The first dump is there before the second signal is sent: signals of one number may be merged.
    ::kill(child, SIGQUIT);
    ::kill(child, SIGUSR1);
  });
  BOOST_TEST(exited_with(e, 4));
  BOOST_TEST(test::contains(e.errors, ": signal_set::wait(), for "), e.errors);
}

BOOST_AUTO_TEST_CASE(a_signal_that_cannot_be_caught_is_refused) {
  for (const int number : {SIGKILL, -1, 0, 1000})
    BOOST_CHECK_EXCEPTION(static_cast<void>(cosock::run(give(0), {.dump_on = number})),
                          boost::system::system_error,
                          test::is(boost::system::errc::invalid_argument));
}
