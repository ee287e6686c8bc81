// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/virtual_loop.hpp>

#define BOOST_TEST_MODULE virtual_loop
#include "support.hpp"

#include <cosock/asio.hpp>
#include <cosock/channel.hpp>
#include <cosock/file.hpp>
#include <cosock/local.hpp>
#include <cosock/mailbox.hpp>
#include <cosock/nursery.hpp>
#include <cosock/resolve.hpp>
#include <cosock/signal.hpp>
#include <cosock/sync.hpp>
#include <cosock/tcp.hpp>
#include <cosock/threads.hpp>
#include <cosock/when.hpp>

#include <boost/asio/steady_timer.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;
using cosock::clock;
using cosock::error;
using cosock::sleep_for;
using cosock::task;
using cosock::with_nursery;
using cosock::with_timeout;
using cosock::testing::real_input;
using cosock::testing::stuck;
using cosock::testing::virtual_loop;
using std::chrono::steady_clock;
using test::contains;
using test::is;

/// Longer than a tick of the timer wheel, by which a timer may be late.
constexpr auto tick = 66us;

struct joining {
  std::thread& thread;
  ~joining() { thread.join(); }
};

/// What run() says of a task that is stuck.
std::string why_stuck(task<> work, const cosock::testing::virtual_loop_options& options = {}) {
  virtual_loop loop(options);
  try {
    loop.run(std::move(work));
  } catch (const stuck& e) {
    return e.what();
  }
  return "not stuck";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_sleep_of_a_year_takes_no_time) {
  const test::alarm_clock guard;
  virtual_loop loop;
  loop.run([]() -> task<> {
    const auto begun = cosock::now();
    co_await sleep_for(24h * 365);
    BOOST_TEST((cosock::now() - begun >= 24h * 365));
    BOOST_TEST((cosock::now() - begun <= 24h * 365 + tick));
    co_await cosock::sleep_until(begun + 24h * 366);
    BOOST_TEST((cosock::now() - begun >= 24h * 366));
  }());
  BOOST_TEST((loop.elapsed() >= 24h * 366 && loop.elapsed() <= 24h * 366 + tick));
}

BOOST_AUTO_TEST_CASE(the_clock_begins_at_the_same_time_in_each_loop) {
  virtual_loop first;
  first.advance(1h);
  const virtual_loop second;
  BOOST_TEST((second.elapsed() == 0s));
  BOOST_TEST((first.now() - first.elapsed() == second.now()));
}

BOOST_AUTO_TEST_CASE(the_clock_stands_still_while_tasks_run) {
  virtual_loop loop;
  loop.run([]() -> task<> {
    const auto begun = cosock::now();
    for (int i = 0; i != 1000; ++i) co_await cosock::yield();
    std::this_thread::sleep_for(2ms);
    BOOST_TEST((cosock::now() == begun));
  }());
  BOOST_TEST((loop.elapsed() == 0s));
}

BOOST_AUTO_TEST_CASE(limits_expire_in_their_order) {
  virtual_loop loop;
  loop.run([]() -> task<> {
    cosock::event never;
    BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, never.wait()), boost::system::system_error,
                          is(error::timed_out));
    const auto begun = cosock::now();
    cosock::cancel_scope scope;
    scope.set_deadline(cosock::now() + 10min);
    const auto inner = [&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await with_timeout(5min, never.wait()), boost::system::system_error,
                            is(error::timed_out));
      BOOST_TEST((cosock::now() - begun <= 5min + tick));
      co_await with_timeout(20min, never.wait());
    };
    BOOST_CHECK_EXCEPTION(co_await scope.run(inner()), boost::system::system_error,
                          is(error::timed_out));
    BOOST_TEST((cosock::now() - begun >= 10min && cosock::now() - begun <= 10min + tick));
  }());
}

BOOST_AUTO_TEST_CASE(advance_runs_what_is_due_and_no_more) {
  virtual_loop loop;
  int minutes = 0;
  auto counting = loop.start([](int& minutes) -> task<> {
    for (;; ++minutes) co_await sleep_for(1min);
  }(minutes));
  loop.settle();
  BOOST_TEST(minutes == 0);
  loop.advance(59s);
  BOOST_TEST(minutes == 0);
  loop.advance(2s);
  BOOST_TEST(minutes == 1);
  loop.advance(1h);
  BOOST_TEST(minutes == 61);
  BOOST_TEST(!counting.done());
}

BOOST_AUTO_TEST_CASE(settle_runs_what_is_ready_without_time) {
  virtual_loop loop;
  cosock::channel<int> numbers(1);
  int sum = 0;
  auto receiving = loop.start([](cosock::channel<int>& from, int& sum) -> task<> {
    while (const auto n = co_await from.receive()) sum += *n;
    co_await sleep_for(1s);
  }(numbers, sum));
  auto sending = loop.start([](cosock::channel<int>& to) -> task<> {
    for (int i = 1; i <= 100; ++i) co_await to.send(i);
    to.close();
  }(numbers));
  loop.settle();
  BOOST_TEST(sum == 5050);
  BOOST_TEST(sending.done());
  BOOST_TEST(!receiving.done());
  BOOST_TEST((loop.elapsed() == 0s));
}

