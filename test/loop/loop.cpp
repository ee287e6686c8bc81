// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/loop.hpp>

#define BOOST_TEST_MODULE loop
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/nursery.hpp>
#include <cosock/when.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::error;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::counted;
using test::forever;
using test::gate;
using test::is;
using test::settle;

task<int> give(int n) {
  co_return n;
}
task<int> give_later(int n) {
  const counted local;
  co_await cosock::sleep_for(1ms);
  co_return n;
}
task<> never() {
  const counted local;
  co_await forever();
}
template <class E>
task<int> fail(E e) {
  co_await cosock::yield();
  throw e;
  co_return 0;
}
task<int> wait_and_give(gate& g, int n) {
  const counted local;
  co_await g.wait();
  co_return n;
}

}  // namespace

// run

BOOST_AUTO_TEST_CASE(run_gives_the_result_of_the_task) {
  cosock::loop loop;
  BOOST_TEST(loop.run(give(1)) == 1);
  BOOST_TEST(loop.run(give_later(2)) == 2);
  int target = 3;
  const auto refer = [&]() -> task<int&> { co_return target; };
  BOOST_TEST(&loop.run(refer()) == &target);
  const auto own = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
  BOOST_TEST(*loop.run(own()) == 4);
  const auto nothing = []() -> task<> { co_return; };
  loop.run(nothing());
}

BOOST_AUTO_TEST_CASE(run_throws_what_left_the_task) {
  cosock::loop loop;
  BOOST_CHECK_THROW(loop.run(fail(42)), int);
  BOOST_CHECK_THROW(loop.run(fail(std::runtime_error("x"))), std::runtime_error);
  BOOST_CHECK_EXCEPTION(loop.run(fail(system_error(error::busy))), system_error, is(error::busy));
  BOOST_CHECK_EXCEPTION(loop.run(fail(system_error(error::cancelled))), system_error,
                        is(error::cancelled));
  BOOST_TEST(loop.run(give(1)) == 1);
}

BOOST_AUTO_TEST_CASE(run_returns_when_its_task_has_ended_and_others_go_on_in_the_next_run) {
  cosock::loop loop;
  gate g;
  auto other = loop.start(wait_and_give(g, 5));
  BOOST_TEST(loop.run(give_later(1)) == 1);
  BOOST_TEST(!other.done());
  g.open();
  BOOST_TEST(loop.run(give_later(2)) == 2);
  BOOST_REQUIRE(other.done());
  BOOST_TEST(other.result() == 5);
}

