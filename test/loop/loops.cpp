// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/loops.hpp>

#define BOOST_TEST_MODULE loops
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/mailbox.hpp>
#include <cosock/when.hpp>

#include <sched.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#if !COSOCK_TEST_SANITIZED

#include <dlfcn.h>

#include <climits>

static std::atomic<int> threads_left = INT_MAX;

/// In place of the C library's: runs out of threads when told to.
extern "C" int pthread_create(pthread_t* made, const pthread_attr_t* how, void* (*run)(void*),
                              void* argument) noexcept {
  static const auto create =
      reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_left-- <= 0) return EAGAIN;
  return create(made, how, run, argument);
}

#endif

namespace {

using namespace test;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::mailbox;
using cosock::run_loops;
using cosock::run_loops_options;
using cosock::task;
using cosock::usable_cores;

// BOOST_TEST and its like are for one thread: what other loops find out is checked on the test's own.

/// Tells a test, from any thread, that something has happened so many times.
class happenings {
 public:
  void happened() const { static_cast<void>(told_.try_send('.')); }
  task<> wait_for(int times) {
    while (times--) co_await told.receive();
  }

 private:
  mailbox<char> told{1000};
  mailbox<char>::sender told_ = told.make_sender();
};

/// Counts itself, on any thread.
struct object {
  object() { ++alive; }
  object(const object&) { ++alive; }
  object(object&&) noexcept { ++alive; }
  ~object() { --alive; }
  static inline std::atomic<int> alive = 0;
};

COROUTINE_TEST_CASE(each_loop_has_an_index_and_a_thread) {
  std::mutex mutex;
  std::set<unsigned> indices;
  std::set<std::thread::id> threads = {std::this_thread::get_id()};
  std::latch all(3);  // the system gives the identity of a thread that has ended to another
  const auto note = [&](unsigned index) -> task<> {
    all.arrive_and_wait();
    const std::lock_guard lock(mutex);
    indices.insert(index);
    threads.insert(std::this_thread::get_id());
    co_return;
  };
  co_await run_loops(3, note);
  BOOST_TEST(indices == (std::set{0u, 1u, 2u}), boost::test_tools::per_element());
  BOOST_TEST(threads.size() == 4u);
}

COROUTINE_TEST_CASE(a_function_need_not_take_an_index) {
  std::atomic<int> called = 0;
  co_await run_loops(2, [&]() -> task<> {
    ++called;
    co_return;
  });
  BOOST_TEST(called == 2);
}

COROUTINE_TEST_CASE(none_means_one_for_each_usable_core) {
  std::atomic<unsigned> called = 0;
  co_await run_loops([&]() -> task<> {
    ++called;
    co_return;
  });
  BOOST_TEST(called == usable_cores());
}

COROUTINE_TEST_CASE(each_loop_runs_a_copy_of_the_function_and_none_is_left) {
  std::mutex mutex;
  std::set<const void*> functions;
  {
    const object one;
    const auto function = [one, &mutex, &functions]() -> task<> {
      const std::lock_guard lock(mutex);
      functions.insert(&one);
      co_return;
    };
    co_await run_loops(3, function);
    BOOST_TEST(functions.size() == 3u);
    BOOST_TEST(functions.count(&one) == 0u);
  }
  BOOST_TEST(object::alive == 0);
}

COROUTINE_TEST_CASE(the_loops_talk_through_mailboxes) {
  mailbox<int> home(10);
  const auto send = [to = home.make_sender()](unsigned index) -> task<> {
    static_cast<void>(to.try_send(static_cast<int>(index)));
    co_return;
  };
  co_await run_loops(4, send);
  int sum = 0;
  for (int i = 0; i != 4; ++i) sum += *home.try_receive();
  BOOST_TEST(sum == 6);
}

COROUTINE_TEST_CASE(cancelling_cancels_all_and_waits_for_them) {
  happenings started;
  std::atomic<int> cleaned_up = 0;
  cancel_scope scope;
  const auto wait = [&]() -> task<> {
    started.happened();
    const auto waited = co_await as_result(forever());
    co_await cosock::shielded(cosock::yield());
    if (waited.error() == cosock::error::cancelled) ++cleaned_up;
    cosock::detail::raise(cosock::detail::cancelled_failure());
  };
  const auto cancel = [&]() -> task<> {
    co_await started.wait_for(3);
    scope.cancel();
  };
  const auto run = [&]() -> task<> {
    const auto ended = co_await as_result(scope.run(run_loops(3, wait)));
    BOOST_TEST((!ended && ended.error() == cosock::error::cancelled));
    BOOST_TEST(cleaned_up == 3);
  };
  co_await cosock::when_all(run(), cancel());
}

COROUTINE_TEST_CASE(cancelled_before_it_starts_it_comes_to_an_end) {
  cancel_scope scope;
  scope.cancel();
  const auto wait = []() -> task<> { co_await forever(); };
  const auto ended = co_await as_result(scope.run(run_loops(2, wait)));
  BOOST_TEST((!ended && ended.error() == cosock::error::cancelled));
}

COROUTINE_TEST_CASE(one_that_ends_well_in_spite_of_a_cancellation_is_no_error) {
  happenings started;
  cancel_scope scope;
  const auto stop = [&]() -> task<> {
    started.happened();
    static_cast<void>(co_await as_result(forever()));
  };
  const auto cancel = [&]() -> task<> {
    co_await started.wait_for(2);
    scope.cancel();
  };
  const auto run = [&]() -> task<> {
    const auto ended = co_await as_result(scope.run(run_loops(2, stop)));
    BOOST_TEST((!ended && ended.error() == cosock::error::cancelled));
  };
  co_await cosock::when_all(run(), cancel());
}

COROUTINE_TEST_CASE(a_deadline_counts_for_all) {
  const auto wait = []() -> task<> { co_await forever(); };
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, run_loops(2, wait)), system_error,
                        is(cosock::error::timed_out));
}