BOOST_AUTO_TEST_CASE(settle_refuses_tasks_that_yield_without_end) {
  virtual_loop loop;
  auto spinning = loop.start([]() -> task<> {
    for (;;) co_await cosock::yield();
  }());
  BOOST_CHECK_THROW(loop.settle(), std::logic_error);
}

BOOST_AUTO_TEST_CASE(exceptions_of_a_task_pass) {
  virtual_loop loop;
  BOOST_CHECK_THROW(loop.run([]() -> task<> {
    co_await sleep_for(1h);
    throw std::out_of_range("far");
  }()),
                    std::out_of_range);
}

// Input from outside

BOOST_AUTO_TEST_CASE(a_limit_does_not_expire_while_real_bytes_are_on_their_way) {
  const test::alarm_clock guard;
  virtual_loop loop;
  int sockets[2];
  BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
  bool sent = false;  // the checks are for one thread at a time
  std::thread peer([&sent, fd = sockets[1]] {
    std::this_thread::sleep_for(20ms);
    sent = ::write(fd, "x", 1) == 1;
  });
  loop.run([](int fd) -> task<> {
    auto socket = cosock::local_stream_socket::adopt(fd);
    char byte;
    BOOST_TEST(co_await with_timeout(5s, socket.receive(cosock::buffer(&byte, 1))) == 1u);
  }(sockets[0]));
  peer.join();
  BOOST_TEST(sent);
  ::close(sockets[1]);
  BOOST_TEST((loop.elapsed() >= 10ms));  // the thread may have begun before
  BOOST_TEST((loop.elapsed() < 5s));
}

BOOST_AUTO_TEST_CASE(a_silent_real_peer_is_waited_for_in_real_time) {
  const test::alarm_clock guard;
  virtual_loop loop;
  const auto begun = steady_clock::now();
  loop.run([]() -> task<> {
    auto [one, other] = cosock::local_pair();
    char byte;
    const auto result =
        co_await cosock::as_result(with_timeout(20ms, one.receive(cosock::buffer(&byte, 1))));
    BOOST_TEST((result.error() == error::timed_out));
  }());
  BOOST_TEST((steady_clock::now() - begun >= 20ms));
  BOOST_TEST((loop.elapsed() >= 20ms));
}

BOOST_AUTO_TEST_CASE(a_descriptor_on_which_no_task_waits_owes_nothing) {
  const test::alarm_clock guard;
  virtual_loop loop;
  loop.run([]() -> task<> {
    auto [one, other] = cosock::local_pair();
    char byte;
    co_await one.send("x");
    BOOST_TEST(co_await other.receive(cosock::buffer(&byte, 1)) == 1u);
    co_await sleep_for(24h);
    co_await one.send("y");
    BOOST_TEST(co_await other.receive(cosock::buffer(&byte, 1)) == 1u);
    BOOST_TEST(byte == 'y');
  }());
  BOOST_TEST((loop.elapsed() >= 24h));
}

BOOST_AUTO_TEST_CASE(a_look_up_is_waited_for) {
  const test::alarm_clock guard;
  virtual_loop loop;
  loop.run([]() -> task<> {
    // A service is looked up by a thread.
    const auto found = co_await with_timeout(10s, cosock::resolve("127.0.0.1", "http"));
    BOOST_TEST(found.front().port() == 80);
  }());
  BOOST_TEST((loop.elapsed() < 10s));
}

BOOST_AUTO_TEST_CASE(a_call_on_a_thread_and_a_file_are_waited_for) {
  const test::alarm_clock guard;
  virtual_loop loop;
  loop.run([]() -> task<> {
    const auto sleeps = [] { std::this_thread::sleep_for(20ms); };
    co_await with_timeout(10s, cosock::on_threads(sleeps));
    co_await with_timeout(10s, cosock::on_threads(sleeps, cosock::abandon));
    cosock::thread_pool pool(1);
    co_await with_timeout(10s, cosock::when_all(pool.run(sleeps), pool.run(sleeps)));
    cosock::file_stream file = co_await with_timeout(10s, cosock::open_file("/proc/self/status"));
    char bytes[100];
    co_await with_timeout(10s, file.receive_exactly(bytes));
  }());
  BOOST_TEST((loop.elapsed() < 10s));
}

