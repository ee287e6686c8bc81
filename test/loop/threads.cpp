// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// on_threads(): results, exceptions, and what a cancellation, or the end of a task, does to a call.

#include <cosock/threads.hpp>

#define BOOST_TEST_MODULE threads
#include "allocations.hpp"
#include "manual_event.hpp"
#include "netns.hpp"
#include "support.hpp"
#include "thread_tools.hpp"

#include <cosock/cancel.hpp>
#include <cosock/dump.hpp>
#include <cosock/loop.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <latch>
#include <memory>
#include <string>
#include <thread>

using cosock::abandon;
using cosock::as_result;
using cosock::error;
using cosock::loop;
using cosock::on_threads;
using cosock::task;
using cosock::with_timeout;
using test::contains;
using test::is;
using test::thread_name;

// Results

COROUTINE_TEST_CASE(a_call_returns_what_its_function_returns) {
  const int base = 40;
  BOOST_TEST(co_await on_threads([&] { return base + 2; }) == 42);
  bool ran = false;
  co_await on_threads([&] { ran = true; });
  BOOST_TEST(ran);
  const auto pointer = co_await on_threads([] { return std::make_unique<int>(7); });
  BOOST_TEST(*pointer == 7);
  std::string kept = "kept";
  std::string& same = co_await on_threads([&]() -> std::string& { return kept; });
  BOOST_TEST(&same == &kept);
}

COROUTINE_TEST_CASE(a_call_throws_what_its_function_throws) {
  struct own {
    int number;
  };
  try {
    co_await on_threads([] { throw own{3}; });
    BOOST_ERROR("no exception");
  } catch (const own& thrown) {
    BOOST_TEST(thrown.number == 3);
  }
  const auto of_system = co_await as_result(on_threads([]() -> int {
    throw boost::system::system_error(make_error_code(error::closed), "the file");
  }));
  BOOST_TEST(of_system.error() == error::closed);
  BOOST_TEST(contains(cosock::error_message(of_system.error()), "the file"));
}

COROUTINE_TEST_CASE(a_call_runs_on_a_thread_without_signals_while_the_loop_goes_on) {
  const auto here = std::this_thread::get_id();
  std::latch loop_has_run(1);
  const auto calls = [&]() -> task<> {
    co_await on_threads([&] {
      BOOST_TEST((std::this_thread::get_id() != here));
      BOOST_TEST(thread_name() == "cosock-call");
      sigset_t blocked;
      ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
      for (const int number : {SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGPIPE})
        BOOST_TEST(sigismember(&blocked, number) == 1);
      loop_has_run.wait();
    });
    BOOST_TEST((std::this_thread::get_id() == here));
  };
  const auto goes_on = [&]() -> task<> {
    co_await cosock::yield();
    loop_has_run.count_down();
  };
  co_await cosock::when_all(calls(), goes_on());
}

COROUTINE_TEST_CASE(a_function_with_a_name_is_used_where_it_is) {
  struct counter {
    int calls = 0;
    counter() = default;
    counter(const counter&) = delete;
    int operator()() { return ++calls; }
  } counts;
  co_await on_threads(counts);
  BOOST_TEST(co_await on_threads(counts) == 2);
  BOOST_TEST(counts.calls == 2);
}

COROUTINE_TEST_CASE(a_call_makes_one_allocation) {
  co_await on_threads([] {});  // starts the thread, and keeps frames
  const long before = test::allocations_until_failure = 1'000'000;
  co_await on_threads([] {});
  const long after = test::allocations_until_failure.exchange(-1);
  BOOST_TEST(before - after == 1);
}

// Cancellation

COROUTINE_TEST_CASE(a_call_of_a_cancelled_task_is_not_made) {
  cosock::cancel_scope scope;
  scope.cancel();
  bool ran = false;
  const auto function = [&] { ran = true; };
  const auto waits = co_await as_result(scope.run(on_threads(function)));
  BOOST_TEST(waits.error() == error::cancelled);
  const auto abandoned = co_await as_result(scope.run(on_threads(function, abandon)));
  BOOST_TEST(abandoned.error() == error::cancelled);
  BOOST_TEST(!ran);
}

COROUTINE_TEST_CASE(a_call_that_is_never_awaited_is_not_made) {
  bool ran = false;
  {
    const auto function = [&] { ran = true; };
    [[maybe_unused]] const auto unused = on_threads(function);
  }
  co_await on_threads([] {});
  BOOST_TEST(!ran);
}

