// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Nurseries that are destroyed, and that very many children leave nothing behind.

#include <cosock/nursery.hpp>

#define BOOST_TEST_MODULE nursery_ends
#include "manual_event.hpp"
#include "nursery_fixture.hpp"
#include "support.hpp"

#include <malloc.h>

#include <functional>
#include <string>
#include <vector>

namespace {

using cosock::multiple_errors;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::fail_after_yields;
using test::forever;
using test::instance_counter;
using test::run_until_idle;
using test::text;
using test::wait_for_ever;
using strings = std::vector<std::string>;

}  // namespace

// Destruction

namespace {

/// Refers to its surroundings when it is destroyed.
struct at_end {
  explicit at_end(std::function<void()> f) : f(std::move(f)) {}
  at_end(const at_end&) = delete;
  ~at_end() { f(); }
  std::function<void()> f;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_nursery_destroyed_with_its_task_destroys_the_children) {
  const int before = instance_counter::alive;
  strings order;
  cosock::loop loop;
  const auto child = [&](strings& local, nursery& n) -> task<> {
    const at_end last([&] { local.push_back("child"), order = local; });
    n.start(wait_for_ever);
    co_await forever();
  };
  const auto work = [&]() -> task<> {
    strings local = {"local"};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(child, std::ref(local), std::ref(n));
      n.start(wait_for_ever);
      co_await wait_for_ever();
    });
  };
  {
    auto root = loop.start(work());
    run_until_idle(loop);
    BOOST_TEST(instance_counter::alive == before + 3);
  }
  BOOST_TEST(instance_counter::alive == before);
  BOOST_TEST((order == strings{"local", "child"}));
  run_until_idle(loop);
}

BOOST_AUTO_TEST_CASE(children_that_never_had_a_turn_are_destroyed_with_the_nursery) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  instance_counter argument;
  const auto child = [](instance_counter) -> task<> { co_await forever(); };
  const auto work = [&]() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(child, argument);
      co_await cosock::yield();
      for (int i = 0; i != 3; ++i) n.start(child, argument);
      loop.post([] {});
      co_await forever();
    });
  };
  {
    auto root = loop.start(work());
    loop.run_some();
  }
  BOOST_TEST(instance_counter::alive == before + 1);
  run_until_idle(loop);
}

BOOST_AUTO_TEST_CASE(a_child_started_while_the_nursery_is_destroyed_is_destroyed_too) {
  const int before = instance_counter::alive;
  cosock::loop loop;
  const auto work = []() -> task<> {
    co_await with_nursery([](nursery& n) -> task<> {
      n.start([&n]() -> task<> {
        const at_end last([&n] { n.start(wait_for_ever); });
        co_await forever();
      });
      co_return;
    });
  };
  {
    auto root = loop.start(work());
    run_until_idle(loop);
  }
  run_until_idle(loop);
  BOOST_TEST(instance_counter::alive == before);
}

BOOST_AUTO_TEST_CASE(a_nursery_that_was_never_awaited_runs_nothing) {
  bool ran = false;
  {
    const auto body = [&](nursery&) -> task<> {
      ran = true;
      co_return;
    };
    const auto never = with_nursery(body);
  }
  BOOST_TEST(!ran);
}

COROUTINE_TEST_CASE(the_locals_of_a_child_that_fails_are_destroyed_before_its_siblings_end) {
  strings order;
  BOOST_CHECK_THROW(co_await with_nursery([&](nursery& n) -> task<> {
                      n.start([&]() -> task<> {
                        const at_end last([&] { order.push_back("sibling"); });
                        co_await forever();
                      });
                      n.start([&]() -> task<> {
                        const at_end last([&] { order.push_back("failed"); });
                        co_await cosock::yield();
                        throw 42;
                      });
                      co_return;
                    }),
                    int);
  BOOST_TEST((order == strings{"failed", "sibling"}));
}

// Many

namespace {

task<> start_in_waves(int waves, int in_each, int& sum) {
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int w = 0; w != waves; ++w) {
      for (int i = 0; i != in_each; ++i)
        n.start(
            [&sum](int k) -> task<> {
              sum += k;
              co_return;
            },
            1);
      co_await cosock::yield();
    }
  });
}

task<> start_at_once(int count, int& sum) {
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != count; ++i)
      n.start(
          [&sum](int k) -> task<> {
            co_await cosock::yield();
            sum += k;
          },
          1);
    co_await cosock::yield();
    BOOST_TEST(n.active() == static_cast<std::size_t>(count) + 1);
  });
}

[[maybe_unused]] long heap_in_use() { return static_cast<long>(mallinfo2().uordblks); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_million_children_leave_the_heap_where_it_was) {
  cosock::loop loop;
  int sum = 0;
  loop.run(start_in_waves(2, 1000, sum));
  [[maybe_unused]] const long before = heap_in_use();
  loop.run(start_in_waves(1000, 1000, sum));
  BOOST_TEST(sum == 1'002'000);
#if !COSOCK_TEST_SANITIZED
  BOOST_TEST(heap_in_use() - before < 4096);  // the C library and Boost.Test allocate a little
#endif
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_children_are_alive_at_once) {
  cosock::loop loop;
  int sum = 0;
  loop.run(start_at_once(1000, sum));
  [[maybe_unused]] const long before = heap_in_use();
  loop.run(start_at_once(100'000, sum));
  BOOST_TEST(sum == 101'000);
#if !COSOCK_TEST_SANITIZED
  BOOST_TEST(heap_in_use() - before < 4096);
#endif
}

COROUTINE_TEST_CASE(a_thousand_children_fail_and_all_errors_are_kept) {
  constexpr int many = 1000;
  std::size_t kept = 0;
  try {
    co_await with_nursery([](nursery& n) -> task<> {
      const auto e = text("x");
      for (int i = 0; i != many; ++i) n.start(fail_after_yields, 0, e);
      co_return;
    });
  } catch (const multiple_errors& e) {
    kept = e.errors().size();
  }
  BOOST_TEST(kept == static_cast<std::size_t>(many));
}
