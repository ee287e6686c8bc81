// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "core/reactor.hpp"

#define BOOST_TEST_MODULE reactor
#include "loop/engine.hpp"
#include "support.hpp"

#include <cosock/detail/timer.hpp>
#include <cosock/signal.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <list>
#include <thread>
#include <vector>

// What the interface of a reactor promises, with the reactor that loops have.

namespace {

using cosock::detail::current_time;
using cosock::detail::engine;
using cosock::detail::io_watch;
using cosock::detail::reactor;
using namespace std::chrono_literals;

/// Runs the body where a scheduler calls its reactor: inside a turn. Nothing else uses the loop.
void on_loop(void (*body)(reactor&)) {
  const test::alarm_clock guard;
  cosock::loop loop;
  loop.run([](void (*body)(reactor&), reactor& of) -> cosock::task<> {
    body(of);
    co_return;
  }(body, engine::get(loop).io()));
}

#define REACTOR_TEST_CASE(name)                          \
  static void name##_body([[maybe_unused]] reactor& of); \
  BOOST_AUTO_TEST_CASE(name) { on_loop(&name##_body); }  \
  static void name##_body([[maybe_unused]] reactor& of)

constexpr std::int64_t no_deadline = INT64_MAX;
constexpr std::int64_t millisecond = 1'000'000;
constexpr std::int64_t hour = 3'600'000 * millisecond;
constexpr unsigned all_events = io_watch::readable | io_watch::writable | io_watch::exceptional;

/// A descriptor that is watched for as long as the object exists.
class watch final : public io_watch {
 public:
  watch(reactor& by, int fd) : by_(by) { by.add(*this, fd); }
  ~watch() {
    if (linked()) remove();
  }
  void on_events(unsigned events) noexcept override { events_ |= events; }
  void add_writable() { by_.add_writable(*this); }
  void remove() { by_.remove(*this); }

  /// The events that were reported since the last call.
  unsigned reported() { return std::exchange(events_, 0); }
  /// Those that there are now.
  unsigned look() {
    by_.wait(no_deadline, false);
    return reported();
  }
  /// Waits until these have been reported.
  void wait_for(unsigned events) {
    while ((events_ & events) != events) by_.wait(no_deadline, true);
  }

 private:
  reactor& by_;
  unsigned events_ = 0;
};

/// Two descriptors, which are closed.
struct descriptor_pair {
  descriptor_pair() { BOOST_REQUIRE(::socketpair(AF_UNIX, type, 0, fds) == 0); }
  ~descriptor_pair() {
    for (const int each : fds)
      if (each >= 0) ::close(each);
  }
  descriptor_pair(const descriptor_pair&) = delete;
  void send(int count = 1) { BOOST_REQUIRE(::write(fds[1], "xxx", count) == count); }
  void close_peer() { ::close(std::exchange(fds[1], -1)); }
  static constexpr int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  int fds[2];
};

/// Fills what the descriptor has room for; and the other way round.
void fill(int fd) {
  const std::vector<char> bytes(64 << 10);
  while (::write(fd, bytes.data(), bytes.size()) > 0) continue;
}
void drain(int fd) {
  std::vector<char> bytes(64 << 10);
  while (::read(fd, bytes.data(), bytes.size()) > 0) continue;
}

}  // namespace

// Events

REACTOR_TEST_CASE(a_descriptor_is_reported_for_what_it_is_when_it_is_added) {
  descriptor_pair idle;
  watch quiet(of, idle.fds[0]);
  descriptor_pair pair;
  pair.send();
  watch w(of, pair.fds[0]);
  BOOST_TEST(w.look() == io_watch::readable);
  BOOST_TEST(quiet.look() == 0u);
}

REACTOR_TEST_CASE(it_is_reported_for_each_thing_that_it_becomes_and_once) {
  descriptor_pair pair;
  watch w(of, pair.fds[0]);
  for (int i = 0; i != 3; ++i) {
    BOOST_TEST(w.look() == 0u);
    pair.send();  // what came before has not been received
    BOOST_TEST(w.look() == io_watch::readable);
  }
  drain(pair.fds[0]);
  BOOST_TEST(w.look() == 0u);
  ::shutdown(pair.fds[1], SHUT_WR);
  BOOST_TEST(w.look() == (io_watch::readable | io_watch::exceptional));
  BOOST_TEST(w.look() == 0u);
}

REACTOR_TEST_CASE(the_end_behind_bytes_is_reported_with_them) {
  descriptor_pair pair;
  watch w(of, pair.fds[0]);
  pair.send();
  ::shutdown(pair.fds[1], SHUT_WR);
  BOOST_TEST(w.look() == (io_watch::readable | io_watch::exceptional));
}

REACTOR_TEST_CASE(add_writable_reports_what_is_writable_now_and_what_becomes_so) {
  descriptor_pair pair;
  watch w(of, pair.fds[0]);
  BOOST_TEST(w.look() == 0u);
  w.add_writable();
  BOOST_TEST(w.look() == io_watch::writable);
  BOOST_TEST(w.look() == 0u);
  fill(pair.fds[0]);
  w.look();
  drain(pair.fds[1]);
  BOOST_TEST(w.look() == io_watch::writable);
  pair.send();
  BOOST_TEST((w.look() & io_watch::readable) != 0u);

  descriptor_pair full;
  fill(full.fds[0]);
  watch later(of, full.fds[0]);
  later.add_writable();
  BOOST_TEST(later.look() == 0u);
  drain(full.fds[1]);
  BOOST_TEST(later.look() == io_watch::writable);
}

REACTOR_TEST_CASE(a_hang_up_is_reported_as_all_events) {
  descriptor_pair pair;
  watch w(of, pair.fds[0]);
  pair.close_peer();
  BOOST_TEST(w.look() == all_events);

  descriptor_pair before;
  before.close_peer();
  watch late(of, before.fds[0]);
  BOOST_TEST(late.look() == all_events);
}

REACTOR_TEST_CASE(an_error_is_reported_as_all_events) {
  int fds[2];
  BOOST_REQUIRE(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
  {
    watch w(of, fds[1]);
    BOOST_TEST(w.look() == 0u);
    ::close(fds[0]);
    BOOST_TEST(w.look() == all_events);
  }
  ::close(fds[1]);
}

REACTOR_TEST_CASE(urgent_data_are_reported_as_exceptional) {
  const int acceptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* const address = reinterpret_cast<sockaddr*>(&at);
  BOOST_REQUIRE(::bind(acceptor, address, size) == 0);
  BOOST_REQUIRE(::listen(acceptor, 1) == 0);
  BOOST_REQUIRE(::getsockname(acceptor, address, &size) == 0);
  BOOST_REQUIRE(::connect(client, address, size) == 0);
  const int server = ::accept4(acceptor, nullptr, nullptr, SOCK_CLOEXEC);
  BOOST_REQUIRE(server >= 0);
  {
    watch w(of, server);
    BOOST_REQUIRE(::send(client, "x", 1, MSG_OOB) == 1);
    w.wait_for(io_watch::exceptional);
  }
  for (const int each : {server, client, acceptor}) ::close(each);
}

REACTOR_TEST_CASE(one_that_is_removed_is_not_reported_though_it_was_duplicated) {
  descriptor_pair pair;
  const int copy = ::fcntl(pair.fds[0], F_DUPFD_CLOEXEC, 0);
  watch w(of, pair.fds[0]);
  w.add_writable();
  pair.send();
  w.remove();
  BOOST_TEST(w.look() == 0u);
  ::close(std::exchange(pair.fds[0], -1));
  pair.send();
  BOOST_TEST(w.look() == 0u);
  {
    // The number stands for something else now, and may be watched again.
    descriptor_pair another;
    watch next(of, another.fds[0]);
    another.send();
    BOOST_TEST(next.look() == io_watch::readable);
  }
  watch again(of, copy);
  BOOST_TEST(again.look() == io_watch::readable);
  again.remove();
  ::close(copy);
  BOOST_TEST(w.reported() == 0u);
}

REACTOR_TEST_CASE(events_of_many_descriptors_come_in_one_wait) {
  std::list<descriptor_pair> pairs(100);
  std::list<watch> watches;
  for (auto& each : pairs) watches.emplace_back(of, each.fds[0]);
  for (auto& each : pairs) each.send();
  of.wait(no_deadline, true);
  for (auto& each : watches) BOOST_TEST(each.reported() == io_watch::readable);
}

REACTOR_TEST_CASE(more_of_them_than_that_are_all_reported) {
  std::list<descriptor_pair> pairs(400);
  std::list<watch> watches;
  for (auto& each : pairs) watches.emplace_back(of, each.fds[0]);
  for (auto& each : pairs) each.send();
  for (auto& each : watches) each.wait_for(io_watch::readable);
  for (auto& each : watches) BOOST_TEST(each.reported() == io_watch::readable);
}

REACTOR_TEST_CASE(what_cannot_be_watched_is_told_and_not_watched) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  BOOST_CHECK_EXCEPTION(watch(of, null), boost::system::system_error,
                        test::is(boost::system::errc::operation_not_permitted));
  ::close(null);
  BOOST_CHECK_EXCEPTION(watch(of, null), boost::system::system_error,
                        test::is(boost::system::errc::bad_file_descriptor));
}

// Waking

REACTOR_TEST_CASE(a_wait_that_may_not_wait_returns) {
  descriptor_pair pair;
  watch w(of, pair.fds[0]);
  BOOST_TEST((of.wait(no_deadline, false) & reactor::time_passed) == 0u);
  BOOST_TEST((of.wait(current_time() + hour, false) & reactor::time_passed) == 0u);
}

REACTOR_TEST_CASE(a_wake_before_the_wait_ends_it) {
  for (int i = 0; i != 100; ++i) {
    of.wake();
    BOOST_TEST((of.wait(no_deadline, true) & reactor::time_passed) == 0u);
    of.wake();
    of.wake();
    of.wait(current_time() + hour, true);
  }
}

// A thread that tells the loop of something, and wakes it, as often as it can. The delays, of different
// lengths, have the wake meet the wait at each of its steps.
REACTOR_TEST_CASE(no_wake_of_another_thread_is_lost) {
  constexpr int rounds = 40'000;
  const auto delay = [](int length) {
    for (std::atomic<int> i = 0; i != length; ++i) continue;
  };
  std::atomic<int> told = 0;
  std::atomic<int> seen = 0;
  std::jthread other([&] {
    for (int i = 1; i <= rounds; ++i) {
      delay(i % 61);
      told = i;
      of.wake();
      for (int n = 0; seen != i; ++n)
        if (n > 1000) std::this_thread::yield();
    }
  });
  for (int turn = 0; seen != rounds; ++turn) {
    delay(turn % 59);
    of.wait(no_deadline, true);
    seen = told.load();
  }
}

REACTOR_TEST_CASE(nor_those_of_several_threads_that_come_with_events) {
  constexpr int threads = 3;
  constexpr int rounds = 3'000;
  descriptor_pair pair;
  watch w(of, pair.fds[0]);
  std::atomic<int> told[threads] = {};
  std::atomic<int> seen[threads] = {};
  std::vector<std::jthread> all;
  for (int n = 0; n != threads; ++n)
    all.emplace_back([&, n] {
      for (int i = 1; i <= rounds; ++i) {
        told[n] = i;
        of.wake();
        while (seen[n] != i) std::this_thread::yield();
      }
    });
  const auto is_done = [&](const auto& each) { return each == rounds; };
  for (int turn = 0; !std::all_of(std::begin(seen), std::end(seen), is_done); ++turn) {
    if (turn % 16 == 0) pair.send();
    of.wait(no_deadline, true);
    if (w.reported() != 0) drain(pair.fds[0]);
    for (int n = 0; n != threads; ++n) seen[n] = told[n].load();
  }
}

// Deadlines

namespace {

/// Waits until the reactor says that time has passed; returns when it was.
std::int64_t wait_until(reactor& of, std::int64_t deadline) {
  while (!(of.wait(deadline, true) & reactor::time_passed)) continue;
  return current_time();
}

}  // namespace

REACTOR_TEST_CASE(a_deadline_ends_the_wait_and_not_before) {
  for (int i = 0; i != 20; ++i) {
    const std::int64_t at = current_time() + millisecond;
    BOOST_TEST(wait_until(of, at) >= at);
  }
}

REACTOR_TEST_CASE(one_that_has_passed_ends_it_at_once) {
  for (const std::int64_t at : {current_time(), current_time() - hour, std::int64_t{1},
                                std::int64_t{0}, std::int64_t{-1}, INT64_MIN})
    wait_until(of, at);
}

REACTOR_TEST_CASE(an_earlier_deadline_may_follow_a_later_one) {
  of.wake();
  of.wait(current_time() + hour, true);
  const std::int64_t at = current_time() + 5 * millisecond;
  BOOST_TEST(wait_until(of, at) >= at);
}

REACTOR_TEST_CASE(and_a_later_one_an_earlier_one) {
  of.wake();
  of.wait(current_time() + millisecond, true);
  // The time may be reported for the first one, which nobody waits for any more.
  const std::int64_t at = current_time() + 20 * millisecond;
  while (wait_until(of, at) < at) continue;
  // Nothing is left of either.
  of.wake();
  BOOST_TEST((of.wait(no_deadline, true) & reactor::time_passed) == 0u);
}

REACTOR_TEST_CASE(events_and_a_deadline_come_side_by_side) {
  descriptor_pair pair;
  watch w(of, pair.fds[0]);
  const std::int64_t at = current_time() + 5 * millisecond;
  pair.send();
  of.wait(at, true);
  BOOST_TEST(w.reported() == io_watch::readable);
  BOOST_TEST(wait_until(of, at) >= at);
}

// Input of others

// Asio reads the pipe of the signals, and calls the handler after the turn.
REACTOR_TEST_CASE(input_that_others_deliver_is_announced) {
  cosock::signal_set set({SIGUSR1});
  ::raise(SIGUSR1);
  while (!(of.wait(no_deadline, true) & reactor::more_input)) continue;
}

// The loop that waits in it

BOOST_AUTO_TEST_CASE(a_timer_that_makes_nothing_ready_is_something_that_has_run) {
  const test::alarm_clock guard;
  struct silent final : cosock::detail::timer {
    void expire() noexcept override { expired = true; }
    bool expired = false;
  };
  cosock::loop loop;
  silent t;
  t.start_timer(engine::get(loop), current_time() + millisecond);
  loop.run_some();
  BOOST_TEST(t.expired);
}
