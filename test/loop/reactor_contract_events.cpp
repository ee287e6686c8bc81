// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Checks what lib/loop/asio_reactor.cpp assumes about the reactor of Asio, whose epoll set it nests in
// its own. See reactor_contract.cpp.

#define BOOST_TEST_MODULE reactor_contract_events
#include "asio_probe.hpp"

#include <boost/asio/detail/signal_set_service.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <chrono>

namespace {

namespace asio = boost::asio;
using test::connected_pair;
using test::is_readable;
using test::operation_queue;
using test::owned;
using test::patience;
using test::probed_context;
using test::receive_byte;
using test::send_byte;
using test::stream_descriptor;
using namespace std::chrono_literals;

}  // namespace

// The reactor of Asio, inside another epoll set

BOOST_AUTO_TEST_SUITE(nested_reactor)

BOOST_FIXTURE_TEST_CASE(its_descriptor_is_not_readable_where_nothing_happens, probed_context) {
  connected_pair pair;
  stream_descriptor descriptor(context, pair.one->release());
  descriptor.async_wait(stream_descriptor::wait_read, [](auto) {});
  asio::steady_timer timer(context, 1h);
  timer.async_wait([](auto) {});
  run_until_idle();
  BOOST_TEST(!is_readable(epoll()));
}

BOOST_FIXTURE_TEST_CASE(its_descriptor_is_readable_from_an_event_until_the_reactor_has_run,
                        probed_context) {
  connected_pair pair;
  stream_descriptor descriptor(context, pair.one->release());
  run_until_idle();

  const owned outer(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event of = {};
  of.events = EPOLLIN;
  BOOST_REQUIRE(::epoll_ctl(outer.get(), EPOLL_CTL_ADD, epoll(), &of) == 0);
  const auto is_reported = [&] {
    epoll_event found;
    return ::epoll_wait(outer.get(), &found, 1, 0) == 1;
  };

  int called = 0;
  const auto check = [&](auto kind, auto cause) {
    descriptor.async_wait(kind, [&](auto ec) {
      BOOST_TEST(!ec);
      ++called;
    });
    const int before = called;
    cause();
    for (int i = 0; i != 3; ++i) {
      BOOST_TEST(is_readable(epoll()));
      BOOST_TEST(is_reported());
    }
    while (context.poll_one() != 0) continue;
    BOOST_TEST(called == before + 1);
    BOOST_TEST(!is_readable(epoll()));
    BOOST_TEST(!is_reported());
  };
  const auto nothing = [] {};
  check(stream_descriptor::wait_read, [&] { send_byte(pair.other->get()); });
  check(stream_descriptor::wait_read, nothing);  // the byte is still there
  receive_byte(descriptor.native_handle());
  check(stream_descriptor::wait_write, nothing);
  check(stream_descriptor::wait_write, nothing);
  check(stream_descriptor::wait_read, [&] { pair.other.reset(); });
  check(stream_descriptor::wait_error, nothing);
}

BOOST_FIXTURE_TEST_CASE(an_event_that_nobody_waits_for_does_not_keep_it_readable, probed_context) {
  connected_pair pair;
  stream_descriptor descriptor(context, pair.one->release());
  run_until_idle();
  send_byte(pair.other->get());
  run_until_idle();
  BOOST_TEST(!is_readable(epoll()));
}

BOOST_FIXTURE_TEST_CASE(more_events_than_it_takes_in_one_run_keep_it_readable, probed_context) {
  constexpr int count = 300;
  std::vector<owned> peers;
  std::vector<stream_descriptor> descriptors;
  int called = 0;
  for (int i = 0; i != count; ++i) {
    connected_pair pair;
    descriptors.emplace_back(context, pair.one->release());
    descriptors.back().async_wait(stream_descriptor::wait_read, [&](auto) { ++called; });
    peers.push_back(std::move(*pair.other));
  }
  run_until_idle();
  BOOST_TEST(called == 0);
  for (const auto& each : peers) send_byte(each.get());
  while (called != count) {
    BOOST_REQUIRE(is_readable(epoll()));
    const int before = called;
    while (context.poll_one() != 0) continue;
    BOOST_REQUIRE(called > before);
  }
  BOOST_TEST(!is_readable(epoll()));
}

BOOST_FIXTURE_TEST_CASE(it_does_not_wait_where_its_limit_is_0, probed_context) {
  asio::steady_timer timer(context, 1h);
  timer.async_wait([](auto) {});
  run_until_idle();
  operation_queue ops;
  reactor.run(0, ops);
  BOOST_TEST(ops.empty());
}

BOOST_FIXTURE_TEST_CASE(its_timers_have_a_timerfd, probed_context) {
  BOOST_REQUIRE(timer() >= 0);
  itimerspec now = {};
  asio::steady_timer one(context, 1h);
  one.async_wait([](auto) {});
  run_until_idle();
  BOOST_REQUIRE(::timerfd_gettime(timer(), &now) == 0);
  BOOST_TEST(now.it_value.tv_sec + now.it_value.tv_nsec > 0);
}

BOOST_FIXTURE_TEST_CASE(a_timer_that_is_due_makes_its_descriptor_readable, probed_context) {
  run_until_idle();
  int called = 0;
  const auto started = std::chrono::steady_clock::now();
  asio::steady_timer timer(context, 20ms);
  timer.async_wait([&](auto ec) {
    BOOST_TEST(!ec);
    ++called;
  });
  BOOST_REQUIRE(is_readable(epoll(), patience));
  while (called == 0) {
    run_until_idle();
    BOOST_REQUIRE((called != 0 || is_readable(epoll(), patience)));
  }
  BOOST_TEST((std::chrono::steady_clock::now() - started >= 20ms));
  BOOST_TEST(!is_readable(epoll()));
}

BOOST_FIXTURE_TEST_CASE(an_earlier_timer_needs_no_interruption, probed_context) {
  bool called = false;
  asio::steady_timer late(context, 1h);
  late.async_wait([](auto) {});
  run_until_idle();
  asio::steady_timer early(context, 5ms);
  early.async_wait([&](auto) { called = true; });
  while (!called) {
    BOOST_REQUIRE(is_readable(epoll(), patience));
    run_until_idle();
  }
  BOOST_TEST(task.interrupts == 0);
  // Neither does one that is moved.
  called = false;
  late.expires_after(5ms);
  late.async_wait([&](auto ec) { called = !ec; });
  while (!called) {
    BOOST_REQUIRE(is_readable(epoll(), patience));
    run_until_idle();
  }
  BOOST_TEST(task.interrupts == 0);
}

BOOST_AUTO_TEST_SUITE_END()

// A child process that was forked

BOOST_AUTO_TEST_SUITE(child_process)

void replace(int number, int fresh) {
  BOOST_REQUIRE(number >= 0);
  BOOST_REQUIRE(fresh >= 0);
  BOOST_REQUIRE(::dup3(fresh, number, O_CLOEXEC) == number);
  ::close(fresh);
}

BOOST_FIXTURE_TEST_CASE(notify_fork_has_the_reactor_go_on_with_descriptors_of_its_own,
                        probed_context) {
  connected_pair pair;
  connected_pair later;
  stream_descriptor descriptor(context, pair.one->release());
  int called = 0;
  int timed = 0;
  descriptor.async_wait(stream_descriptor::wait_read, [&](auto ec) { called += !ec; });
  asio::steady_timer timer(context, 30ms);
  timer.async_wait([&](auto ec) { timed += !ec; });
  run_until_idle();

  // What the parent has, and what stands in its place until the child goes on.
  const owned parent_epoll(::fcntl(epoll(), F_DUPFD_CLOEXEC, 0));
  const owned parent_timer(::fcntl(this->timer(), F_DUPFD_CLOEXEC, 0));
  replace(epoll(), ::epoll_create1(EPOLL_CLOEXEC));
  replace(this->timer(), ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  send_byte(pair.other->get());
  BOOST_TEST(!is_readable(epoll()));
  BOOST_TEST(is_readable(parent_epoll.get()));

  reactor.notify_fork(asio::execution_context::fork_child);
  BOOST_REQUIRE(epoll() >= 0);
  BOOST_REQUIRE(this->timer() >= 0);
  for (const int fd : {epoll(), this->timer()}) BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC));
  BOOST_TEST(is_readable(epoll()));
  run_until_idle();
  BOOST_TEST(called == 1);
  while (timed == 0) {
    BOOST_REQUIRE(is_readable(epoll(), patience));
    run_until_idle();
  }
  // Both new descriptors are used from then on.
  BOOST_TEST(is_readable(parent_timer.get(), patience));
  BOOST_TEST(!is_readable(epoll()));
  BOOST_TEST(current_task() == &task);
  stream_descriptor another(context, later.one->release());
  another.async_wait(stream_descriptor::wait_read, [&](auto ec) { called += !ec; });
  send_byte(later.other->get());
  BOOST_TEST(is_readable(epoll()));
  run_until_idle();
  BOOST_TEST(called == 2);
}

