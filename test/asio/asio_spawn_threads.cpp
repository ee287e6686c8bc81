// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// spawn() on contexts with several threads, strands and other handlers.

#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_spawn_threads
#include "asio_tasks.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/mailbox.hpp>
#include <cosock/resolve.hpp>
#include <cosock/signal.hpp>

#include <boost/asio/compose.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <csignal>
#include <stdexcept>
#include <thread>

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

/// Contexts to try things in, with the threads that run them.
struct runner {
  explicit runner(int threads) {
    work.emplace(asio::make_work_guard(context));
    for (int i = 0; i != threads; ++i) all.emplace_back([this] { context.run(); });
  }
  ~runner() {
    work.reset();
    for (auto& t : all) t.join();
  }
  asio::io_context context;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::vector<std::thread> all;
};

// Boost.Test is for one thread; others count what is wrong.
template <class Where>
void work_side_by_side(Where&& where) {
  constexpr int tasks = 200;
  std::atomic<int> inside = 0;
  std::atomic<int> faults = 0;
  std::vector<std::future<int>> all;
  for (int i = 0; i != tasks; ++i)
    all.push_back(spawn(
        where,
        [i, &inside, &faults]() -> task<int> {
          for (int n = 0; n != 10; ++n) {
            if (++inside != 1) ++faults;
            --inside;
            switch (n % 3) {
              case 0: co_await cosock::sleep_for(std::chrono::microseconds(i)); break;
              case 1: co_await cosock::yield(); break;
              case 2: {
                asio::steady_timer t(loop_executor(), std::chrono::microseconds(i));
                co_await t.async_wait(use_task);
              }
            }
          }
          co_return i;
        },
        asio::use_future));
  for (int i = 0; i != tasks; ++i) BOOST_TEST(all[static_cast<std::size_t>(i)].get() == i);
  BOOST_TEST(faults == 0);
}

BOOST_AUTO_TEST_CASE(one_thread) {
  const test::alarm_clock guard;
  runner r(1);
  work_side_by_side(r.context);
  work_side_by_side(asio::make_strand(r.context));
}

BOOST_AUTO_TEST_CASE(four_threads) {
  const test::alarm_clock guard;
  runner r(4);
  work_side_by_side(r.context);
  work_side_by_side(asio::make_strand(r.context));
  work_side_by_side(asio::any_io_executor(asio::make_strand(r.context)));
}

BOOST_AUTO_TEST_CASE(a_pool_of_threads) {
  const test::alarm_clock guard;
  asio::thread_pool pool(4);
  work_side_by_side(pool);
  work_side_by_side(asio::make_strand(pool));
  pool.join();
}

BOOST_AUTO_TEST_CASE(many_strands) {
  const test::alarm_clock guard;
  const std::size_t before = test::open_descriptors();
  {
    runner r(3);
    std::vector<std::future<int>> all;
    for (int i = 0; i != 100; ++i)
      all.push_back(spawn(asio::make_strand(r.context), later(i), asio::use_future));
    for (int i = 0; i != 100; ++i) BOOST_TEST(all[static_cast<std::size_t>(i)].get() == i);
    std::vector<std::future<int>> more;
    for (int i = 0; i != 20; ++i) {
      const auto strand = asio::make_strand(r.context);
      for (int n = 0; n != 5; ++n) more.push_back(spawn(strand, later(n), asio::use_future));
    }
    for (auto& each : more) each.get();
  }
  BOOST_TEST(test::open_descriptors() == before);
}

/// A stream that goes on sending when its task has ended keeps the loop only until it is done.
BOOST_AUTO_TEST_CASE(strands_give_their_loops_back_also_after_streams_that_linger) {
  const test::alarm_clock guard;
  using local = asio::local::stream_protocol;
  asio::io_context context;
  const std::size_t before = test::open_descriptors();
  const auto greet = [&](local::socket& peer) -> task<> {
    local::socket mine(context);
    asio::local::connect_pair(mine, peer);
    cosock::asio_stream<local::socket> stream(std::move(mine));
    co_await stream.send("hello");
  };
  for (int i = 0; i != 50; ++i) {
    local::socket peer(context);
    spawn(asio::make_strand(context), [&] { return greet(peer); });
    context.run();
    context.restart();
  }
  BOOST_TEST(test::open_descriptors() < before + 40);
}

