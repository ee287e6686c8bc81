// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// use_task and await(): the results and the errors of operations of Asio.

#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_use_task
#include "asio_operations.hpp"
#include "support.hpp"

#include <cosock/when.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <stdexcept>
#include <thread>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
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

asio::awaitable<int> add(int a, int b) {
  asio::steady_timer t(co_await asio::this_coro::executor, 1us);
  co_await t.async_wait(asio::use_awaitable);
  co_return a + b;
}

// use_task: results

COROUTINE_TEST_CASE(values_behind_the_error_are_given) {
  asio::steady_timer t(loop_executor(), 1ms);
  static_assert(std::is_void_v<decltype(t.async_wait(use_task).result())>);
  co_await t.async_wait(use_task);

  connection c(loop_executor());
  co_await c.open();
  char into[8];
  BOOST_TEST(co_await asio::async_write(c.one, asio::buffer("hello", 5), use_task) == 5u);
  BOOST_TEST(co_await asio::async_read(c.other, asio::buffer(into, 5), use_task) == 5u);
  BOOST_TEST(std::string(into, 5) == "hello");
  BOOST_TEST(co_await c.one.async_write_some(asio::buffer("x", 1), use_task) == 1u);
  const std::size_t n = co_await c.other.async_read_some(asio::buffer(into), use_task);
  BOOST_TEST(n == 1u);
}

COROUTINE_TEST_CASE(several_values_are_a_tuple) {
  asio::steady_timer a(loop_executor(), 1ms);
  asio::steady_timer b(loop_executor(), 1h);
  auto both = asio::experimental::make_parallel_group(a.async_wait(asio::deferred),
                                                      b.async_wait(asio::deferred));
  const auto [order, first, second] =
      co_await both.async_wait(asio::experimental::wait_for_one(), use_task);
  BOOST_TEST(order[0] == 0u);
  BOOST_TEST(!first);
  BOOST_TEST((second == asio::error::operation_aborted));
}

COROUTINE_TEST_CASE(signatures_without_error) {
  co_await asio::post(loop_executor(), use_task);
  co_await asio::dispatch(loop_executor(), use_task);
  co_await asio::defer(loop_executor(), use_task);
  const int n = co_await asio::async_initiate<const cosock::use_task_t&, void(int)>(
      [](auto handler) { std::move(handler)(7); }, use_task);
  BOOST_TEST(n == 7);
}

COROUTINE_TEST_CASE(errors_are_thrown) {
  tcp::acceptor gone(loop_executor(), {asio::ip::address_v4::loopback(), 0});
  const auto at = gone.local_endpoint();
  gone.close();
  tcp::socket s(loop_executor());
  BOOST_CHECK_EXCEPTION(co_await s.async_connect(at, use_task), system_error,
                        is(boost::system::errc::connection_refused));
  tcp::socket other(loop_executor());
  const auto r = co_await as_result(other.async_connect(at, use_task));
  BOOST_TEST((r.error() == boost::system::errc::connection_refused));
}

COROUTINE_TEST_CASE(what_was_transferred_comes_with_the_error) {
  connection c(loop_executor());
  co_await c.open();
  co_await asio::async_write(c.one, asio::buffer("abc", 3), use_task);
  c.one.close();
  char into[8];
  std::size_t got = 0;
  try {
    co_await asio::async_read(c.other, asio::buffer(into), use_task);
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST((e.code() == asio::error::eof));
    got = e.bytes_transferred();
  }
  BOOST_TEST(got == 3u);
}

COROUTINE_TEST_CASE(exceptions_pass) {
  const auto failing = [](std::exception_ptr e) {
    return asio::async_initiate<const cosock::use_task_t&, void(std::exception_ptr, int)>(
        [e](auto handler) { std::move(handler)(e, 5); }, use_task);
  };
  BOOST_CHECK_THROW(co_await failing(std::make_exception_ptr(std::out_of_range("x"))),
                    std::out_of_range);
  BOOST_TEST(co_await failing(nullptr) == 5);
}

COROUTINE_TEST_CASE(an_initiation_that_throws) {
  const auto bad = [] {
    return asio::async_initiate<const cosock::use_task_t&, void(int)>(
        [](auto) { throw std::out_of_range("x"); }, use_task);
  };
  BOOST_CHECK_THROW(co_await bad(), std::out_of_range);
  co_await cosock::yield();
}

COROUTINE_TEST_CASE(the_operation_begins_when_it_is_awaited) {
  manual m;
  {
    auto unused = m.wait(use_task);
    static_cast<void>(unused);
  }
  BOOST_TEST(m.begun == 0);
  auto kept = m.wait(use_task);
  co_await cosock::when_all(std::move(kept), [](manual& m) -> task<> {
    BOOST_TEST(m.waits());
    m.end({}, "text");
    co_return;
  }(m));
  BOOST_TEST(m.begun == 1);
}

COROUTINE_TEST_CASE(other_tokens_in_front) {
  asio::steady_timer t(loop_executor(), 1ms);
  const auto [ec] = co_await t.async_wait(asio::as_tuple(use_task));
  BOOST_TEST(!ec);
  t.expires_after(1ms);
  auto later = t.async_wait(asio::deferred);
  co_await std::move(later)(use_task);

  asio::experimental::channel<void(boost::system::error_code, std::string)> ch(loop_executor(), 1);
  co_await ch.async_send({}, "value", use_task);
  BOOST_TEST(co_await ch.async_receive(use_task) == "value");
  const auto r = co_await as_result(cosock::with_timeout(1ms, ch.async_receive(use_task)));
  BOOST_TEST((r.error() == cosock::error::timed_out));

  using timer = cosock::use_task_t::as_default_on_t<asio::steady_timer>;
  timer by_default(loop_executor(), 1ms);
  co_await by_default.async_wait();
}

// await()

COROUTINE_TEST_CASE(an_awaitable_is_awaited) {
  BOOST_TEST(co_await cosock::await(add(2, 3)) == 5);
  co_await cosock::await([]() -> asio::awaitable<void> { co_return; }());
  BOOST_CHECK_THROW(
      co_await cosock::await([]() -> asio::awaitable<int> { throw std::out_of_range("x"); }()),
      std::out_of_range);
}

COROUTINE_TEST_CASE(an_awaitable_is_cancelled_with_the_scope) {
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, cosock::await(wait_for_ever())),
                        system_error, is(cosock::error::timed_out));
  const auto r =
      co_await cosock::when_any(cosock::await(wait_for_ever()), cosock::await(add(1, 2)));
  BOOST_TEST(*r.get<1>() == 3);
}

COROUTINE_TEST_CASE(an_awaitable_runs_on_the_loop_and_may_await_tasks) {
  const auto here = std::this_thread::get_id();
  const int n = co_await cosock::await([](std::thread::id here) -> asio::awaitable<int> {
    BOOST_TEST((std::this_thread::get_id() == here));
    co_return co_await cosock::spawn(
        co_await asio::this_coro::executor,
        [here]() -> task<int> {
          BOOST_TEST((std::this_thread::get_id() == here));
          co_await cosock::sleep_for(1ms);
          co_return 6;
        },
        asio::use_awaitable);
  }(here));
  BOOST_TEST(n == 6);
}

}  // namespace
