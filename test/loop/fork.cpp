// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/cosock.hpp>

#define BOOST_TEST_MODULE fork
#include "local_tools.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

// Children that are forked, and go on without exec.

namespace {

using namespace test;
using cosock::const_buffer;
using cosock::endpoint;
using cosock::local_acceptor;
using cosock::local_endpoint;
using cosock::local_pair;
using cosock::local_stream_socket;
using cosock::mutable_buffer;
using cosock::signal_set;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

constexpr int failed = 99;

/// The status of a child; or the signal that ended it, negative.
int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Forks a child that runs the function, and ends with what it returns.
template <class F>
pid_t fork_child(F function) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::alarm(60);
  int status = failed;
  try {
    status = function();
  } catch (...) {
  }
  ::_exit(status);
}

task<> exchange(cosock::byte_stream& from, cosock::byte_stream& to) {
  // More than a socket holds, so that both ends wait.
  const std::string sent(4 << 20, 'x');
  std::string got(sent.size(), ' ');
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await from.send(cosock::buffer(sent)); });
    co_await to.receive_exactly(mutable_buffer(got.data(), got.size()));
  });
  if (got != sent) throw std::runtime_error("other bytes");
}
task<> use_everything() {
  tcp_acceptor acceptor(endpoint::parse("127.0.0.1:0"));
  tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  tcp_socket server = co_await acceptor.accept();
  co_await exchange(client, server);
  co_await cosock::sleep_for(1ms);
}
/// A program that is cancelled by a signal, and does not end before it gets another.
task<int> raise_twice() {
  ::raise(SIGTERM);
  static_cast<void>(co_await cosock::as_result(forever()));
  ::raise(SIGTERM);
  co_return failed;
}
task<> raise_and_wait() {
  ::raise(SIGTERM);
  co_await forever();
}
struct sigaction action_of(int number) {
  struct sigaction now = {};
  ::sigaction(number, nullptr, &now);
  return now;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_signal_for_the_child_does_not_reach_the_parent) {
  const alarm_clock guard;
  const auto program = []() -> task<int> {
    const pid_t child = fork_child([] {
      for (;;) ::pause();
      return failed;
    });
    ::kill(child, SIGTERM);
    const int ended = status_of(child);
    // What the parent was told, it would see before this.
    signal_set probe({SIGUSR1});
    ::raise(SIGUSR1);
    (void)co_await probe.wait();
    co_return ended == -SIGTERM ? 7 : failed;
  };
  BOOST_TEST(cosock::run(program()) == 7);
}

COROUTINE_TEST_CASE(nor_a_set_of_the_parent) {
  signal_set set({SIGUSR1});
  const pid_t child = fork_child([] {
    // It does there what it did before, which is to end the process.
    return ::raise(SIGUSR1);
  });
  BOOST_TEST(status_of(child) == -SIGUSR1);
  signal_set probe({SIGUSR2});
  ::raise(SIGUSR2);
  (void)co_await probe.wait();
  const auto none = co_await cosock::as_result(cosock::with_timeout(1ms, set.wait()));
  BOOST_TEST((!none && none.error() == cosock::error::timed_out));
  ::raise(SIGUSR1);
  BOOST_TEST(co_await set.wait() == SIGUSR1);
}

COROUTINE_TEST_CASE(what_the_child_closes_stays_open_in_the_parent) {
  const temporary_folder folder;
  local_acceptor acceptor(local_endpoint::path(folder / "socket"));
  auto [a, b] = local_pair();
  BOOST_TEST(status_of(fork_child([&] {
               acceptor.close();
               ::close(a.release());
               b.close();
               return 0;
             })) == 0);
  BOOST_TEST(exists(folder / "socket"));
  co_await exchange(a, b);
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> { (void)co_await acceptor.accept(); });
    co_await let_others_run();
    (void)co_await cosock::connect(acceptor.local_endpoint());
  });
  acceptor.close();
  BOOST_TEST(!exists(folder / "socket"));
}

BOOST_AUTO_TEST_CASE(what_a_child_destroys_the_parent_keeps) {
  const alarm_clock guard;
  const temporary_folder folder;
  auto loop = std::make_unique<cosock::loop>();
  std::optional<local_acceptor<>> acceptor;
  acceptor.emplace(*loop, local_endpoint::path(folder / "socket"));
  const auto serve = [](local_acceptor<>& from) -> task<> {
    local_stream_socket peer = co_await from.accept();
    co_await peer.send("x");
    co_await cosock::sleep_for(50ms);
  };
  auto served = start_on(*loop, serve(*acceptor));
  run_until_idle(*loop);
  BOOST_TEST(status_of(fork_child([&] {
               served.reset();
               loop.reset();
               acceptor.reset();
               return 0;
             })) == 0);
  BOOST_REQUIRE(exists(folder / "socket"));
  const auto ask = [](const local_endpoint& at) -> task<> {
    local_stream_socket peer = co_await cosock::connect(at);
    char byte[1];
    co_await peer.receive_exactly(mutable_buffer(byte, 1));
  };
  loop->run(ask(acceptor->local_endpoint()));
  while (!served->done()) loop->run_some();
  served->result();
}

BOOST_AUTO_TEST_CASE(timers_of_the_child_are_not_the_parents) {
  const alarm_clock guard;
  cosock::loop loop;
  auto slept = start_on(loop, []() -> task<> { co_await cosock::sleep_for(50ms); }());
  run_until_idle(loop);
  const auto sleep_long = []() -> task<> { co_await cosock::sleep_for(1h); };
  BOOST_TEST(status_of(fork_child([&] {
               slept.reset();
               auto longer = start_on(loop, sleep_long());
               run_until_idle(loop);
               return 0;
             })) == 0);
  while (!slept->done()) loop.run_some();
  slept->result();
}