BOOST_AUTO_TEST_CASE(strands_give_their_loops_back_also_after_sockets_that_outlive_their_task) {
  const test::alarm_clock guard;
  asio::io_context context;
  const std::size_t before = test::open_descriptors();
  for (int i = 0; i != 50; ++i) {
    const auto strand = asio::make_strand(context);
    cosock::tcp_acceptor kept;
    spawn(strand, [&]() -> task<> {
      kept = cosock::tcp_acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
      co_return;
    });
    context.run();
    context.restart();
    asio::post(strand, [&] { kept.close(); });
    context.run();
    context.restart();
  }
  BOOST_TEST(test::open_descriptors() < before + 40);
}

BOOST_AUTO_TEST_CASE(an_executor_that_tracks_work_does_not_keep_run_from_returning) {
  const test::alarm_clock guard;
  asio::io_context context;
  int done = 0;
  spawn(asio::require(context.get_executor(), asio::execution::outstanding_work.tracked),
        [&]() -> task<> {
          ++done;
          co_return;
        });
  context.run();
  BOOST_TEST(done == 1);
}

BOOST_AUTO_TEST_CASE(tasks_of_one_context_share_their_sockets) {
  const test::alarm_clock guard;
  runner r(2);
  auto acceptor =
      spawn(
          r.context,
          []() -> task<cosock::tcp_acceptor> {
            co_return cosock::tcp_acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
          },
          asio::use_future)
          .get();
  auto server = spawn(
      r.context,
      [&]() -> task<> {
        auto s = co_await acceptor.accept();
        char into[64];
        while (const std::size_t n = co_await s.receive(into))
          co_await s.send(cosock::buffer(into, n));
      },
      asio::use_future);
  auto client = spawn(
      r.context,
      [&]() -> task<int> {
        auto s = co_await cosock::connect(acceptor.local_endpoint());
        int good = 0;
        for (int i = 0; i != 500; ++i) {
          char into[4] = {};
          co_await s.send("ping");
          co_await s.receive_exactly(into);
          good += std::string_view(into, 4) == "ping";
        }
        co_return good;
      },
      asio::use_future);
  BOOST_TEST(client.get() == 500);
  server.get();
  spawn(
      r.context, [&]() -> task<> { co_return acceptor.close(); }, asio::use_future)
      .get();
}

BOOST_AUTO_TEST_CASE(other_threads_reach_the_loop) {
  const test::alarm_clock guard;
  runner r(2);
  std::promise<cosock::mailbox<int>::sender> made;
  std::promise<cosock::loop*> loop;
  auto sum = spawn(
      r.context,
      [&]() -> task<int> {
        cosock::mailbox<int> box(16);
        loop.set_value(&cosock::loop::current());
        made.set_value(box.make_sender());
        int sum = 0;
        while (const auto n = co_await box.receive()) sum += *n;
        // A look-up comes home from a thread of its own.
        const auto found = co_await cosock::resolve("localhost", 80);
        co_return found.empty() ? -1 : sum;
      },
      asio::use_future);
  const auto sender = made.get_future().get();
  cosock::loop* const of = loop.get_future().get();
  int posted = 0;
  for (int i = 1; i <= 100; ++i) {
    while (!sender.try_send(i)) std::this_thread::yield();
    if (i % 10 == 0) {
      std::promise<void> done;
      of->post([&] {
        ++posted;
        done.set_value();
      });
      done.get_future().get();
    }
  }
  sender.close();
  BOOST_TEST(sum.get() == 5050);
  BOOST_TEST(posted == 10);
}

BOOST_AUTO_TEST_CASE(signals_reach_a_task) {
  const test::alarm_clock guard;
  asio::io_context context;
  auto f = spawn(
      context,
      []() -> task<int> {
        cosock::signal_set set{SIGUSR1};
        ::raise(SIGUSR1);
        co_return co_await set.wait();
      },
      asio::use_future);
  context.run();
  BOOST_TEST(f.get() == SIGUSR1);
}