BOOST_AUTO_TEST_CASE(a_value_for_a_mailbox_is_waited_for_unless_the_test_is_closed) {
  const test::alarm_clock guard;
  const auto receive = []() -> task<> {
    cosock::mailbox<int> box(1);
    std::thread sender([to = box.make_sender()] {
      std::this_thread::sleep_for(10ms);
      static_cast<void>(!to.try_send(7));  // a failure is noticed as a value that does not come
    });
    const joining at_end{sender};
    const auto received = co_await with_timeout(10s, box.receive());
    BOOST_TEST(*received == 7);
  };
  virtual_loop open;
  open.run(receive());
  BOOST_TEST((open.elapsed() < 10s));
  virtual_loop closed({.closed = true});
  BOOST_CHECK_EXCEPTION(closed.run(receive()), boost::system::system_error, is(error::timed_out));
}

BOOST_AUTO_TEST_CASE(a_signal_is_waited_for_unless_the_test_is_closed) {
  const test::alarm_clock guard;
  const auto wait = []() -> task<> {
    cosock::signal_set signals{SIGUSR1};
    co_await with_timeout(20ms, signals.wait());
  };
  const auto begun = steady_clock::now();
  virtual_loop open;
  BOOST_CHECK_EXCEPTION(open.run(wait()), boost::system::system_error, is(error::timed_out));
  BOOST_TEST((steady_clock::now() - begun >= 20ms));
  virtual_loop closed({.closed = true});
  BOOST_CHECK_EXCEPTION(closed.run(wait()), boost::system::system_error, is(error::timed_out));
}

BOOST_AUTO_TEST_CASE(an_operation_of_asio_is_waited_for) {
  const test::alarm_clock guard;
  virtual_loop loop;
  const auto begun = steady_clock::now();
  loop.run([]() -> task<> {
    boost::asio::steady_timer timer(cosock::loop_executor(), 10ms);
    co_await with_timeout(1h, timer.async_wait(cosock::use_task));
  }());
  BOOST_TEST((steady_clock::now() - begun >= 10ms));
  BOOST_TEST((loop.elapsed() < 1h));
  loop.advance(1h);  // nothing is expected any more
}

BOOST_AUTO_TEST_CASE(real_input_can_be_forbidden) {
  virtual_loop loop({.input = real_input::forbid});
  try {
    loop.run([]() -> task<> {
      auto [one, other] = cosock::local_pair();
      char byte;
      co_await one.receive(cosock::buffer(&byte, 1));
    }());
    BOOST_ERROR("not refused");
  } catch (const std::logic_error& e) {
    BOOST_TEST(contains(e.what(), "virtual_loop_options::input forbids"), e.what());
    BOOST_TEST(contains(e.what(), "receive()"), e.what());
  }
}

// Deadlock

BOOST_AUTO_TEST_CASE(a_task_that_waits_for_what_nobody_does_is_stuck) {
  const std::string text = why_stuck([]() -> task<> {
    cosock::event never;
    co_await never.wait();
  }());
  BOOST_TEST(contains(text, "no task can go on"), text);
  BOOST_TEST(contains(text, ": event::wait(), for 0.0 s"), text);
}

BOOST_AUTO_TEST_CASE(each_task_that_is_stuck_is_named_with_what_it_waits_for) {
  const std::string text = why_stuck([]() -> task<> {
    cosock::mutex first;
    cosock::mutex second;
    cosock::channel<int> numbers(1);
    const auto lock_both = [](cosock::mutex& a, cosock::mutex& b) -> task<> {
      const auto one = co_await a.lock();
      co_await sleep_for(1s);
      const auto other = co_await b.lock();
    };
    co_await with_nursery([&](cosock::nursery& n) -> task<> {
      n.start(lock_both, std::ref(first), std::ref(second));
      n.start(lock_both, std::ref(second), std::ref(first));
      co_await numbers.receive();
    });
  }());
  BOOST_TEST(contains(text, "channel::receive()"), text);
  const auto at = text.find("a semaphore or mutex");
  BOOST_REQUIRE(at != text.npos);
  BOOST_TEST(text.find("a semaphore or mutex", at + 1) != text.npos, text);
}

BOOST_AUTO_TEST_CASE(a_time_limit_keeps_a_task_from_being_stuck) {
  BOOST_TEST(why_stuck([]() -> task<> {
               cosock::event never;
               co_await cosock::as_result(with_timeout(1h, never.wait()));
             }()) == "not stuck");
}

BOOST_AUTO_TEST_CASE(a_loop_can_be_used_after_a_task_was_stuck) {
  virtual_loop loop;
  BOOST_CHECK_THROW(loop.run([]() -> task<> {
    cosock::event never;
    co_await never.wait();
  }()),
                    stuck);
  loop.advance(1h);
  BOOST_TEST((loop.elapsed() >= 1h));
}

// Mistakes

BOOST_AUTO_TEST_CASE(a_loop_inside_a_task_is_refused) {
  cosock::loop outer;
  outer.run([]() -> task<> {
    BOOST_CHECK_THROW(virtual_loop(), std::logic_error);
    co_return;
  }());
}
