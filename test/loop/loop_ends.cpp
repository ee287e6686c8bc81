// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Loops that are destroyed, and several side by side.

#include <cosock/loop.hpp>

#define BOOST_TEST_MODULE loop_ends
#include "core_fixture.hpp"
#include "loop_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/nursery.hpp>

#include <memory>
#include <stdexcept>
#include <thread>

namespace {

using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::forever;
using test::give;
using test::instance_counter;
using test::manual_event;
using test::never;
using test::run_until_idle;
using test::sleep_and_give;
using test::wait_and_give;

}  // namespace

// Destruction

BOOST_AUTO_TEST_CASE(a_loop_destroyed_first_destroys_the_tasks_that_wait) {
  const int before = instance_counter::alive;
  auto loop = std::make_unique<cosock::loop>();
  auto waiting = loop->start(never());
  auto done = loop->start(give(4));
  run_until_idle(*loop);
  auto fresh = loop->start(never());
  BOOST_TEST(instance_counter::alive == before + 1);
  loop.reset();
  BOOST_TEST(instance_counter::alive == before);
  BOOST_CHECK_THROW(waiting.result(), std::logic_error);
  BOOST_CHECK_THROW(fresh.result(), std::logic_error);
  waiting.cancel();
  BOOST_REQUIRE(done.done());
  BOOST_TEST(done.result() == 4);
}

BOOST_AUTO_TEST_CASE(tasks_that_refer_to_each_other_are_destroyed_with_their_loop) {
  const int before = instance_counter::alive;
  auto loop = std::make_unique<cosock::loop>();
  std::unique_ptr<cosock::task_handle<void>> second;
  const auto owner = [&]() -> task<> {
    struct owns {
      std::unique_ptr<cosock::task_handle<void>>& what;
      ~owns() { what.reset(); }
    } last{second};
    const instance_counter local;
    co_await forever();
  };
  auto first = loop->start(owner());
  second.reset(new cosock::task_handle<void>(loop->start(never())));
  run_until_idle(*loop);
  BOOST_TEST(instance_counter::alive == before + 2);
  loop.reset();
  BOOST_TEST(instance_counter::alive == before);
  BOOST_TEST(!second);
}

BOOST_AUTO_TEST_CASE(a_loop_is_destroyed_in_the_middle_of_many_ready_tasks) {
  const int before = instance_counter::alive;
  {
    cosock::loop loop;
    const auto busy = []() -> task<> {
      const instance_counter local;
      for (;;) co_await cosock::yield();
    };
    auto a = loop.start(busy());
    auto b = loop.start(busy());
    const auto crowd = []() -> task<> {
      co_await with_nursery([](nursery& n) -> task<> {
        for (int i = 0; i != 100; ++i) n.start(never);
        for (;;) co_await cosock::yield();
      });
    };
    auto c = loop.start(crowd());
    for (int i = 0; i != 5; ++i) loop.run_some();
    BOOST_TEST(instance_counter::alive > before);
  }
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(a_loop_that_never_ran_is_destroyed) {
  const int before = instance_counter::alive;
  {
    cosock::loop unused;
    cosock::loop loop;
    const auto root = loop.start(never());
  }
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(loops_leave_no_descriptor_behind) {
  const std::size_t before = test::open_descriptors();
  for (int i = 0; i != 50; ++i) {
    cosock::loop loop;
    auto waiting = loop.start(never());
    loop.run(sleep_and_give(1));
  }
  BOOST_TEST(test::open_descriptors() == before);
}

// Several loops

BOOST_AUTO_TEST_CASE(two_loops_run_on_two_threads) {
  const auto work = [](int* sum) {
    cosock::loop loop;
    const auto many = [](int* sum) -> task<> {
      co_await with_nursery([&](nursery& n) -> task<> {
        for (int i = 0; i != 200; ++i)
          n.start(
              [](int* sum, int k) -> task<> {
                co_await cosock::sleep_for(std::chrono::microseconds(k));
                co_await cosock::yield();
                *sum += 1;
              },
              sum, i);
        co_return;
      });
    };
    for (int i = 0; i != 5; ++i) loop.run(many(sum));
  };
  int first = 0;
  int second = 0;
  std::thread a(work, &first);
  std::thread b(work, &second);
  a.join();
  b.join();
  BOOST_TEST(first == 1000);
  BOOST_TEST(second == 1000);
}

BOOST_AUTO_TEST_CASE(two_loops_take_turns_on_one_thread) {
  cosock::loop first;
  cosock::loop second;
  manual_event to_first;
  manual_event to_second;
  auto a = first.start(wait_and_give(to_first, 1));
  auto b = second.start(wait_and_give(to_second, 2));
  for (int i = 0; i != 3; ++i) {
    BOOST_TEST(first.run(sleep_and_give(i)) == i);
    BOOST_TEST(second.run(sleep_and_give(i)) == i);
  }
  to_first.set();
  run_until_idle(first);
  BOOST_TEST(a.done());
  BOOST_TEST(!b.done());
  to_second.set();
  run_until_idle(second);
  BOOST_TEST(b.done());
  BOOST_TEST(a.result() + b.result() == 3);
}

BOOST_AUTO_TEST_CASE(loops_post_to_each_other) {
  cosock::loop first;
  cosock::loop second;
  manual_event to_first;
  manual_event to_second;
  const auto ping = [&]() -> task<int> {
    second.post([&] { to_second.set(); });
    co_await to_first.wait();
    co_return 1;
  };
  const auto pong = [&]() -> task<int> {
    co_await to_second.wait();
    first.post([&] { to_first.set(); });
    co_return 2;
  };
  int other = 0;
  std::thread thread([&] { other = second.run(pong()); });
  const int own = first.run(ping());
  thread.join();
  BOOST_TEST(own == 1);
  BOOST_TEST(other == 2);
}

BOOST_AUTO_TEST_CASE(a_loop_moves_from_thread_to_thread) {
  const int before = instance_counter::alive;
  auto loop = std::make_unique<cosock::loop>();
  manual_event g;
  auto root = std::unique_ptr<cosock::task_handle<int>>(
      new cosock::task_handle<int>(loop->start(wait_and_give(g, 3))));
  int result = 0;
  std::thread([&] { run_until_idle(*loop); }).join();
  BOOST_TEST(!root->done());
  std::thread([&] {
    g.set();
    run_until_idle(*loop);
    result = root->result();
  }).join();
  BOOST_TEST(result == 3);
  auto waiting = std::unique_ptr<cosock::task_handle<void>>(
      new cosock::task_handle<void>(loop->start(never())));
  run_until_idle(*loop);
  std::thread([&] { loop.reset(); }).join();
  std::thread([&] { waiting.reset(); }).join();
  BOOST_TEST(instance_counter::alive == before);
}
