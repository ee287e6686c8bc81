// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// use_task: cancellation, threads, and whatever is destroyed first.

#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_use_task_ends
#include "asio_operations.hpp"
#include "loop_endings.hpp"
#include "support.hpp"

#include <cosock/when.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <memory>
#include <thread>

namespace {

namespace asio = boost::asio;
using boost::system::system_error;
using cosock::as_result;
using cosock::loop_executor;
using cosock::task;
using cosock::use_task;
using test::connection;
using test::is;
using test::manual;
using test::wait_for_ever;
using namespace std::chrono_literals;

// use_task: cancellation

COROUTINE_TEST_CASE(cancelled_before_it_starts) {
  manual m;
  cosock::cancel_scope scope;
  scope.cancel();
  BOOST_CHECK_EXCEPTION(co_await scope.run(m.wait(use_task)), system_error,
                        is(cosock::error::cancelled));
  BOOST_TEST(m.begun == 0);
}

COROUTINE_TEST_CASE(cancelled_while_it_waits) {
  connection c(loop_executor());
  co_await c.open();
  char into[8];
  auto r = co_await as_result(
      cosock::with_timeout(1ms, c.other.async_read_some(asio::buffer(into), use_task)));
  BOOST_TEST((r.error() == cosock::error::timed_out));
  // A whole composed operation too.
  r = co_await as_result(
      cosock::with_timeout(1ms, asio::async_read(c.other, asio::buffer(into), use_task)));
  BOOST_TEST((r.error() == cosock::error::timed_out));
  co_await asio::async_write(c.one, asio::buffer("ok", 2), use_task);
  BOOST_TEST(co_await c.other.async_read_some(asio::buffer(into), use_task) == 2u);
}

COROUTINE_TEST_CASE(a_cancelled_composed_read_tells_what_it_has) {
  connection c(loop_executor());
  co_await c.open();
  co_await asio::async_write(c.one, asio::buffer("abc", 3), use_task);
  char into[8];
  std::size_t got = 0;
  try {
    co_await cosock::with_timeout(5ms, asio::async_read(c.other, asio::buffer(into), use_task));
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST((e.code() == cosock::error::timed_out));
    got = e.bytes_transferred();
  }
  BOOST_TEST(got == 3u);
}

BOOST_AUTO_TEST_CASE(an_operation_that_completes_all_the_same_gives_its_result) {
  cosock::loop loop;
  manual m;
  m.obeys = false;
  cosock::cancel_scope scope;
  auto t = loop.start([](manual& m, cosock::cancel_scope& scope) -> task<std::string> {
    co_return co_await scope.run(m.wait(use_task));
  }(m, scope));
  test::run_until_idle(loop);
  scope.cancel();
  test::run_until_idle(loop);
  BOOST_TEST(!t.done());
  BOOST_TEST((m.asked == asio::cancellation_type::all));
  m.end({}, "result");
  test::run_until_idle(loop);
  BOOST_TEST(t.result() == "result");
}

BOOST_AUTO_TEST_CASE(completed_and_cancelled_at_once) {
  cosock::loop loop;
  for (const bool cancel_first : {false, true}) {
    manual m;
    cosock::cancel_scope scope;
    auto t = loop.start([](manual& m, cosock::cancel_scope& scope) -> task<std::string> {
      co_return co_await scope.run(m.wait(use_task));
    }(m, scope));
    test::run_until_idle(loop);
    if (cancel_first) scope.cancel();
    m.end({}, "result");
    if (!cancel_first) scope.cancel();
    test::run_until_idle(loop);
    BOOST_REQUIRE(t.done());
    if (cancel_first)
      BOOST_CHECK_EXCEPTION(t.result(), system_error, is(cosock::error::cancelled));
    else
      BOOST_TEST(t.result() == "result");
  }
}

COROUTINE_TEST_CASE(aborted_by_somebody_else_is_no_cancellation) {
  asio::steady_timer t(loop_executor(), 1h);
  asio::post(loop_executor(), [&] { t.cancel(); });
  BOOST_CHECK_EXCEPTION(co_await t.async_wait(use_task), system_error, [](const system_error& e) {
    return e.code() == asio::error::operation_aborted && e.code() != cosock::error::cancelled;
  });
}

COROUTINE_TEST_CASE(one_of_several) {
  asio::steady_timer slow(loop_executor(), 1h);
  const auto r = co_await cosock::when_any(slow.async_wait(use_task), cosock::sleep_for(1ms));
  BOOST_TEST(r.index == 1u);
  BOOST_TEST(!r.get<0>());
  const auto s =
      co_await cosock::when_any(slow.async_wait(use_task), asio::post(loop_executor(), use_task));
  BOOST_TEST(s.index == 1u);
}

// use_task: what goes before what

BOOST_AUTO_TEST_CASE(the_loop_is_destroyed_first) {
  manual m;
  m.obeys = false;
  bool destroyed = false;
  {
    cosock::loop loop;
    auto t = loop.start([](manual& m, bool& destroyed) -> task<> {
      const test::destruction_flag tale(destroyed);
      co_await m.wait(use_task);
    }(m, destroyed));
    test::run_until_idle(loop);
    BOOST_TEST(m.waits());
  }
  BOOST_TEST(destroyed);
  BOOST_TEST((m.asked == asio::cancellation_type::all));
  m.end({}, "nobody hears it");
}

BOOST_AUTO_TEST_CASE(the_task_is_destroyed_with_an_operation_on_its_loop) {
  cosock::loop loop;
  {
    auto t = loop.start([]() -> task<> {
      asio::steady_timer timer(loop_executor(), 1h);
      connection c(loop_executor());
      co_await c.open();
      char into[8];
      co_await cosock::when_any(timer.async_wait(use_task),
                                asio::async_read(c.one, asio::buffer(into), use_task));
    }());
    test::run_until_idle(loop);
    test::run_until_idle(loop);
  }
  test::run_until_idle(loop);
}

BOOST_AUTO_TEST_CASE(the_loop_is_destroyed_with_an_operation_on_it) {
  cosock::loop loop;
  auto t = loop.start([]() -> task<> {
    asio::steady_timer timer(loop_executor(), 1h);
    connection c(loop_executor());
    co_await c.open();
    char into[8];
    co_await cosock::when_any(timer.async_wait(use_task), cosock::await(wait_for_ever()),
                              asio::async_read(c.one, asio::buffer(into), use_task));
  }());
  test::run_until_idle(loop);
}

BOOST_AUTO_TEST_CASE(the_loop_is_destroyed_with_an_operation_on_another_context) {
  asio::thread_pool pool(2);
  for (int i = 0; i != 20; ++i) {
    asio::steady_timer timer(pool, i % 2 ? 1h : 1ns);
    cosock::loop loop;
    auto t = loop.start(
        [](asio::steady_timer& timer) -> task<> { co_await timer.async_wait(use_task); }(timer));
    loop.poll();
  }
  pool.join();
}

BOOST_AUTO_TEST_CASE(the_context_of_the_operation_is_destroyed_first) {
  cosock::loop loop;
  auto other = std::make_unique<asio::io_context>();
  auto t = loop.start(
      [](asio::io_context& other) -> task<> { co_await asio::post(other, use_task); }(*other));
  test::run_until_idle(loop);
  other.reset();
  t.cancel();
  test::run_until_idle(loop);
  BOOST_REQUIRE(t.done());
  BOOST_CHECK_THROW(t.result(), system_error);
}

BOOST_AUTO_TEST_CASE(a_handler_that_is_dropped_ends_the_wait) {
  cosock::loop loop;
  manual m;
  auto t = loop.start([](manual& m) -> task<> { co_await m.wait(use_task); }(m));
  test::run_until_idle(loop);
  m.drop();
  test::run_until_idle(loop);
  BOOST_REQUIRE(t.done());
  BOOST_CHECK_EXCEPTION(t.result(), system_error, [](const system_error& e) {
    return e.code() == asio::error::operation_aborted;
  });
}

// use_task: threads

COROUTINE_TEST_CASE(a_task_goes_on_on_its_own_loop) {
  const auto here = std::this_thread::get_id();
  asio::thread_pool pool(4);
  asio::steady_timer on_pool(pool, 1us);
  asio::strand<asio::thread_pool::executor_type> strand(pool.get_executor());
  for (int i = 0; i != 200; ++i) {
    on_pool.expires_after(std::chrono::microseconds(i % 3));
    co_await on_pool.async_wait(use_task);
    BOOST_REQUIRE((std::this_thread::get_id() == here));
    co_await asio::post(pool, use_task);
    BOOST_REQUIRE((std::this_thread::get_id() == here));
    co_await asio::post(strand, use_task);
    BOOST_REQUIRE((std::this_thread::get_id() == here));
  }
  pool.join();
}

COROUTINE_TEST_CASE(a_handler_called_by_any_thread) {
  const auto here = std::this_thread::get_id();
  for (int i = 0; i != 20; ++i) {
    std::thread other;
    const auto text = co_await asio::async_initiate<const cosock::use_task_t&, void(std::string)>(
        [&other](auto handler) {
          other = std::thread([h = std::move(handler)]() mutable { std::move(h)("from afar"); });
        },
        use_task);
    other.join();
    BOOST_REQUIRE((std::this_thread::get_id() == here));
    BOOST_REQUIRE(text == "from afar");
  }
}

COROUTINE_TEST_CASE(cancelled_while_another_thread_completes_it) {
  asio::thread_pool pool(2);
  int cancelled = 0;
  for (int i = 0; i != 300; ++i) {
    asio::steady_timer timer(pool, std::chrono::microseconds(i % 60));
    const auto r = co_await as_result(
        cosock::with_timeout(std::chrono::microseconds(30), timer.async_wait(use_task)));
    if (r.has_error()) {
      BOOST_REQUIRE((r.error() == cosock::error::timed_out));
      ++cancelled;
    }
  }
  BOOST_TEST_MESSAGE(cancelled << " of 300 cancelled");
  pool.join();
}

COROUTINE_TEST_CASE(operations_that_end_at_once_leave_the_others_their_turn) {
  int turns = 0;
  bool stop = false;
  co_await cosock::when_all(
      [](bool& stop) -> task<> {
        const std::byte* first = nullptr;
        std::ptrdiff_t deepest = 0;
        for (int i = 0; i != 100'000; ++i) {
          const int n = co_await asio::async_initiate<const cosock::use_task_t&, void(int)>(
              [](auto handler) {
                std::move(handler)(reinterpret_cast<std::intptr_t>(__builtin_frame_address(0)) !=
                                   0);
              },
              use_task);
          BOOST_REQUIRE(n == 1);
          const auto* here = static_cast<const std::byte*>(__builtin_frame_address(0));
          if (!first) first = here;
          deepest = std::max(deepest, first > here ? first - here : here - first);
        }
        BOOST_TEST(deepest < 10'000);
        stop = true;
      }(stop),
      [](bool& stop, int& turns) -> task<> {
        while (!stop) {
          ++turns;
          co_await cosock::yield();
        }
      }(stop, turns));
  BOOST_TEST(turns > 100);
}

}  // namespace
