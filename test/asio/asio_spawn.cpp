// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// spawn(): completion tokens, cancellation, and the life of a context.

#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_spawn
#include "asio_tasks.hpp"
#include "loop_endings.hpp"
#include "support.hpp"

#include <cosock/resolve.hpp>
#include <cosock/when.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <memory>
#include <stdexcept>

namespace {

namespace asio = boost::asio;
using boost::system::system_error;
using cosock::loop_executor;
using cosock::spawn;
using cosock::task;
using cosock::use_task;
using test::is;
using test::later;
using namespace std::chrono_literals;

task<> for_ever() { co_await test::forever(); }

// Tokens

BOOST_AUTO_TEST_CASE(tokens) {
  const test::alarm_clock guard;
  asio::io_context context;
  auto future = spawn(context, later(1), asio::use_future);
  auto nothing = spawn(
      context, [] { return for_ever(); }, asio::deferred);
  static_cast<void>(nothing);  // never begun
  int called = 0;
  spawn(context.get_executor(), later(2), [&](std::exception_ptr e, int n) {
    BOOST_TEST(!e);
    called = n;
  });
  auto deferred = spawn(
      context, [] { return later(3); }, asio::deferred);
  int third = 0;
  std::move(deferred)([&](std::exception_ptr, int n) { third = n; });
  auto from_awaitable = asio::co_spawn(
      context,
      [&]() -> asio::awaitable<int> {
        co_return co_await spawn(context, later(4), asio::use_awaitable);
      },
      asio::use_future);
  context.run();
  BOOST_TEST(future.get() == 1);
  BOOST_TEST(called == 2);
  BOOST_TEST(third == 3);
  BOOST_TEST(from_awaitable.get() == 4);
}

BOOST_AUTO_TEST_CASE(functions_and_what_they_capture_are_moved_into_the_task) {
  asio::io_context context;
  auto owned = std::make_unique<int>(5);
  auto f = spawn(
      context,
      [p = std::move(owned)]() -> task<std::unique_ptr<int>> {
        co_await cosock::yield();
        co_return std::make_unique<int>(*p + 1);
      },
      asio::use_future);
  context.run();
  BOOST_TEST(*f.get() == 6);
}

BOOST_AUTO_TEST_CASE(errors_reach_the_handler) {
  asio::io_context context;
  auto f = spawn(
      context,
      []() -> task<> {
        throw std::out_of_range("x");
        co_return;
      },
      asio::use_future);
  auto g = spawn(
      context,
      []() -> task<int> {
        co_return static_cast<int>((co_await cosock::resolve("nobody.invalid ", "x y")).size());
      },
      asio::use_future);
  auto h = asio::co_spawn(
      context,
      [&]() -> asio::awaitable<bool> {
        try {
          co_await spawn(
              context,
              []() -> task<> {
                throw std::out_of_range("y");
                co_return;
              },
              asio::use_awaitable);
        } catch (const std::out_of_range&) {
          co_return true;
        }
        co_return false;
      },
      asio::use_future);
  context.run();
  BOOST_CHECK_THROW(f.get(), std::out_of_range);
  BOOST_CHECK_THROW(g.get(), system_error);
  BOOST_TEST(h.get());
}

BOOST_AUTO_TEST_CASE(nobody_waits) {
  asio::io_context context;
  std::vector<std::string> told;
  auto push = [&](const std::exception_ptr& e) { told.push_back(cosock::error_message(e)); };
  const cosock::error_observer tell(push);
  spawn(
      context,
      []() -> task<> {
        throw std::out_of_range("told");
        co_return;
      },
      tell);
  spawn(
      context, []() -> task<> { co_return; }, tell);
  spawn(
      context,
      []() -> task<> {
        throw system_error(make_error_code(cosock::error::cancelled));
        co_return;
      },
      tell);
  spawn(context, []() -> task<> { co_return; });
  context.run();
  BOOST_TEST(told.size() == 1u);
  BOOST_TEST(told.at(0) == "told");
}

BOOST_AUTO_TEST_CASE(the_handler_is_called_through_its_executor_and_never_inside_spawn) {
  asio::io_context one;
  asio::io_context other;
  bool inside = true;
  bool called = false;
  spawn(
      one, []() -> task<> { co_return; }, asio::bind_executor(other, [&](std::exception_ptr) {
        BOOST_TEST(!inside);
        BOOST_TEST(other.get_executor().running_in_this_thread());
        called = true;
      }));
  inside = false;
  one.run();
  BOOST_TEST(!called);
  other.run();
  BOOST_TEST(called);
}

// Cancellation

BOOST_AUTO_TEST_CASE(a_slot_cancels_the_scope) {
  const test::alarm_clock guard;
  for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                          asio::cancellation_type::total}) {
    for (const int when : {0, 1, 2}) {
      asio::io_context context;
      asio::cancellation_signal signal;
      asio::steady_timer timer(context);
      std::exception_ptr got;
      spawn(
          context, [] { return for_ever(); },
          asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e) { got = e; }));
      if (when == 0) signal.emit(type);
      if (when == 1) asio::post(context, [&] { signal.emit(type); });
      if (when == 2) {
        timer.expires_after(1ms);
        timer.async_wait([&](auto) { signal.emit(type); });
      }
      context.run();
      BOOST_REQUIRE(got);
      BOOST_CHECK_EXCEPTION(std::rethrow_exception(got), system_error,
                            is(cosock::error::cancelled));
      signal.emit(type);  // too late
    }
  }
}

