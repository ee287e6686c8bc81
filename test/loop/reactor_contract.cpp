// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Checks what lib/loop/asio_reactor.cpp assumes about the scheduler of Asio and its task, without any
// code of the library. Each case is named after one assumption: a Boost that breaks it fails there.
// The assumptions about the reactor of Asio are in reactor_contract_events.cpp.

#define BOOST_TEST_MODULE reactor_contract
#include "asio_probe.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

namespace asio = boost::asio;
using test::connected_pair;
using test::epoll_reactor;
using test::interruption_of_scheduler;
using test::mutex_of_scheduler;
using test::operation_queue;
using test::probe_task;
using test::probed_context;
using test::stream_descriptor;
using test::task_of_scheduler;
using test::time_limit;
using test::work_of_scheduler;
using limits = std::vector<long>;
using namespace std::chrono_literals;

}  // namespace

// The scheduler and its task

BOOST_AUTO_TEST_SUITE(task_of_the_scheduler)

BOOST_AUTO_TEST_CASE(the_reactor_is_the_task_as_soon_as_it_is_initialized) {
  const time_limit limit;
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  auto& scheduler = asio::use_service<asio::detail::scheduler>(context);
  auto& reactor = asio::use_service<epoll_reactor>(context);
  reactor.init_task();
  BOOST_TEST((scheduler.*private_member(task_of_scheduler()) == &reactor));
}