COROUTINE_TEST_CASE(a_new_loop_works_in_a_child) {
  BOOST_TEST(status_of(fork_child([] {
               cosock::loop loop;
               loop.run(use_everything());
               return cosock::run(use_everything());
             })) == 0);
  co_await use_everything();
}

COROUTINE_TEST_CASE(a_program_in_a_child_gets_its_signals) {
  // In a program that catches them too.
  const auto program = []() -> task<int> {
    const int stopped = status_of(fork_child([] {
      return cosock::run(raise_and_wait()) == 0 && action_of(SIGTERM).sa_handler == SIG_DFL
                 ? 0
                 : failed;
    }));
    const int killed = status_of(fork_child([] { return cosock::run(raise_twice()); }));
    co_await cosock::yield();
    co_return stopped == 0 && killed == -SIGTERM ? 7 : failed;
  };
  const int status = cosock::run(program());
  BOOST_TEST(status == 7);
  co_return;
}

COROUTINE_TEST_CASE(a_loop_goes_on_in_a_child_that_a_task_forks) {
  auto [a, b] = local_pair();
  auto [c, d] = local_pair();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    int status = failed;
    try {
      co_await exchange(a, b);
      co_await use_everything();
      status = 0;
    } catch (...) {
    }
    ::_exit(status);
  }
  co_await exchange(c, d);
  co_await use_everything();
  BOOST_TEST(status_of(child) == 0);
  co_await exchange(a, b);
}

BOOST_AUTO_TEST_CASE(a_loop_that_was_made_before_runs_in_a_child) {
  const alarm_clock guard;
  cosock::loop loop;
  std::optional<tcp_acceptor> acceptor;
  acceptor.emplace(loop, endpoint::parse("127.0.0.1:0"));
  const auto serve_oneself = [](tcp_acceptor& at) -> task<> {
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start([&]() -> task<> { (void)co_await at.accept(); });
      co_await let_others_run();
      (void)co_await cosock::connect(at.local_endpoint());
    });
    co_await cosock::sleep_for(1ms);
  };
  for (int i = 0; i != 2; ++i)
    BOOST_TEST(status_of(fork_child([&] {
                 loop.run(serve_oneself(*acceptor));
                 // And in a child of the child.
                 return status_of(fork_child([&] {
                   loop.run(serve_oneself(*acceptor));
                   return 0;
                 }));
               })) == 0);
  loop.run(serve_oneself(*acceptor));
}

BOOST_AUTO_TEST_CASE(a_socket_that_a_child_makes_before_the_loop_runs_there_works) {
  const alarm_clock guard;
  cosock::loop loop;
  const pid_t child = fork_child([&] {
    tcp_acceptor acceptor(loop, endpoint::parse("127.0.0.1:0"));
    loop.run([](tcp_acceptor& acceptor) -> task<> {
      co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
        n.start([&]() -> task<> { (void)co_await acceptor.accept(); });
        co_await cosock::yield();  // the accept waits
        (void)co_await cosock::connect(acceptor.local_endpoint());
      });
    }(acceptor));
    return 7;
  });
  BOOST_TEST(status_of(child) == 7);
}

BOOST_AUTO_TEST_CASE(a_child_at_the_limit_of_descriptors_takes_nothing_from_its_parent) {
  const alarm_clock guard;
  cosock::loop loop;
  std::optional<local_stream_socket> first;
  std::optional<local_stream_socket> second;
  const auto make = [&]() -> task<> {
    auto pair = local_pair();
    first.emplace(std::move(pair.first));
    second.emplace(std::move(pair.second));
    co_return;
  };
  loop.run(make());
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit before;
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none_left = {static_cast<rlim_t>(lowest_free), before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none_left);
  const pid_t child = fork_child([&] {
    ::setrlimit(RLIMIT_NOFILE, &before);  // sanitizers open descriptors
    first->close();
    return 7;
  });
  ::setrlimit(RLIMIT_NOFILE, &before);
  BOOST_TEST(status_of(child) == 7);
  const auto use = [&]() -> task<> {
    char byte[1];
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const auto size = co_await cosock::as_result(
            cosock::with_timeout(10s, first->receive(mutable_buffer(byte, 1))));
        BOOST_TEST(!size.error());
      });
      co_await cosock::yield();  // the receive waits
      co_await second->send(const_buffer("x", 1));
    });
  };
  loop.run(use());
}

BOOST_AUTO_TEST_CASE(a_program_that_goes_on_in_a_child_is_stopped_by_its_signals) {
  const alarm_clock guard;
  static int place = 0;
  const auto program = []() -> task<int> {
    const pid_t child = ::fork();
    if (child != 0) {
      const int ended = status_of(child);
      co_await let_others_run();
      co_return ended == 3 ? 7 : failed;
    }
    ::alarm(20);
    place = 1;
    co_await let_others_run();
    ::raise(SIGTERM);
    static_cast<void>(co_await cosock::as_result(forever()));
    place = 2;
    co_return 0;
  };
  const int status = cosock::run(program());
  if (place != 0)
    ::_exit(place == 2 && status == 0 && action_of(SIGTERM).sa_handler == SIG_DFL ? 3 : failed);
  BOOST_TEST(status == 7);
}