COROUTINE_TEST_CASE(an_error_in_one_cancels_the_others_and_is_thrown) {
  std::atomic<int> cancelled = 0;
  happenings waiting;
  const auto run = [&](unsigned index) -> task<> {
    if (index == 1) {
      throw std::runtime_error("the second one");
    } else {
      struct at_end {
        std::atomic<int>& n;
        ~at_end() { ++n; }
      } const counting{cancelled};
      co_await forever();
    }
  };
  BOOST_CHECK_EXCEPTION(
      co_await run_loops(3, run), std::runtime_error,
      [](const std::runtime_error& e) { return std::string(e.what()) == "the second one"; });
  BOOST_TEST(cancelled == 2);
}

COROUTINE_TEST_CASE(no_error_is_lost) {
  const auto fail = [](unsigned index) -> task<> {
    throw std::runtime_error("number " + std::to_string(index));
    co_return;
  };
  std::exception_ptr thrown;
  try {
    co_await run_loops(2, fail);
  } catch (...) {
    thrown = std::current_exception();
  }
  BOOST_REQUIRE(thrown);
  const std::string text = cosock::error_message(thrown);
  BOOST_TEST(text.find("number 0") != text.npos);
  BOOST_TEST(text.find("number 1") != text.npos);
}

COROUTINE_TEST_CASE(a_function_that_throws_before_it_gives_a_task_is_an_error_like_others) {
  const auto fail = [](unsigned) -> task<> { throw std::runtime_error("at once"); };
  BOOST_CHECK_THROW(co_await run_loops(2, fail), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_task_that_is_destroyed_takes_its_loops_along) {
  const alarm_clock guard;
  cosock::loop loop;
  loop.run([]() -> task<> {
    happenings started;
    const auto wait = [&]() -> task<> {
      const object here;
      started.happened();
      co_await cosock::shielded(forever());  // no cancellation would end it
    };
    auto running = cosock::loop::current().start(run_loops(3, wait));
    co_await started.wait_for(3);
    BOOST_TEST(object::alive == 3);
  }());
  BOOST_TEST(object::alive == 0);
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_takes_them_along_too) {
  const alarm_clock guard;
  std::optional<cosock::loop> loop(std::in_place);
  const auto running = loop->start(run_loops(2, []() -> task<> {
    const object here;
    co_await forever();
  }));
  while (object::alive != 2) loop->poll();
  loop.reset();
  BOOST_TEST(object::alive == 0);
}

COROUTINE_TEST_CASE(loops_may_run_loops) {
  std::atomic<int> called = 0;
  const auto inner = [&]() -> task<> {
    ++called;
    co_return;
  };
  co_await run_loops(2, [&]() -> task<> { co_await run_loops(2, inner); });
  BOOST_TEST(called == 4);
}

#if !COSOCK_TEST_SANITIZED  // the sanitizers have this call for themselves

BOOST_AUTO_TEST_CASE(where_there_are_no_more_threads_those_that_run_are_cancelled) {
  const alarm_clock guard;
  const auto wait = []() -> task<> {
    const object here;
    co_await forever();
  };
  for (const int most : {0, 1, 3}) {
    threads_left = most;
    cosock::loop loop;
    BOOST_CHECK_EXCEPTION(loop.run(run_loops(4, wait)), system_error,
                          is(boost::system::errc::resource_unavailable_try_again));
    threads_left = INT_MAX;
    BOOST_TEST(object::alive == 0);
  }
}

#endif

/// The processors that this thread may use; none if that fails.
std::vector<std::size_t> affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i != CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) all.push_back(i);
  return all;
}

COROUTINE_TEST_CASE(pinned_threads_have_one_processor_each_in_turn) {
  const std::vector<std::size_t> mine = affinity();
  std::mutex mutex;
  std::vector<std::vector<std::size_t>> theirs(3);
  const auto note = [&](unsigned index) -> task<> {
    const std::lock_guard lock(mutex);
    theirs[index] = affinity();
    co_return;
  };
  run_loops_options options;
  options.pin = true;
  co_await run_loops(3, note, options);
  for (std::size_t i = 0; i != 3; ++i) {
    BOOST_REQUIRE(theirs[i].size() == 1u);
    BOOST_TEST(theirs[i][0] == mine[i % mine.size()]);
  }
  BOOST_TEST((affinity() == mine));
}

BOOST_AUTO_TEST_CASE(usable_cores_are_those_of_the_affinity) {
  const unsigned all = usable_cores();
  BOOST_TEST(all >= 1u);
  BOOST_TEST(all <= affinity().size());
  unsigned pinned = 0;
  std::thread([&pinned] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(affinity()[0], &one);
    if (::sched_setaffinity(0, sizeof one, &one) == 0) pinned = usable_cores();
  }).join();
  BOOST_TEST(pinned == 1u);
}

}  // namespace