COROUTINE_TEST_CASE(a_cancelled_call_is_waited_for_and_its_result_counts) {
  cosock::cancel_scope scope;
  std::latch runs(1);
  std::latch may_end(1);
  const auto calls = [&]() -> task<int> {
    const auto function = [&] {
      runs.count_down();
      may_end.wait();
      return 5;
    };
    const int result = co_await on_threads(function);
    const auto next = co_await as_result(cosock::yield());
    BOOST_TEST(next.error() == error::cancelled);
    co_return result;
  };
  const auto cancels = [&]() -> task<> {
    co_await on_threads([&] { runs.wait(); });
    scope.cancel();
    for (int i = 0; i != 100; ++i) co_await cosock::yield();
    may_end.count_down();
  };
  const auto [result, unit] = co_await cosock::when_all(scope.run(calls()), cancels());
  BOOST_TEST(result == 5);
}

COROUTINE_TEST_CASE(a_time_limit_does_not_shorten_a_call) {
  std::latch may_end(1);
  loop& here = loop::current();
  const auto function = [&] {
    here.post([&] { may_end.count_down(); });  // the loop runs: it has time for the limit, too
    may_end.wait();
    return 1;
  };
  const auto limited =
      co_await as_result(with_timeout(std::chrono::nanoseconds(1), on_threads(function)));
  // A limit that has passed before a thread takes the call ends it.
  BOOST_TEST((limited ? *limited == 1 : limited.error() == error::timed_out));
}

COROUTINE_TEST_CASE(an_abandoned_call_ends_at_once_and_destroys_its_state_on_its_thread) {
  cosock::cancel_scope scope;
  struct shared {
    std::latch runs{1};
    std::latch may_end{1};
    std::latch destroyed{1};
    std::string destroyed_by;
  };
  const auto of = std::make_shared<shared>();
  struct state {
    explicit state(std::shared_ptr<shared> with) : with(std::move(with)) {}
    state(state&&) = default;
    ~state() {
      if (!with) return;
      with->destroyed_by = thread_name();
      with->destroyed.count_down();
    }
    int operator()() {
      with->runs.count_down();
      with->may_end.wait();
      return 1;
    }
    std::shared_ptr<shared> with;
  };
  const auto calls = [&]() -> task<> {
    state function(of);
    const auto result = co_await as_result(on_threads(std::move(function), abandon));
    BOOST_TEST(result.error() == error::cancelled);
  };
  const auto cancels = [&]() -> task<> {
    co_await on_threads([&] { of->runs.wait(); });
    scope.cancel();
  };
  co_await cosock::when_all(scope.run(calls()), cancels());
  of->may_end.count_down();
  co_await on_threads([&] { of->destroyed.wait(); });
  BOOST_TEST(of->destroyed_by == "cosock-call");
}

COROUTINE_TEST_CASE(a_call_to_be_abandoned_that_is_not_cancelled_returns_its_result) {
  const auto add = [sum = 40] { return sum + 2; };
  BOOST_TEST(co_await on_threads(add, abandon) == 42);
}

// The end of a task

BOOST_AUTO_TEST_CASE(a_task_that_is_destroyed_waits_for_its_call) {
  const test::alarm_clock guard;
  const test::blocked_thread here;
  std::latch runs(1);
  std::atomic<bool> destroyed = false;
  bool was_destroyed = true;
  loop on;
  const auto calls = [&]() -> task<> {
    int local = 0;
    const auto function = [&] {
      runs.count_down();
      while (!here.is_blocked() && !destroyed) std::this_thread::yield();
      was_destroyed = destroyed;
      local = 1;  // in the frame
    };
    co_await on_threads(function);
  };
  std::unique_ptr<cosock::task_handle<void>> work(new cosock::task_handle<void>(on.start(calls())));
  while (on.poll() != 0) continue;
  while (!runs.try_wait()) std::this_thread::yield();  // not blocked
  work.reset();
  destroyed = true;
  BOOST_TEST(!was_destroyed);
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_waits_for_a_call_and_not_for_an_abandoned_one) {
  const test::alarm_clock guard;
  const test::blocked_thread here;
  struct shared {
    std::latch both_run{2};
    std::latch may_end{1};
    std::latch ended{1};
  };
  const auto of = std::make_shared<shared>();
  std::atomic<bool> destroyed = false;
  bool was_destroyed = true;
  {
    loop on;
    const auto waits = [&]() -> task<> {
      const auto function = [&] {
        of->both_run.count_down();
        while (!here.is_blocked() && !destroyed) std::this_thread::yield();
        was_destroyed = destroyed;
      };
      co_await on_threads(function);
    };
    const auto leaves = [&]() -> task<> {
      const auto function = [of] {
        of->both_run.count_down();
        of->may_end.wait();
        of->ended.count_down();
      };
      co_await on_threads(function, abandon);
    };
    auto one = on.start(waits());
    auto other = on.start(leaves());
    while (on.poll() != 0) continue;
    while (!of->both_run.try_wait()) std::this_thread::yield();
  }
  destroyed = true;
  BOOST_TEST(!was_destroyed);
  of->may_end.count_down();
  of->ended.wait();
}

