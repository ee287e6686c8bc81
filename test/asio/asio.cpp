// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio
#include "loop_endings.hpp"

#include <cosock/when.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <thread>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::system_error;
using cosock::as_result;
using cosock::loop_executor;
using cosock::task;
using cosock::use_task;
using test::is;
using namespace std::chrono_literals;

/// An operation whose end is the test's to give.
class manual {
 public:
  template <class Token>
  auto wait(Token&& token) {
    return asio::async_initiate<Token, void(boost::system::error_code, std::string)>(
        [this](auto handler) {
          ++begun;
          auto slot = asio::get_associated_cancellation_slot(handler);
          if (slot.is_connected())
            slot.assign([this](asio::cancellation_type type) {
              asked = type;
              if (obeys) end(asio::error::operation_aborted, "");
            });
          handler_ = std::make_unique<holder<decltype(handler)>>(std::move(handler));
        },
        token);
  }
  void end(boost::system::error_code ec, std::string text) {
    // Without asking what executor the handler wants: operations like that exist.
    if (const auto h = std::move(handler_)) h->call(ec, std::move(text));
  }
  void drop() { handler_.reset(); }
  bool waits() const { return handler_ != nullptr; }

  int begun = 0;
  bool obeys = true;
  asio::cancellation_type asked = asio::cancellation_type::none;

 private:
  struct held {
    virtual void call(boost::system::error_code, std::string) = 0;
    virtual ~held() = default;
  };
  template <class Handler>
  struct holder final : held {
    explicit holder(Handler&& h) : handler(std::move(h)) {}
    void call(boost::system::error_code ec, std::string text) override {
      std::move(handler)(ec, std::move(text));
    }
    Handler handler;
  };
  std::unique_ptr<held> handler_;
};

/// Two ends of a TCP connection of Asio's.
struct connection {
  explicit connection(const asio::any_io_executor& on) : one(on), other(on) {}
  task<> open() {
    tcp::acceptor acceptor(one.get_executor(), {asio::ip::address_v4::loopback(), 0});
    co_await one.async_connect(acceptor.local_endpoint(), use_task);
    other = co_await acceptor.async_accept(use_task);
  }
  tcp::socket one;
  tcp::socket other;
};

asio::awaitable<int> add(int a, int b) {
  asio::steady_timer t(co_await asio::this_coro::executor, 1us);
  co_await t.async_wait(asio::use_awaitable);
  co_return a + b;
}

asio::awaitable<void> wait_for_ever() {
  asio::steady_timer t(co_await asio::this_coro::executor, 1h);
  co_await t.async_wait(asio::use_awaitable);
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
  test::settle(loop);
  scope.cancel();
  test::settle(loop);
  BOOST_TEST(!t.done());
  BOOST_TEST((m.asked == asio::cancellation_type::all));
  m.end({}, "result");
  test::settle(loop);
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
    test::settle(loop);
    if (cancel_first) scope.cancel();
    m.end({}, "result");
    if (!cancel_first) scope.cancel();
    test::settle(loop);
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
  const auto s = co_await cosock::when_any(slow.async_wait(use_task),
                                           asio::post(loop_executor(), use_task));
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
      const test::tell_tale tale(destroyed);
      co_await m.wait(use_task);
    }(m, destroyed));
    test::settle(loop);
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
    test::settle(loop);
    test::settle(loop);
  }
  test::settle(loop);
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
  test::settle(loop);
}

BOOST_AUTO_TEST_CASE(the_loop_is_destroyed_with_an_operation_on_another_context) {
  asio::thread_pool pool(2);
  for (int i = 0; i != 20; ++i) {
    asio::steady_timer timer(pool, i % 2 ? 1h : 1ns);
    cosock::loop loop;
    auto t = loop.start([](asio::steady_timer& timer) -> task<> {
      co_await timer.async_wait(use_task);
    }(timer));
    loop.poll();
  }
  pool.join();
}

BOOST_AUTO_TEST_CASE(the_context_of_the_operation_is_destroyed_first) {
  cosock::loop loop;
  auto other = std::make_unique<asio::io_context>();
  auto t = loop.start([](asio::io_context& other) -> task<> {
    co_await asio::post(other, use_task);
  }(*other));
  test::settle(loop);
  other.reset();
  t.cancel();
  test::settle(loop);
  BOOST_REQUIRE(t.done());
  BOOST_CHECK_THROW(t.result(), system_error);
}

BOOST_AUTO_TEST_CASE(a_handler_that_is_dropped_ends_the_wait) {
  cosock::loop loop;
  manual m;
  auto t = loop.start([](manual& m) -> task<> { co_await m.wait(use_task); }(m));
  test::settle(loop);
  m.drop();
  test::settle(loop);
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
                std::move(handler)(reinterpret_cast<std::intptr_t>(__builtin_frame_address(0)) != 0);
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
  const auto r = co_await cosock::when_any(cosock::await(wait_for_ever()), cosock::await(add(1, 2)));
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