BOOST_FIXTURE_TEST_CASE(another_task_that_takes_its_place_is_run_by_the_context, probed_context) {
  context.poll_one();
  BOOST_TEST(task.limits.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(objects_of_the_context_leave_the_task_in_place, probed_context) {
  connected_pair pair;
  stream_descriptor descriptor(context, pair.one->release());
  asio::ip::tcp::socket socket(context, asio::ip::tcp::v4());
  asio::ip::tcp::resolver resolver(context);
  asio::steady_timer timer(context, 1h);
  timer.async_wait([](auto) {});
  asio::signal_set signals(context, SIGUSR1);
  descriptor.async_wait(stream_descriptor::wait_read, [](auto) {});
  BOOST_TEST(current_task() == &task);
  BOOST_TEST(queued() == 1u);
}

BOOST_FIXTURE_TEST_CASE(operations_and_handlers_count_as_work_of_the_scheduler, probed_context) {
  auto& scheduler = asio::use_service<asio::detail::scheduler>(context);
  const auto work = [&] {
    return static_cast<long>(scheduler.*private_member(work_of_scheduler()));
  };
  const long none = work();
  asio::steady_timer timer(context, 1h);
  asio::signal_set signals(context, SIGUSR1);
  asio::ip::tcp::resolver resolver(context);
  BOOST_TEST(work() == none);
  timer.async_wait([](auto) {});
  BOOST_TEST(work() == none + 1);
  signals.async_wait([](auto, auto) {});
  BOOST_TEST(work() == none + 2);
  asio::post(context, [] {});
  BOOST_TEST(work() == none + 3);
  timer.cancel();
  signals.cancel();
  BOOST_TEST(work() == none + 3);  // the handlers are to be called
  context.poll();
  BOOST_TEST(work() == none);
}

BOOST_FIXTURE_TEST_CASE(it_may_wait_without_limit_where_no_handler_is_queued, probed_context) {
  task.on_turn = [&](auto&) {
    if (task.limits.size() == 3) context.stop();
  };
  BOOST_TEST(context.run() == 0u);
  BOOST_TEST((task.limits == limits{-1, -1, -1}));
}

BOOST_FIXTURE_TEST_CASE(it_must_not_wait_where_handlers_are_queued, probed_context) {
  int called = 0;
  for (int i = 0; i != 3; ++i) asio::post(context, [&] { ++called; });
  task.on_turn = [&](auto&) {
    // Before the handlers it does not wait, and after them it may.
    BOOST_TEST(task.limits.back() == (called == 3 ? -1 : 0));
    if (called == 3) context.stop();
  };
  context.run();
  BOOST_TEST(called == 3);
}

BOOST_FIXTURE_TEST_CASE(it_must_not_wait_while_the_context_is_polled, probed_context) {
  context.poll();
  context.poll_one();
  BOOST_TEST((task.limits == limits{0, 0}));
}

BOOST_FIXTURE_TEST_CASE(a_run_with_a_limit_passes_it_in_microseconds, probed_context) {
  task.on_turn = [&](auto&) { context.stop(); };
  context.run_for(500ms);
  context.restart();
  context.run_one_for(500ms);
  BOOST_REQUIRE(task.limits.size() == 2u);
  for (const long each : task.limits) {
    BOOST_TEST(each > 0);
    BOOST_TEST(each <= 500'000);
  }
}

BOOST_FIXTURE_TEST_CASE(operations_that_it_pushes_run_before_its_next_turn, probed_context) {
  std::string order;
  task.on_turn = [&](operation_queue& ops) {
    order += 't';
    if (order.size() > 1) return context.stop();
    for (const char c : {'a', 'b', 'c'}) push(ops, [&, c] { order += c; });
  };
  BOOST_TEST(context.run() == 3u);
  BOOST_TEST(order == "tabct");
  BOOST_TEST((task.limits == limits{-1, -1}));
}

// The library takes an empty queue without a limit for the absence of handlers.
BOOST_FIXTURE_TEST_CASE(the_queue_that_it_is_given_is_empty_where_it_may_wait, probed_context) {
  int turns = 0;
  task.on_turn = [&](operation_queue& ops) {
    if (task.limits.back() == -1) BOOST_TEST(ops.empty());
    if (++turns == 3) context.stop();
    push(ops, [&] { asio::post(context, [] {}); });
  };
  context.run();
  BOOST_TEST(turns == 3);
}

BOOST_FIXTURE_TEST_CASE(handlers_that_are_posted_in_a_turn_run_before_it_may_wait_again,
                        probed_context) {
  int called = 0;
  task.on_turn = [&](auto&) {
    if (task.limits.back() == -1 && task.limits.size() > 1) {
      BOOST_TEST(called == 3);
      return context.stop();
    }
    if (task.limits.size() != 1) return;
    asio::post(context, [&] {
      ++called;
      asio::post(context, [&] { ++called; });
    });
    asio::dispatch(context, [&] { ++called; });
  };
  context.run();
  BOOST_TEST(called == 3);
}

BOOST_FIXTURE_TEST_CASE(work_keeps_the_context_running_without_handlers, probed_context) {
  task.on_turn = [&](auto&) {
    if (task.limits.size() == 3) asio::post(context, [&] { work.reset(); });
  };
  BOOST_TEST(context.run() == 1u);
  BOOST_TEST(task.limits.size() >= 3u);
}

BOOST_FIXTURE_TEST_CASE(run_one_takes_turns_until_one_brings_a_handler, probed_context) {
  int called = 0;
  task.on_turn = [&](operation_queue& ops) {
    if (task.limits.size() != 3) return;
    for (int i = 0; i != 2; ++i) push(ops, [&] { ++called; });
  };
  BOOST_TEST(context.run_one() == 1u);
  BOOST_TEST(called == 1);
  BOOST_TEST((task.limits == limits{-1, -1, -1}));
  BOOST_TEST(context.run_one() == 1u);
  BOOST_TEST(called == 2);
  BOOST_TEST(task.limits.size() == 3u);
}

BOOST_FIXTURE_TEST_CASE(poll_one_returns_0_after_a_turn_that_brings_no_handler, probed_context) {
  for (std::size_t turns = 1; turns != 4; ++turns) {
    BOOST_TEST(context.poll_one() == 0u);
    BOOST_TEST(task.limits.size() == turns);
  }
}

BOOST_FIXTURE_TEST_CASE(poll_one_returns_1_or_has_taken_a_turn, probed_context) {
  int called = 0;
  for (int i = 0; i != 5; ++i) asio::post(context, [&] { ++called; });
  task.on_turn = [&](operation_queue& ops) {
    if (task.limits.size() < 3) push(ops, [&] { ++called; });
  };
  for (;;) {
    const std::size_t turns = task.limits.size();
    const int before = called;
    const std::size_t count = context.poll_one();
    BOOST_TEST(count == static_cast<std::size_t>(called - before));
    if (count != 0) continue;
    BOOST_TEST(task.limits.size() > turns);
    break;
  }
  BOOST_TEST(called == 7);
}

BOOST_AUTO_TEST_SUITE_END()

// The end of run()

BOOST_AUTO_TEST_SUITE(ends_of_run)

BOOST_FIXTURE_TEST_CASE(stop_in_a_turn_ends_run_after_that_turn, probed_context) {
  task.on_turn = [&](auto&) { scheduler.stop(); };
  BOOST_TEST(context.run() == 0u);
  BOOST_TEST(context.stopped());
  context.restart();
  BOOST_TEST(context.run_one() == 0u);
  BOOST_TEST(task.limits.size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(stop_in_a_handler_ends_run_after_that_handler, probed_context) {
  int called = 0;
  for (int i = 0; i != 2; ++i)
    asio::post(context, [&] {
      ++called;
      context.stop();
    });
  BOOST_TEST(context.run() == 1u);
  BOOST_TEST(called == 1);
  context.restart();
  BOOST_TEST(context.run() == 1u);
  BOOST_TEST(called == 2);
}

BOOST_FIXTURE_TEST_CASE(a_stopped_context_takes_no_turn_until_restart, probed_context) {
  context.stop();
  BOOST_TEST(context.run() == 0u);
  BOOST_TEST(context.run_one() == 0u);
  BOOST_TEST(context.poll_one() == 0u);
  BOOST_TEST(task.limits.empty());
  context.restart();
  task.on_turn = [&](auto&) { context.stop(); };
  context.run();
  BOOST_TEST((task.limits == limits{-1}));
}

BOOST_FIXTURE_TEST_CASE(an_exception_of_a_handler_leaves_run_and_the_context_goes_on,
                        probed_context) {
  int called = 0;
  asio::post(context, [&] { throw std::runtime_error("of a handler"); });
  asio::post(context, [&] { ++called; });
  BOOST_CHECK_THROW(context.run(), std::runtime_error);
  BOOST_TEST(!context.stopped());
  BOOST_TEST(current_task() == &task);
  task.limits.clear();
  task.on_turn = [&](auto&) {
    if (task.limits.back() == -1) context.stop();
  };
  BOOST_TEST(context.run() == 1u);
  BOOST_TEST(called == 1);
  BOOST_TEST(task.limits.size() != 0u);
}

BOOST_FIXTURE_TEST_CASE(an_exception_of_the_task_leaves_run_and_the_context_goes_on,
                        probed_context) {
  int called = 0;
  task.on_turn = [&](operation_queue& ops) {
    push(ops, [&] { ++called; });
    if (task.limits.size() == 1) throw std::runtime_error("of the task");
    context.stop();
  };
  BOOST_CHECK_THROW(context.run(), std::runtime_error);
  BOOST_TEST(!context.stopped());
  BOOST_TEST(queued() == 2u);
  BOOST_TEST(context.run() == 1u);
  BOOST_TEST(called == 1);  // what was pushed before the exception is not lost
  BOOST_TEST(task.limits.size() == 2u);
  task.on_turn = [](auto&) { throw std::runtime_error("of the task"); };
  context.restart();
  BOOST_TEST(context.poll_one() == 1u);
  BOOST_CHECK_THROW(context.poll_one(), std::runtime_error);
  BOOST_TEST(queued() == 1u);
}

BOOST_AUTO_TEST_CASE(a_context_that_is_destroyed_destroys_handlers_and_leaves_the_task_alone) {
  struct poster {
    explicit poster(asio::io_context& to, int& destroyed) : to(&to), destroyed(&destroyed) {}
    poster(poster&& other) noexcept
        : to(std::exchange(other.to, nullptr)), destroyed(other.destroyed) {}
    ~poster() {
      if (!to) return;
      ++*destroyed;
      asio::post(*to, [] { BOOST_ERROR("a handler is called"); });
    }
    asio::io_context* to;
    int* destroyed;
  };
  int destroyed = 0;
  connected_pair pair;
  auto of = std::make_unique<probed_context>();
  probe_task task;
  of->current_task() = &task;
  {
    auto& context = of->context;
    stream_descriptor waiting(context, pair.one->release());
    asio::steady_timer timer(context, 1h);
    // A cancelled operation is queued, another is the reactor's still.
    waiting.async_wait(stream_descriptor::wait_read, [p = poster(context, destroyed)](auto) {});
    timer.async_wait([p = poster(context, destroyed)](auto) {});
    asio::post(context, [p = poster(context, destroyed)] {});
    auto keeper = std::make_shared<asio::steady_timer>(context, 1h);
    keeper->async_wait([keeper, p = poster(context, destroyed)](auto) {});
  }
  of.reset();
  BOOST_TEST(destroyed == 4);
  BOOST_TEST(task.limits.empty());
  BOOST_TEST(task.interrupts == 0);
}

BOOST_AUTO_TEST_SUITE_END()

// Interruptions, and other threads

BOOST_AUTO_TEST_SUITE(interruptions)

BOOST_FIXTURE_TEST_CASE(a_handler_of_another_thread_interrupts_a_task_that_waits, probed_context) {
  for (const auto& queue_handler : {
           std::function<void()>([&] { asio::post(context, [&] { context.stop(); }); }),
           std::function<void()>([&] { asio::dispatch(context, [&] { context.stop(); }); }),
       }) {
    task.limits.clear();
    std::jthread other;
    task.on_turn = [&](auto&) {
      if (!other.joinable()) other = std::jthread(queue_handler);
      task.wait();
    };
    BOOST_TEST(context.run() == 1u);
    BOOST_TEST(task.limits.front() == -1);
    other.join();
    context.restart();
  }
}

BOOST_FIXTURE_TEST_CASE(stop_of_another_thread_interrupts_a_task_that_waits, probed_context) {
  std::jthread other;
  task.on_turn = [&](auto&) {
    other = std::jthread([&] { context.stop(); });
    task.wait();
  };
  BOOST_TEST(context.run() == 0u);
  BOOST_TEST((task.limits == limits{-1}));
  other.join();
}

BOOST_FIXTURE_TEST_CASE(no_handler_is_missed_whenever_another_thread_queues_it, probed_context) {
  constexpr int rounds = 5000;
  task.on_turn = [&](auto&) { task.wait(); };
  std::atomic<int> called = 0;
  std::jthread other([&] {
    for (int i = 0; i != rounds; ++i) {
      asio::post(context, [&] { ++called; });
      while (called != i + 1) std::this_thread::yield();
    }
    context.stop();
  });
  BOOST_TEST(context.run() == static_cast<std::size_t>(rounds));
  other.join();
}

// The concurrency hint takes the locks of the reactor away, not those of the scheduler.
BOOST_FIXTURE_TEST_CASE(threads_may_queue_handlers_side_by_side, probed_context) {
  BOOST_TEST((scheduler.*private_member(mutex_of_scheduler())).enabled());
  constexpr int threads = 4;
  constexpr int handlers = 1000;
  int called = 0;
  task.on_turn = [&](auto&) { task.wait(); };
  std::vector<std::jthread> all;
  for (int i = 0; i != threads; ++i)
    all.emplace_back([&] {
      for (int n = 0; n != handlers; ++n)
        asio::post(context, [&] {
          if (++called == threads * handlers) context.stop();
        });
    });
  BOOST_TEST(context.run() == static_cast<std::size_t>(threads * handlers));
  for (auto& each : all) each.join();
}

BOOST_FIXTURE_TEST_CASE(a_resolver_reports_from_a_thread_of_its_own, probed_context) {
  asio::ip::tcp::resolver resolver(context);
  boost::system::error_code failure = asio::error::would_block;
  task.on_turn = [&](auto&) { task.wait(); };
  resolver.async_resolve("127.0.0.1", "80", asio::ip::tcp::resolver::numeric_host,
                         [&](const boost::system::error_code& ec, const auto&) {
                           failure = ec;
                           context.stop();
                         });
  context.run();
  BOOST_TEST(!failure);
}

// What a loop that is polled, and not run, depends on:

BOOST_FIXTURE_TEST_CASE(the_task_is_alone_in_the_queue_of_a_context_without_handlers,
                        probed_context) {
  BOOST_TEST(queued() == 1u);
  context.poll();
  BOOST_TEST(queued() == 1u);
  asio::post(context, [] {});
  BOOST_TEST(queued() == 2u);
  context.poll();
  BOOST_TEST(queued() == 1u);
}

BOOST_FIXTURE_TEST_CASE(outside_of_run_the_flag_decides_whether_a_handler_interrupts,
                        probed_context) {
  int called = 0;
  for (int rounds = 1; rounds != 4; ++rounds) {
    context.poll();
    lower_interruption_flag();
    std::jthread([&] { asio::post(context, [&] { ++called; }); }).join();
    BOOST_TEST(task.interrupts == rounds);
    // Turns raise it, and others may lower it again.
    context.poll();
    BOOST_TEST(called == rounds);
    BOOST_TEST((scheduler.*private_member(interruption_of_scheduler())));
  }
}

BOOST_AUTO_TEST_SUITE_END()