BOOST_FIXTURE_TEST_CASE(its_signals_come_through_the_pipe_of_the_process_whatever_that_is,
                        probed_context) {
  int caught = 0;
  asio::signal_set signals(context, SIGUSR1);
  const std::function<void()> wait = [&] {
    signals.async_wait([&](auto ec, int) {
      caught += !ec;
      if (!ec) wait();
    });
  };
  wait();
  run_until_idle();

  const auto& of = *asio::detail::get_signal_state();
  int fresh[2];
  BOOST_REQUIRE(::pipe2(fresh, O_CLOEXEC | O_NONBLOCK) == 0);
  const owned parent(::fcntl(of.read_descriptor_, F_DUPFD_CLOEXEC, 0));
  replace(of.read_descriptor_, fresh[0]);
  replace(of.write_descriptor_, fresh[1]);
  reactor.notify_fork(asio::execution_context::fork_child);
  run_until_idle();
  {
    // A signal takes no lock.
    auto& mutex = asio::detail::get_signal_state()->mutex_;
    mutex.lock();
    ::raise(SIGUSR1);
    mutex.unlock();
  }
  int number;
  BOOST_TEST(::read(parent.get(), &number, sizeof number) == 0);
  BOOST_TEST(is_readable(epoll()));
  run_until_idle();
  BOOST_TEST(caught == 1);
  ::raise(SIGUSR1);
  run_until_idle();
  BOOST_TEST(caught == 2);
}

BOOST_FIXTURE_TEST_CASE(a_signal_that_one_context_reads_is_queued_for_the_others, probed_context) {
  int caught = 0;
  asio::signal_set signals(context, SIGUSR1);
  signals.async_wait([&](auto ec, int) { caught += !ec; });
  run_until_idle();
  asio::io_context other;
  asio::signal_set reader(other, SIGUSR2);
  reader.async_wait([](auto, int) {});
  other.poll();
  lower_interruption_flag();
  ::raise(SIGUSR1);
  other.poll();
  BOOST_TEST(task.interrupts == 1);
  task.on_turn = [](auto&) {};
  context.poll();
  BOOST_TEST(caught == 1);
}

BOOST_AUTO_TEST_SUITE_END()