// Diagnostics

COROUTINE_TEST_CASE(a_call_is_counted_and_shown_in_a_dump) {
  std::latch runs(1);
  std::latch may_end(1);
  const auto calls = [&]() -> task<> {
    const auto function = [&] {
      runs.count_down();
      may_end.wait();
    };
    co_await cosock::named("digest", on_threads(function));
  };
  const auto looks = [&]() -> task<> {
    co_await on_threads([&] { runs.wait(); });
    const auto counters = loop::current().counters();
    BOOST_TEST(counters.calls_running == 1u);
    BOOST_TEST(counters.calls_queued == 0u);
    BOOST_TEST(counters.look_ups_running == 0u);
    const std::string dump = cosock::dump_tasks();
    BOOST_TEST(contains(dump, "call on a thread"), dump);
    BOOST_TEST(contains(dump, "digest"), dump);
    may_end.count_down();
  };
  co_await cosock::when_all(calls(), looks());
  BOOST_TEST(loop::current().counters().calls_running == 0u);
}

// Threads

COROUTINE_TEST_CASE(a_thread_without_work_ends) {
  co_await on_threads([] {});
  BOOST_TEST(test::threads_named("cosock-call") >= 1u);
  while (test::threads_named("cosock-call") != 0)
    co_await cosock::sleep_for(std::chrono::milliseconds(100));
}

#ifndef __SANITIZE_THREAD__  // which forbids to start threads after such a fork
BOOST_AUTO_TEST_CASE(a_forked_child_makes_calls_on_threads_of_its_own) {
  const test::alarm_clock guard;
  std::latch runs(1);
  std::latch may_end(1);
  cosock::thread_pool pool(1);
  loop on;
  const auto call = [](cosock::thread_pool& pool, std::latch& runs,
                       std::latch& may_end) -> task<int> {
    const auto function = [&] {
      runs.count_down();
      may_end.wait();
      return 1;
    };
    co_return co_await pool.run(function);
  };
  std::unique_ptr<cosock::task_handle<int>> pending(
      new cosock::task_handle<int>(on.start(call(pool, runs, may_end))));
  while (on.poll() != 0) continue;
  runs.wait();
  test::in_child([&] {
    const auto counters = pool.counters();
    BOOST_TEST(counters.running == 0u);  // the thread is in the parent
    loop own;
    BOOST_TEST(own.run([](cosock::thread_pool& pool) -> task<int> {
      const int one = co_await pool.run([] { return 1; });
      co_return one + co_await on_threads([] { return 1; });
    }(pool)) == 2);
    pending.reset();  // does not wait for a thread that is not here
  });
  may_end.count_down();
  while (!pending->done()) on.run_some();
  BOOST_TEST(pending->result() == 1);
}

BOOST_AUTO_TEST_CASE(exit_and_the_end_of_main_do_not_wait_for_an_abandoned_call) {
  for (const bool exits : {true, false}) {
    test::in_child([exits] {
      loop on;
      on.run([](bool exits) -> task<> {
        const auto for_ever = [] {
          for (;;) ::pause();
        };
        (void)co_await as_result(
            with_timeout(std::chrono::milliseconds(1), on_threads(for_ever, abandon)));
        if (exits) std::exit(0);
      }(exits));
    });
  }
}
#endif

BOOST_AUTO_TEST_CASE(a_failed_allocation_anywhere_is_an_error_and_nothing_worse) {
  const test::alarm_clock guard;
  const int failures = test::fail_each_allocation([] {
    try {
      loop on;
      return on.run([]() -> task<bool> { co_return co_await on_threads([] { return true; }); }());
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const boost::system::system_error& e) {
      test::allocations_until_failure = -1;
      BOOST_TEST(e.code() == boost::system::errc::not_enough_memory, e.what());
      return false;
    }
  });
  BOOST_TEST(failures > 3);
}
