// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_tokens
#include "support.hpp"

#include <cosock/local.hpp>
#include <cosock/when.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/consign.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/promise.hpp>
#include <boost/asio/experimental/use_promise.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <stdexcept>
#include <thread>

// Completion tokens of Asio's: handlers run in the threads that the program has, and futures are ready
// when run() returns. Each case ends with as many threads as it began with: Asio's system executor
// starts its own when somebody posts to it, or asks for its context.

namespace {

namespace asio = boost::asio;
using boost::system::system_error;
using cosock::spawn;
using cosock::task;
using cosock::use_task;
using test::is;
using namespace std::chrono_literals;

std::size_t threads() {
  // The thread sanitizer starts one of its own beside the first thread of a program.
  static const bool first = (std::thread([] {}).join(), true);
  static_cast<void>(first);
  std::size_t n = 0;
  DIR* all = ::opendir("/proc/self/task");
  while (const dirent* each = ::readdir(all)) n += each->d_name[0] != '.';
  ::closedir(all);
  return n;
}

struct no_new_threads {
  const test::alarm_clock guard{60};
  const std::size_t before = threads();
  ~no_new_threads() { BOOST_TEST(threads() == before); }
};

task<int> later(int n) {
  co_await cosock::yield();
  co_return n;
}
task<> fails() {
  co_await cosock::yield();
  throw std::out_of_range("failed");
}

template <class T>
bool is_ready(std::future<T>& f) {
  return f.wait_for(0s) == std::future_status::ready;
}

/// In a context of the program, through each kind of its executors.
template <class F>
void in_each_place(F f) {
  const no_new_threads check;
  {
    asio::io_context context;
    f(context, [&] { context.run(); });
  }
  {
    asio::io_context context;
    f(context.get_executor(), [&] { context.run(); });
  }
  {
    asio::io_context context;
    f(asio::make_strand(context), [&] { context.run(); });
  }
  {
    asio::thread_pool pool(1);
    f(pool, [&] { pool.join(); });
  }
}

BOOST_AUTO_TEST_CASE(futures_are_ready_when_run_returns) {
  in_each_place([](auto&& where, auto run) {
    auto value = spawn(where, later(1), asio::use_future);
    auto nothing = spawn(
        where, []() -> task<> { co_await cosock::yield(); }, asio::use_future);
    auto error = spawn(where, fails(), asio::use_future);
    auto called =
        spawn(where, later(2), asio::use_future([](std::exception_ptr, int n) { return n + 1; }));
    auto bound = spawn(where, later(4), asio::bind_executor(where, asio::use_future));
    auto kept = spawn(where, later(6), asio::consign(asio::use_future, 0));
    auto deferred = spawn(where, later(8), asio::deferred)(asio::use_future);
    run();
    BOOST_REQUIRE(is_ready(value));
    BOOST_TEST(value.get() == 1);
    BOOST_REQUIRE(is_ready(nothing));
    nothing.get();
    BOOST_REQUIRE(is_ready(error));
    BOOST_CHECK_THROW(error.get(), std::out_of_range);
    BOOST_REQUIRE(is_ready(called));
    BOOST_TEST(called.get() == 3);
    BOOST_REQUIRE(is_ready(bound));
    BOOST_TEST(bound.get() == 4);
    BOOST_REQUIRE(is_ready(kept));
    BOOST_TEST(kept.get() == 6);
    BOOST_REQUIRE(is_ready(deferred));
    BOOST_TEST(deferred.get() == 8);
  });
}

BOOST_AUTO_TEST_CASE(a_future_of_a_task_that_is_destroyed_is_ready) {
  const no_new_threads check;
  std::future<int> f;
  {
    asio::io_context context;
    f = spawn(context, later(1), asio::use_future);
  }
  BOOST_REQUIRE(is_ready(f));
  BOOST_CHECK_THROW(f.get(), std::future_error);
}

BOOST_AUTO_TEST_CASE(functions_and_coroutines_need_no_threads) {
  in_each_place([](auto&& where, auto run) {
    int function = 0;
    spawn(where, later(1), [&](std::exception_ptr, int n) { function = n; });
    int system = 0;
    spawn(where, later(2),
          asio::bind_executor(asio::system_executor(),
                              [&](std::exception_ptr, int n) { system = n; }));
    int erased = 0;
    spawn(where, later(3),
          asio::bind_executor(asio::any_io_executor(asio::system_executor()),
                              [&](std::exception_ptr, int n) { erased = n; }));
    int awaited = 0;
    const auto await_one = [&](auto on) -> asio::awaitable<void> {
      awaited = co_await spawn(on, later(4), asio::use_awaitable);
    };
    if constexpr (requires { where.get_executor(); })
      asio::co_spawn(where, await_one(where.get_executor()), asio::detached);
    else
      asio::co_spawn(where, await_one(where), asio::detached);
    spawn(where, later(5), asio::experimental::use_promise);
    spawn(where, []() -> task<> { co_return; });
    run();
    BOOST_TEST(function == 1);
    BOOST_TEST(system == 2);
    BOOST_TEST(erased == 3);
    BOOST_TEST(awaited == 4);
  });
}

BOOST_AUTO_TEST_CASE(what_a_handler_throws_leaves_run) {
  const no_new_threads check;
  asio::io_context one;
  asio::io_context other;
  const auto thrower = [](std::exception_ptr, int) { throw std::out_of_range("by a handler"); };
  spawn(one, later(1), thrower);
  BOOST_CHECK_THROW(one.run(), std::out_of_range);
  spawn(one, later(1), asio::bind_executor(asio::make_strand(one), thrower));
  one.restart();
  BOOST_CHECK_THROW(one.run(), std::out_of_range);
  spawn(one, later(1), asio::bind_executor(other, thrower));
  one.restart();
  one.run();
  BOOST_CHECK_THROW(other.run(), std::out_of_range);
  auto f = spawn(one, later(1), asio::use_future(thrower));
  one.restart();
  one.run();
  BOOST_REQUIRE(is_ready(f));
  BOOST_CHECK_THROW(f.get(), std::out_of_range);
}

// On a loop of this library

task<> on_a_loop(std::future<int>& spawned, std::future<std::size_t>& received) {
  spawned = spawn(cosock::loop_executor(), later(1), asio::use_future);
  auto [one, other] = cosock::local_pair();
  cosock::async_stream stream(one);
  char into[2];
  received = stream.async_read_some(asio::buffer(into), asio::use_future);
  co_await other.send("x");
  asio::steady_timer ticks(cosock::loop_executor(), 1ms);
  auto waited = ticks.async_wait(asio::use_future);
  while (!is_ready(received) || !is_ready(spawned) || !is_ready(waited))
    co_await cosock::sleep_for(100us);
}

BOOST_AUTO_TEST_CASE(futures_on_a_loop) {
  const no_new_threads check;
  cosock::loop loop;
  std::future<int> spawned;
  std::future<std::size_t> received;
  loop.run(on_a_loop(spawned, received));
  BOOST_TEST(spawned.get() == 1);
  BOOST_TEST(received.get() == 1u);
}

asio::awaitable<int> theirs(int n) {
  asio::steady_timer soon(co_await asio::this_coro::executor, 1us);
  co_await soon.async_wait(asio::use_awaitable);
  co_return n;
}

BOOST_AUTO_TEST_CASE(tasks_that_await_need_no_threads) {
  const no_new_threads check;
  cosock::loop loop;
  asio::io_context other;
  const int sum = loop.run([](asio::io_context& other) -> task<int> {
    int sum = co_await cosock::await(theirs(1));
    sum += co_await spawn(cosock::loop_executor(), later(2), use_task);
    sum += co_await asio::co_spawn(cosock::loop_executor(), theirs(4), use_task);
    auto elsewhere = asio::co_spawn(other, theirs(8), asio::use_future);
    other.run();
    sum += elsewhere.get();
    co_await asio::post(cosock::loop_executor(), use_task);
    co_await asio::post(use_task);
    co_await asio::dispatch(use_task);
    co_await asio::defer(use_task);
    co_return sum;
  }(other));
  BOOST_TEST(sum == 15);
}

// A handler of use_task outlives its loop here, and says which context it would have been called in.
BOOST_AUTO_TEST_CASE(a_handler_without_its_loop_needs_no_threads) {
  const no_new_threads check;
  asio::io_context other;
  asio::any_io_executor kept;
  {
    cosock::loop loop;
    auto waits = loop.start([](auto& other, auto& kept) -> task<> {
      co_await asio::async_initiate<const cosock::use_task_t, void()>(
          [&](auto handler) {
            kept = asio::get_associated_executor(handler);
            asio::post(other, std::move(handler));
          },
          use_task);
    }(other, kept));
    while (!kept) loop.poll();
  }
  BOOST_TEST(&asio::query(kept, asio::execution::context));
  bool called = false;
  asio::dispatch(kept, [&] { called = true; });
  other.run();
  BOOST_TEST(!called);
}

}  // namespace
