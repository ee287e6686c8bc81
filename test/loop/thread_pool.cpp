// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// thread_pool: its bounds, its queue and its counters.

#include <cosock/threads.hpp>

#define BOOST_TEST_MODULE thread_pool
#include "manual_event.hpp"
#include "support.hpp"
#include "thread_tools.hpp"

#include <cosock/cancel.hpp>
#include <cosock/dump.hpp>
#include <cosock/loop.hpp>
#include <cosock/loops.hpp>
#include <cosock/nursery.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>

using cosock::abandon;
using cosock::as_result;
using cosock::error;
using cosock::loop;
using cosock::task;
using cosock::thread_pool;
using test::contains;

namespace {

/// A call that occupies a thread until the test lets it end.
class occupant {
 public:
  /// Runs the call; other tasks wait for it with runs().
  task<> occupy(thread_pool& pool) {
    const auto function = [this] {
      runs_.count_down();
      may_end_.wait();
    };
    co_await pool.run(function);
  }
  task<> runs() {
    while (!runs_.try_wait()) co_await cosock::yield();
  }
  void end() { may_end_.count_down(); }

 private:
  std::latch runs_{1};
  std::latch may_end_{1};
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_pool_without_threads_or_with_too_many_is_refused) {
  for (const std::size_t threads : {std::size_t{0}, std::size_t{1025}, ~std::size_t{0}}) {
    BOOST_CHECK_EXCEPTION(
        thread_pool{threads}, std::invalid_argument, [threads](const std::invalid_argument& e) {
          return e.what() == "cosock: the number of threads of a thread_pool is " +
                                 std::to_string(threads) + "; it is from 1 to 1024";
        });
  }
  BOOST_CHECK_NO_THROW(thread_pool{1});
  BOOST_CHECK_NO_THROW(thread_pool{1024});
}

COROUTINE_TEST_CASE(a_pool_runs_no_more_calls_at_a_time_than_it_has_threads) {
  thread_pool pool(3);
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> misnamed = 0;
  std::latch three(3);
  const auto call = [&]() -> task<> {
    const auto function = [&] {
      const int now = ++running;
      for (int before = most; before < now && !most.compare_exchange_weak(before, now);) continue;
      if (test::thread_name() != "cosock-pool") ++misnamed;
      --running;
    };
    co_await pool.run(function);
  };
  const auto together = [&]() -> task<> {
    const auto function = [&] { three.arrive_and_wait(); };
    co_await pool.run(function);
  };
  co_await cosock::when_all(together(), together(), together());  // three at a time
  co_await cosock::with_nursery([&](cosock::nursery& calls) -> task<> {
    for (int i = 0; i != 200; ++i) calls.start(call);
    co_return;
  });
  BOOST_TEST(most <= 3);
  BOOST_TEST(misnamed == 0);
  const auto counters = pool.counters();
  BOOST_TEST(counters.completed == 203u);
  BOOST_TEST(counters.queued == 0u);
  BOOST_TEST(counters.running == 0u);
  BOOST_TEST(counters.queued_peak <= 197u);
  BOOST_TEST(counters.refused == 0u);
}

COROUTINE_TEST_CASE(calls_of_one_pool_do_not_wait_for_those_of_another) {
  thread_pool busy(1);
  thread_pool other(1);
  occupant first;
  const auto calls = [&]() -> task<> {
    co_await first.runs();
    BOOST_TEST(co_await other.run([] { return 1; }) == 1);
    BOOST_TEST(co_await cosock::on_threads([] { return 2; }) == 2);
    first.end();
  };
  co_await cosock::when_all(first.occupy(busy), calls());
}

COROUTINE_TEST_CASE(calls_run_in_the_order_of_their_start) {
  thread_pool pool(1);
  std::string order;
  const auto call = [&](char name) -> task<> {
    const auto function = [&order, name] { order += name; };
    co_await pool.run(function);
  };
  co_await cosock::when_all(call('a'), call('b'), call('c'), call('d'));
  BOOST_TEST(order == "abcd");
}

COROUTINE_TEST_CASE(a_call_that_waits_for_a_thread_can_be_cancelled) {
  thread_pool pool(1);
  occupant first;
  bool ran = false;
  const auto calls = [&]() -> task<> {
    co_await first.runs();
    const auto function = [&] { ran = true; };
    for (const bool abandons : {false, true}) {
      cosock::cancel_scope scope;
      const auto waits = [&]() -> task<> {
        const auto result = abandons ? co_await as_result(pool.run(function, abandon))
                                     : co_await as_result(pool.run(function));
        BOOST_TEST(result.error() == error::cancelled);
      };
      const auto cancels = [&]() -> task<> {
        co_await cosock::yield();
        BOOST_TEST(pool.counters().queued == 1u);
        BOOST_TEST(pool.counters().running == 1u);
        BOOST_TEST(loop::current().counters().calls_queued == 1u);
        BOOST_TEST(loop::current().counters().calls_running == 1u);
        const std::string dump = cosock::dump_tasks();
        BOOST_TEST(contains(dump, "call that waits for a thread"), dump);
        scope.cancel();
      };
      co_await cosock::when_all(scope.run(waits()), cancels());
    }
    BOOST_TEST(pool.counters().queued == 0u);
    first.end();
  };
  co_await cosock::when_all(first.occupy(pool), calls());
  BOOST_TEST(!ran);
  BOOST_TEST(pool.counters().completed == 1u);
  BOOST_TEST(pool.counters().queued_peak == 1u);
}

COROUTINE_TEST_CASE(more_calls_than_may_wait_are_refused) {
  for (const std::size_t room : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
    thread_pool pool(1, {.max_queued = room});
    occupant first;
    const auto calls = [&]() -> task<> {
      co_await first.runs();
      const auto queue = [&]() -> task<> { co_await pool.run([] {}); };
      const auto refused = [&]() -> task<> {
        const auto result = co_await as_result(pool.run([] {}));
        BOOST_TEST(result.error() == boost::system::errc::no_buffer_space);
        BOOST_TEST(contains(cosock::error_message(result.error()),
                            "as many calls wait for a thread as may wait"));
        BOOST_TEST(pool.counters().queued == room);
        first.end();
      };
      co_await cosock::with_nursery([&](cosock::nursery& all) -> task<> {
        for (std::size_t i = 0; i != room; ++i) all.start(queue);
        all.start(refused);
        co_return;
      });
    };
    co_await cosock::when_all(first.occupy(pool), calls());
    BOOST_TEST(pool.counters().refused == 1u);
    BOOST_TEST(pool.counters().completed == 1u + room);
    BOOST_TEST(pool.counters().queued_peak == room);
    co_await pool.run([] {});  // again
  }
}

COROUTINE_TEST_CASE(an_abandoned_call_occupies_its_thread_and_is_counted) {
  thread_pool pool(1);
  struct latches {
    std::latch runs{1};
    std::latch may_end{1};
  };
  const auto of = std::make_shared<latches>();
  cosock::cancel_scope scope;
  const auto calls = [&]() -> task<> {
    const auto function = [of] {
      of->runs.count_down();
      of->may_end.wait();
    };
    const auto result = co_await as_result(pool.run(function, abandon));
    BOOST_TEST(result.error() == error::cancelled);
  };
  const auto cancels = [&]() -> task<> {
    while (!of->runs.try_wait()) co_await cosock::yield();
    scope.cancel();
  };
  co_await cosock::when_all(scope.run(calls()), cancels());
  BOOST_TEST(pool.counters().running == 1u);
  BOOST_TEST(pool.counters().abandoned == 1u);
  const auto next = [&]() -> task<> { BOOST_TEST(co_await pool.run([] { return 1; }) == 1); };
  const auto releases = [&]() -> task<> {
    co_await cosock::yield();
    BOOST_TEST(pool.counters().queued == 1u);
    of->may_end.count_down();
  };
  co_await cosock::when_all(next(), releases());
  BOOST_TEST(pool.counters().running == 0u);
  BOOST_TEST(pool.counters().abandoned == 0u);
  BOOST_TEST(pool.counters().completed == 2u);
}

COROUTINE_TEST_CASE(calls_go_on_when_their_pool_is_destroyed) {
  auto pool = std::make_unique<thread_pool>(1);
  occupant first;
  int sum = 0;
  const auto queued = [&]() -> task<> {
    const auto function = [&] { sum += 1; };
    co_await pool->run(function);
  };
  const auto destroys = [&]() -> task<> {
    co_await first.runs();
    pool.reset();
    first.end();
  };
  co_await cosock::when_all(first.occupy(*pool), queued(), queued(), destroys());
  BOOST_TEST(sum == 2);
}

COROUTINE_TEST_CASE(several_loops_share_a_pool) {
  thread_pool pool(2);
  std::atomic<int> sum = 0;
  co_await cosock::run_loops(3, [&](unsigned) -> task<> {
    co_await cosock::with_nursery([&](cosock::nursery& calls) -> task<> {
      const auto call = [&]() -> task<> { sum += co_await pool.run([] { return 1; }); };
      for (int i = 0; i != 100; ++i) calls.start(call);
      co_return;
    });
  });
  BOOST_TEST(sum == 300);
  BOOST_TEST(pool.counters().completed == 300u);
}

COROUTINE_TEST_CASE(many_long_calls_soon_have_all_the_threads_that_they_may_have) {
  std::latch all(64);
  co_await cosock::with_nursery([&](cosock::nursery& calls) -> task<> {
    const auto call = [&]() -> task<> {
      const auto function = [&] { all.arrive_and_wait(); };
      co_await cosock::on_threads(function);
    };
    for (int i = 0; i != 64; ++i) calls.start(call);
    co_return;
  });
  BOOST_TEST(all.try_wait());
}