BOOST_AUTO_TEST_CASE(run_inside_a_task_of_the_same_loop_is_a_logic_error) {
  const int before = counted::alive;
  cosock::loop loop;
  const auto work = [&]() -> task<int> {
    BOOST_CHECK_THROW(loop.run(give(1)), std::logic_error);
    BOOST_CHECK_THROW(cosock::loop::current().run(give_later(1)), std::logic_error);
    co_await cosock::yield();
    co_return 7;
  };
  BOOST_TEST(loop.run(work()) == 7);
  BOOST_TEST(loop.run(give(8)) == 8);
  BOOST_TEST(counted::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_may_run_another_loop) {
  cosock::loop outer;
  const auto work = [&]() -> task<int> {
    cosock::loop inner;
    const int inside = inner.run(give_later(1));
    BOOST_TEST(&cosock::loop::current() == &outer);
    co_await cosock::yield();
    co_return inside + inner.run(give(2));
  };
  BOOST_TEST(outer.run(work()) == 3);
}

// start, done, result, cancel

BOOST_AUTO_TEST_CASE(a_started_task_first_runs_when_the_loop_does) {
  cosock::loop loop;
  bool ran = false;
  const auto work = [&]() -> task<int> {
    ran = true;
    co_return 1;
  };
  auto root = loop.start(work());
  BOOST_TEST(!ran);
  BOOST_TEST(!root.done());
  BOOST_CHECK_THROW(root.result(), std::logic_error);
  BOOST_TEST(loop.poll() > 0u);
  BOOST_TEST(ran);
  BOOST_TEST(root.done());
  BOOST_TEST(root.result() == 1);
}

BOOST_AUTO_TEST_CASE(started_tasks_give_results_of_every_type) {
  cosock::loop loop;
  int target = 3;
  const auto refer = [&]() -> task<int&> { co_return target; };
  const auto own = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
  const auto nothing = []() -> task<> { co_return; };
  auto reference = loop.start(refer());
  auto owner = loop.start(own());
  auto none = loop.start(nothing());
  auto failing = loop.start(fail(42));
  settle(loop);
  BOOST_TEST(&reference.result() == &target);
  BOOST_TEST(*owner.result() == 4);
  none.result();
  BOOST_REQUIRE(failing.done());
  BOOST_CHECK_THROW(failing.result(), int);
}

BOOST_AUTO_TEST_CASE(a_started_task_is_cancelled) {
  const int before = counted::alive;
  cosock::loop loop;
  auto root = loop.start(never());
  settle(loop);
  root.cancel();
  BOOST_TEST(!root.done());
  root.cancel();
  settle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  root.cancel();
  BOOST_TEST(counted::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_cancelled_before_its_first_turn_runs_to_its_first_wait) {
  cosock::loop loop;
  bool began = false;
  bool passed = false;
  const auto work = [&]() -> task<> {
    began = true;
    co_await cosock::yield();
    passed = true;
  };
  auto root = loop.start(work());
  root.cancel();
  settle(loop);
  BOOST_TEST(began);
  BOOST_TEST(!passed);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
}

BOOST_AUTO_TEST_CASE(a_task_that_completes_although_it_was_cancelled_gives_its_result) {
  cosock::loop loop;
  auto root = loop.start(give(6));
  root.cancel();
  settle(loop);
  BOOST_TEST(root.result() == 6);
}

BOOST_AUTO_TEST_CASE(destroying_a_running_task_destroys_it_where_it_stands) {
  const int before = counted::alive;
  cosock::loop loop;
  {
    auto waiting = loop.start(never());
    auto fresh = loop.start(never());
    loop.run(give_later(1));
    BOOST_TEST(counted::alive == before + 2);
  }
  BOOST_TEST(counted::alive == before);
  { const auto never_began = loop.start(never()); }
  settle(loop);
  BOOST_TEST(counted::alive == before);
}

BOOST_AUTO_TEST_CASE(a_task_starts_and_destroys_others_on_its_own_loop) {
  const int before = counted::alive;
  cosock::loop loop;
  const auto work = [&]() -> task<int> {
    auto child = cosock::loop::current().start(give_later(5));
    {
      auto dropped = loop.start(never());
      co_await cosock::yield();
      BOOST_TEST(!dropped.done());
      BOOST_TEST(counted::alive == before + 2);
    }
    BOOST_TEST(counted::alive == before + 1);
    while (!child.done()) co_await cosock::sleep_for(1ms);
    co_return child.result();
  };
  BOOST_TEST(loop.run(work()) == 5);
  BOOST_TEST(counted::alive == before);
}

BOOST_AUTO_TEST_CASE(many_tasks_run_on_one_loop) {
  cosock::loop loop;
  std::vector<std::unique_ptr<cosock::running<int>>> all;
  for (int i = 0; i != 1000; ++i) all.emplace_back(new cosock::running<int>(loop.start(give(i))));
  settle(loop);
  int sum = 0;
  for (auto& each : all) sum += each->result();
  BOOST_TEST(sum == 499'500);
}

// poll and run_some

BOOST_AUTO_TEST_CASE(poll_runs_what_is_ready_and_does_not_wait) {
  cosock::loop loop;
  BOOST_TEST(loop.poll() == 0u);
  auto waiting = loop.start(never());
  BOOST_TEST(loop.poll() > 0u);
  BOOST_TEST(loop.poll() == 0u);
  BOOST_TEST(!waiting.done());
}

BOOST_AUTO_TEST_CASE(run_some_waits_until_something_is_ready) {
  cosock::loop loop;
  auto root = loop.start(give_later(3));
  while (!root.done()) loop.run_some();
  BOOST_TEST(root.result() == 3);
}

BOOST_AUTO_TEST_CASE(a_loop_is_not_polled_by_its_own_tasks) {
  cosock::loop loop;
  const auto polls = [&](bool waits) -> task<> {
    if (waits)
      loop.run_some();
    else
      loop.poll();
    co_return;
  };
  for (const bool waits : {false, true}) {
    BOOST_CHECK_THROW(loop.run(polls(waits)), std::logic_error);
    auto running = loop.start(polls(waits));
    while (!running.done()) loop.poll();
    BOOST_CHECK_THROW(running.result(), std::logic_error);
  }
  BOOST_TEST(loop.run(give(3)) == 3);
}

BOOST_AUTO_TEST_CASE(poll_and_run_some_work_after_run_and_before_it) {
  cosock::loop loop;
  for (int i = 0; i != 3; ++i) {
    auto root = loop.start(give_later(i));
    loop.poll();
    loop.run_some();
    BOOST_TEST(loop.run(give_later(i)) == i);
    while (!root.done()) loop.run_some();
    BOOST_TEST(root.result() == i);
  }
}

// current

BOOST_AUTO_TEST_CASE(current_is_the_loop_that_runs_on_this_thread) {
  BOOST_CHECK_THROW(static_cast<void>(cosock::loop::current()), std::logic_error);
  cosock::loop loop;
  BOOST_CHECK_THROW(static_cast<void>(cosock::loop::current()), std::logic_error);
  cosock::loop* in_task = nullptr;
  cosock::loop* after_wait = nullptr;
  cosock::loop* in_post = nullptr;
  const auto work = [&]() -> task<> {
    in_task = &cosock::loop::current();
    loop.post([&] { in_post = &cosock::loop::current(); });
    co_await cosock::sleep_for(1ms);
    after_wait = &cosock::loop::current();
  };
  loop.run(work());
  BOOST_TEST(in_task == &loop);
  BOOST_TEST(after_wait == &loop);
  BOOST_TEST(in_post == &loop);
  BOOST_CHECK_THROW(static_cast<void>(cosock::loop::current()), std::logic_error);
  bool threw = false;
  const auto elsewhere = [&]() -> task<> {
    std::thread([&] {
      try {
        static_cast<void>(cosock::loop::current());
      } catch (const std::logic_error&) {
        threw = true;
      }
    }).join();
    co_return;
  };
  loop.run(elsewhere());
  BOOST_TEST(threw);
}

// post

BOOST_AUTO_TEST_CASE(posted_functions_are_called_in_their_order) {
  cosock::loop loop;
  std::vector<int> order;
  for (int i = 0; i != 5; ++i) loop.post([&order, i] { order.push_back(i); });
  BOOST_TEST(order.empty());
  settle(loop);
  const std::vector<int> expected = {0, 1, 2, 3, 4};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_posted_function_may_be_moved_only_and_is_destroyed_after_its_call) {
  cosock::loop loop;
  auto shared = std::make_shared<int>(1);
  int seen = 0;
  loop.post([&seen, shared, p = std::make_unique<int>(2)] { seen = *shared + *p; });
  BOOST_TEST(shared.use_count() == 2);
  settle(loop);
  BOOST_TEST(seen == 3);
  BOOST_TEST(shared.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_posted_function_may_post_again_and_start_tasks) {
  cosock::loop loop;
  int calls = 0;
  std::unique_ptr<cosock::running<int>> started;
  loop.post([&] {
    ++calls;
    loop.post([&] {
      ++calls;
      started.reset(new cosock::running<int>(loop.start(give(9))));
    });
  });
  settle(loop);
  BOOST_TEST(calls == 2);
  BOOST_REQUIRE(started->done());
  BOOST_TEST(started->result() == 9);
}

BOOST_AUTO_TEST_CASE(what_is_posted_after_the_tasks_have_ended_is_called_in_the_next_run) {
  cosock::loop loop;
  loop.run(give(1));
  bool called = false;
  loop.post([&] { called = true; });
  BOOST_TEST(!called);
  loop.run(give_later(2));
  BOOST_TEST(called);
}

BOOST_AUTO_TEST_CASE(functions_that_were_never_called_are_destroyed_with_the_loop) {
  const auto shared = std::make_shared<int>(1);
  bool called = false;
  {
    cosock::loop loop;
    for (int i = 0; i != 3; ++i) loop.post([&called, shared] { called = true; });
    BOOST_TEST(shared.use_count() == 4);
  }
  BOOST_TEST(shared.use_count() == 1);
  BOOST_TEST(!called);
}

BOOST_AUTO_TEST_CASE(what_a_task_posts_while_it_is_destroyed_with_its_loop_is_destroyed) {
  const auto shared = std::make_shared<int>(1);
  auto loop = std::make_unique<cosock::loop>();
  struct posts_at_end {
    cosock::loop& to;
    std::shared_ptr<int> kept;
    ~posts_at_end() {
      to.post([kept = kept] {});
    }
  };
  const auto work = [&]() -> task<> {
    const posts_at_end last{*loop, shared};
    co_await forever();
  };
  auto root = loop->start(work());
  settle(*loop);
  loop.reset();
  BOOST_TEST(shared.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(other_threads_post_while_the_loop_runs) {
  constexpr int threads = 4;
  constexpr int each = 500;
  cosock::loop loop;
  int calls = 0;
  gate g;
  auto root = loop.start(wait_and_give(g, 1));
  std::vector<std::thread> posting;
  for (int t = 0; t != threads; ++t) {
    posting.emplace_back([&] {
      for (int i = 0; i != each; ++i)
        loop.post([&] {
          if (++calls == threads * each) g.open();
        });
    });
  }
  while (!root.done()) loop.run_some();
  for (auto& t : posting) t.join();
  BOOST_TEST(calls == threads * each);
}

BOOST_AUTO_TEST_CASE(a_post_from_another_thread_wakes_a_loop_that_waits) {
  cosock::loop loop;
  cosock::running<void>* to_cancel = nullptr;
  for (int i = 0; i != 10; ++i) {
    auto waiting = loop.start(never());
    to_cancel = &waiting;
    std::thread other([&] { loop.post([&] { to_cancel->cancel(); }); });
    const auto watch = [&]() -> task<> {
      while (!waiting.done()) co_await cosock::sleep_for(1ms);
    };
    loop.run(watch());
    other.join();
    BOOST_CHECK_EXCEPTION(waiting.result(), system_error, is(error::cancelled));
  }
}

BOOST_AUTO_TEST_CASE(threads_that_post_to_a_loop_may_outlast_its_tasks) {
  for (int i = 0; i != 20; ++i) {
    std::atomic<int> called = 0;
    cosock::loop loop;
    std::thread other([&] {
      for (int k = 0; k != 50; ++k) loop.post([&] { ++called; });
    });
    loop.run(give(1));
    other.join();
    settle(loop);
    BOOST_TEST(called == 50);
  }
}

// Destruction

BOOST_AUTO_TEST_CASE(a_loop_destroyed_first_destroys_the_tasks_that_wait) {
  const int before = counted::alive;
  auto loop = std::make_unique<cosock::loop>();
  auto waiting = loop->start(never());
  auto done = loop->start(give(4));
  settle(*loop);
  auto fresh = loop->start(never());
  BOOST_TEST(counted::alive == before + 1);
  loop.reset();
  BOOST_TEST(counted::alive == before);
  BOOST_CHECK_THROW(waiting.result(), std::logic_error);
  BOOST_CHECK_THROW(fresh.result(), std::logic_error);
  waiting.cancel();
  BOOST_REQUIRE(done.done());
  BOOST_TEST(done.result() == 4);
}

BOOST_AUTO_TEST_CASE(tasks_that_refer_to_each_other_are_destroyed_with_their_loop) {
  const int before = counted::alive;
  auto loop = std::make_unique<cosock::loop>();
  std::unique_ptr<cosock::running<void>> second;
  const auto owner = [&]() -> task<> {
    struct owns {
      std::unique_ptr<cosock::running<void>>& what;
      ~owns() { what.reset(); }
    } last{second};
    const counted local;
    co_await forever();
  };
  auto first = loop->start(owner());
  second.reset(new cosock::running<void>(loop->start(never())));
  settle(*loop);
  BOOST_TEST(counted::alive == before + 2);
  loop.reset();
  BOOST_TEST(counted::alive == before);
  BOOST_TEST(!second);
}

BOOST_AUTO_TEST_CASE(a_loop_is_destroyed_in_the_middle_of_many_ready_tasks) {
  const int before = counted::alive;
  {
    cosock::loop loop;
    const auto busy = []() -> task<> {
      const counted local;
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
    BOOST_TEST(counted::alive > before);
  }
  BOOST_TEST(counted::alive == before);
}

BOOST_AUTO_TEST_CASE(a_loop_that_never_ran_is_destroyed) {
  const int before = counted::alive;
  {
    cosock::loop unused;
    cosock::loop loop;
    const auto root = loop.start(never());
  }
  BOOST_TEST(counted::alive == before);
}

BOOST_AUTO_TEST_CASE(loops_leave_no_descriptor_behind) {
  const std::size_t before = test::open_descriptors();
  for (int i = 0; i != 50; ++i) {
    cosock::loop loop;
    auto waiting = loop.start(never());
    loop.run(give_later(1));
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
  gate to_first;
  gate to_second;
  auto a = first.start(wait_and_give(to_first, 1));
  auto b = second.start(wait_and_give(to_second, 2));
  for (int i = 0; i != 3; ++i) {
    BOOST_TEST(first.run(give_later(i)) == i);
    BOOST_TEST(second.run(give_later(i)) == i);
  }
  to_first.open();
  settle(first);
  BOOST_TEST(a.done());
  BOOST_TEST(!b.done());
  to_second.open();
  settle(second);
  BOOST_TEST(b.done());
  BOOST_TEST(a.result() + b.result() == 3);
}

BOOST_AUTO_TEST_CASE(loops_post_to_each_other) {
  cosock::loop first;
  cosock::loop second;
  gate to_first;
  gate to_second;
  const auto ping = [&]() -> task<int> {
    second.post([&] { to_second.open(); });
    co_await to_first.wait();
    co_return 1;
  };
  const auto pong = [&]() -> task<int> {
    co_await to_second.wait();
    first.post([&] { to_first.open(); });
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
  const int before = counted::alive;
  auto loop = std::make_unique<cosock::loop>();
  gate g;
  auto root = std::unique_ptr<cosock::running<int>>(
      new cosock::running<int>(loop->start(wait_and_give(g, 3))));
  int result = 0;
  std::thread([&] { settle(*loop); }).join();
  BOOST_TEST(!root->done());
  std::thread([&] {
    g.open();
    settle(*loop);
    result = root->result();
  }).join();
  BOOST_TEST(result == 3);
  auto waiting =
      std::unique_ptr<cosock::running<void>>(new cosock::running<void>(loop->start(never())));
  settle(*loop);
  std::thread([&] { loop.reset(); }).join();
  std::thread([&] { waiting.reset(); }).join();
  BOOST_TEST(counted::alive == before);
}