BOOST_AUTO_TEST_CASE(a_cancelled_task_may_clean_up_and_succeed) {
  asio::io_context context;
  asio::cancellation_signal signal;
  int got = 0;
  spawn(
      context,
      []() -> task<int> {
        const auto r = co_await cosock::as_result(test::forever());
        BOOST_TEST((r.error() == cosock::error::cancelled));
        co_await cosock::shielded(cosock::sleep_for(1ms));
        co_return 7;
      },
      asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e, int n) {
        BOOST_TEST(!e);
        got = n;
      }));
  asio::post(context, [&] { signal.emit(asio::cancellation_type::total); });
  context.run();
  BOOST_TEST(got == 7);
}

BOOST_AUTO_TEST_CASE(the_operators_of_awaitable_cancel_tasks) {
  using namespace asio::experimental::awaitable_operators;
  const test::alarm_clock guard;
  asio::io_context context;
  auto f = asio::co_spawn(
      context,
      [&]() -> asio::awaitable<std::size_t> {
        asio::steady_timer timer(context, 1ms);
        auto r = co_await (spawn(context, for_ever(), asio::use_awaitable) ||
                           timer.async_wait(asio::use_awaitable));
        auto s = co_await (spawn(context, later(3), asio::use_awaitable) &&
                           spawn(context, later(4), asio::use_awaitable));
        co_return 10 * r.index() + std::get<0>(s) + std::get<1>(s);
      },
      asio::use_future);
  context.run();
  BOOST_TEST(f.get() == 17u);
}

// The life of a context

BOOST_AUTO_TEST_CASE(run_waits_for_tasks_and_returns_without_any) {
  const test::alarm_clock guard;
  asio::io_context context;
  int ended = 0;
  for (int round = 0; round != 3; ++round) {
    for (const auto t : {0us, 100us, 2000us})
      spawn(context, [t, &ended]() -> task<> {
        co_await cosock::sleep_for(t);
        ++ended;
      });
    context.run();
    BOOST_TEST(ended == 3 * (round + 1));
    BOOST_TEST(context.stopped());
    context.restart();
    BOOST_TEST(context.poll() == 0u);
    context.restart();
  }
}

BOOST_AUTO_TEST_CASE(a_context_that_is_destroyed_destroys_its_tasks) {
  for (const int turns : {0, 1, 2, 5, 20}) {
    bool destroyed = false;
    bool called = false;
    bool dropped = false;
    auto tale = std::make_unique<test::destruction_flag>(dropped);
    {
      asio::io_context context;
      const auto strand = asio::make_strand(context);
      spawn(
          context,
          [&destroyed]() -> task<> {
            const test::destruction_flag in_frame(destroyed);
            asio::steady_timer own(loop_executor(), 1h);
            cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
            co_await cosock::when_any(acceptor.accept(), own.async_wait(use_task), test::forever());
          },
          [&called, tale = std::move(tale)](std::exception_ptr) { called = true; });
      spawn(strand, [] { return for_ever(); });
      for (int i = 0; i != turns; ++i) context.poll_one();
    }
    BOOST_TEST(!called);
    BOOST_TEST(dropped);
    BOOST_TEST(destroyed == (turns > 0));
  }
}

BOOST_AUTO_TEST_CASE(an_awaitable_that_waits_for_a_task_is_destroyed_with_it) {
  bool destroyed[2] = {};
  {
    asio::io_context context;
    asio::co_spawn(
        context,
        [&]() -> asio::awaitable<void> {
          const test::destruction_flag in_frame(destroyed[0]);
          co_await spawn(
              context,
              [&]() -> task<> {
                const test::destruction_flag in_frame(destroyed[1]);
                co_await test::forever();
              },
              asio::use_awaitable);
        },
        asio::detached);
    while (context.poll() != 0) continue;
  }
  BOOST_TEST(destroyed[0]);
  BOOST_TEST(destroyed[1]);
}

BOOST_AUTO_TEST_CASE(tasks_on_a_loop_of_this_library) {
  bool destroyed = false;
  {
    cosock::loop loop;
    loop.run([](bool& destroyed) -> task<> {
      const auto n = co_await spawn(loop_executor(), later(5), use_task);
      BOOST_TEST(n == 5);
      spawn(loop_executor(), [&destroyed]() -> task<> {
        const test::destruction_flag in_frame(destroyed);
        co_await test::forever();
      });
      co_await cosock::sleep_for(1ms);
    }(destroyed));
    BOOST_TEST(!destroyed);
  }
  BOOST_TEST(destroyed);
}

}  // namespace