// Asio has one pipe for the signals of all contexts, and whoever reads it queues the handlers of all.
BOOST_AUTO_TEST_CASE(a_signal_that_another_context_has_read_reaches_a_task) {
  const test::alarm_clock guard;
  asio::io_context other;
  asio::signal_set reader(other, SIGUSR2);
  reader.async_wait([](auto, int) {});
  asio::io_context context;
  auto f = spawn(
      context,
      []() -> task<int> {
        cosock::signal_set set{SIGUSR1};
        co_return co_await set.wait();
      },
      asio::use_future);
  context.poll();
  ::raise(SIGUSR1);
  other.poll();
  context.run();
  BOOST_TEST(f.get() == SIGUSR1);
}

BOOST_AUTO_TEST_CASE(an_exception_of_a_handler_leaves_run_and_tasks_go_on_in_the_next) {
  const test::alarm_clock guard;
  asio::io_context context;
  asio::io_context other;
  for (asio::io_context* const of_timer : {&context, &other}) {
    asio::steady_timer timer(*of_timer, 0s);
    // An operation whose second step fails, on the loop of the task.
    const auto fail = [&](auto&& token) {
      return asio::async_compose<decltype(token), void(boost::system::error_code)>(
          [&, waited = false](auto& self, boost::system::error_code = {}) mutable {
            if (waited) throw std::runtime_error("a step");
            waited = true;
            timer.async_wait(std::move(self));
          },
          token);
    };
    auto aborted = spawn(
        context, [&]() -> task<> { co_await fail(use_task); }, asio::use_future);
    auto neighbor = spawn(context, later(1), asio::use_future);
    if (of_timer == &other) {
      context.poll();
      other.run();
    }
    BOOST_CHECK_THROW(context.run(), std::runtime_error);
    context.run();
    BOOST_CHECK_EXCEPTION(aborted.get(), system_error, is(boost::system::errc::operation_canceled));
    BOOST_TEST(neighbor.get() == 1);
    context.restart();
  }
}

BOOST_AUTO_TEST_CASE(handlers_of_the_program_have_their_turn) {
  const test::alarm_clock guard;
  asio::io_context context;
  bool stop = false;
  int handlers = 0;
  spawn(context, [&]() -> task<> {
    while (!stop) co_await cosock::yield();
  });
  std::function<void()> again = [&] {
    if (++handlers == 1000)
      stop = true;
    else
      asio::post(context, again);
  };
  asio::post(context, again);
  context.run();
  BOOST_TEST(handlers == 1000);
}

BOOST_AUTO_TEST_CASE(an_operation_on_another_context) {
  const test::alarm_clock guard;
  runner one(2);
  runner other(2);
  auto f = spawn(
      one.context,
      [&]() -> task<int> {
        asio::steady_timer there(other.context);
        int n = 0;
        for (int i = 0; i != 100; ++i) {
          there.expires_after(std::chrono::microseconds(i % 5));
          co_await there.async_wait(use_task);
          n += co_await spawn(other.context, later(1), use_task);
          if (!one.context.get_executor().running_in_this_thread()) co_return -1;
        }
        co_return n;
      },
      asio::use_future);
  BOOST_TEST(f.get() == 100);
}

BOOST_AUTO_TEST_CASE(time_limits) {
  const test::alarm_clock guard;
  runner r(2);
  auto f = spawn(
      r.context,
      []() -> task<int> {
        asio::steady_timer slow(loop_executor(), 1h);
        int limits = 0;
        for (int i = 0; i != 20; ++i) {
          const auto e = co_await cosock::as_result(
              cosock::with_timeout(std::chrono::microseconds(100), slow.async_wait(use_task)));
          limits += e.has_error() && e.error() == cosock::error::timed_out;
        }
        co_return limits;
      },
      asio::use_future);
  BOOST_TEST(f.get() == 20);
}

}  // namespace
