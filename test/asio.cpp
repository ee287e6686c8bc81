// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio
#include "support.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

namespace asio = boost::asio;
using cosock::task;
using cosock::use_task;
using namespace std::chrono_literals;
using test::is;

COROUTINE_TEST_CASE(timer_is_awaited) {
  asio::steady_timer t(cosock::loop_executor(), 1ms);
  co_await t.async_wait(use_task);
  t.expires_after(1h);
  const auto r = co_await cosock::as_result(cosock::with_timeout(1ms, t.async_wait(use_task)));
  BOOST_TEST((r.error() == cosock::error::timed_out));
}

COROUTINE_TEST_CASE(sockets_of_asio) {
  using asio::ip::tcp;
  tcp::acceptor a(cosock::loop_executor(), {asio::ip::address_v4::loopback(), 0});
  tcp::socket c(cosock::loop_executor());
  co_await c.async_connect(a.local_endpoint(), use_task);
  tcp::socket s = co_await a.async_accept(use_task);
  char buf[10];
  BOOST_TEST(co_await asio::async_write(c, asio::buffer("hello", 5), use_task) == 5u);
  BOOST_TEST(co_await asio::async_read(s, asio::buffer(buf, 5), use_task) == 5u);
  c.close();
  try {
    co_await asio::async_read(s, asio::buffer(buf, 5), use_task);
    BOOST_TEST(false);
  } catch (const boost::system::system_error& e) {
    BOOST_TEST((e.code() == asio::error::eof));
  }
}

static asio::awaitable<int> add(int a, int b) {
  asio::steady_timer t(co_await asio::this_coro::executor, 1us);
  co_await t.async_wait(asio::use_awaitable);
  co_return a + b;
}
COROUTINE_TEST_CASE(awaitable_is_awaited) { BOOST_TEST(co_await cosock::await(add(2, 3)) == 5); }

static task<int> later(int n) {
  co_await cosock::sleep_for(1ms);
  co_return n;
}

BOOST_AUTO_TEST_CASE(spawn_on_context) {
  asio::io_context ctx;
  auto f = cosock::spawn(ctx, later(7), asio::use_future);
  int got = 0;
  cosock::spawn(ctx, [] { return later(8); }, [&](std::exception_ptr e, int n) {
    BOOST_TEST(!e);
    got = n;
  });
  ctx.run();
  BOOST_TEST(f.get() == 7);
  BOOST_TEST(got == 8);
}
BOOST_AUTO_TEST_CASE(spawn_from_awaitable) {
  asio::io_context ctx;
  auto f = asio::co_spawn(ctx, []() -> asio::awaitable<int> {
    int n = 0;
    for (int i = 0; i != 100; ++i)
      n += co_await cosock::spawn(co_await asio::this_coro::executor, later(1), asio::use_awaitable);
    co_return n;
  }, asio::use_future);
  ctx.run();
  BOOST_TEST(f.get() == 100);
}
BOOST_AUTO_TEST_CASE(spawn_on_pool) {
  asio::thread_pool pool(4);
  std::vector<std::future<int>> all;
  for (int i = 0; i != 100; ++i)
    all.push_back(cosock::spawn(pool, later(i), asio::use_future));
  for (int i = 0; i != 100; ++i) BOOST_TEST(all[i].get() == i);
  pool.join();
}
