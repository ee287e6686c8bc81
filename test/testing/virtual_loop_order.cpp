// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/virtual_loop.hpp>

#define BOOST_TEST_MODULE virtual_loop_order
#include "support.hpp"

#include <cosock/channel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/reconnect.hpp>
#include <cosock/sync.hpp>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cosock::nursery;
using cosock::sleep_for;
using cosock::task;
using cosock::testing::stuck;
using cosock::testing::task_order;
using cosock::testing::virtual_loop;

using numbers = std::vector<int>;

/// Ten tasks that become ready at the same time; the order in which they run.
template <class Wait>
numbers order_of(virtual_loop& loop, Wait wait) {
  numbers order;
  loop.run([](numbers& order, Wait wait) -> task<> {
    const auto note = [&](int i) -> task<> {
      co_await wait();
      order.push_back(i);
    };
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i != 10; ++i) n.start(note, i);
      co_return;
    });
  }(order, wait));
  return order;
}

numbers order_of_sleeps(std::uint64_t seed) {
  virtual_loop loop({.seed = seed, .order = task_order::shuffled});
  return order_of(loop, [] { return sleep_for(1s); });
}

const numbers in_order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

}  // namespace

BOOST_AUTO_TEST_CASE(tasks_run_first_come_first_served_by_default) {
  virtual_loop loop;
  BOOST_TEST(order_of(loop, [] { return sleep_for(1s); }) == in_order);
  BOOST_TEST(order_of(loop, [] { return cosock::yield(); }) == in_order);
}

BOOST_AUTO_TEST_CASE(a_shuffled_order_is_that_of_the_seed) {
  std::set<numbers> orders;
  for (std::uint64_t seed = 0; seed != 20; ++seed) {
    const numbers order = order_of_sleeps(seed);
    BOOST_TEST(order == order_of_sleeps(seed));
    BOOST_TEST(std::is_permutation(order.begin(), order.end(), in_order.begin()));
    orders.insert(order);
  }
  BOOST_TEST(orders.size() == 20u);
}

BOOST_AUTO_TEST_CASE(tasks_that_an_event_makes_ready_are_shuffled) {
  virtual_loop loop({.seed = 1, .order = task_order::shuffled});
  cosock::event now;
  auto setting = loop.start([](cosock::event& now) -> task<> {
    co_await sleep_for(1s);
    now.set();
  }(now));
  const numbers order = order_of(loop, [&] { return now.wait(); });
  BOOST_TEST(order != in_order);
  BOOST_TEST(std::is_permutation(order.begin(), order.end(), in_order.begin()));
}

BOOST_AUTO_TEST_CASE(a_task_that_yields_lets_all_run_that_are_ready) {
  for (std::uint64_t seed = 0; seed != 50; ++seed) {
    virtual_loop loop({.seed = seed, .order = task_order::shuffled});
    int ready = 0;
    int begun = 0;
    loop.run([](int& ready, int& begun) -> task<> {
      cosock::event now;
      const auto yielding = [&]() -> task<> {
        co_await now.wait();
        ++begun;
        const int ready_before = ready;
        co_await cosock::yield();
        BOOST_TEST(begun >= ready_before);
      };
      const auto one_more = [&]() -> task<> {
        co_await sleep_for(1s);
        ready = 10;
        now.set();
      };
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        for (int i = 0; i != 10; ++i) n.start(yielding);
        n.start(one_more);
        co_return;
      });
    }(ready, begun));
  }
}

BOOST_AUTO_TEST_CASE(operations_that_could_complete_at_once_sometimes_yield) {
  // Two tasks that never have to wait: in the usual order the first one runs to its end.
  const auto interleaved = [](const cosock::testing::virtual_loop_options& options) {
    virtual_loop loop(options);
    std::string order;
    loop.run([](std::string& order) -> task<> {
      const auto note = [&](char who) -> task<> {
        cosock::event set;
        set.set();
        for (int i = 0; i != 20; ++i) {
          co_await set.wait();
          order += who;
        }
      };
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        n.start(note, 'a');
        n.start(note, 'b');
        co_return;
      });
    }(order));
    return order.find("ba") != order.npos && order.find("ab") != order.npos;
  };
  BOOST_TEST(!interleaved({.seed = 3}));
  int times = 0;
  for (std::uint64_t seed = 0; seed != 100; ++seed)
    times += interleaved({.seed = seed, .order = task_order::shuffled});
  BOOST_TEST(times > 0);
  BOOST_TEST(times < 100);
}

BOOST_AUTO_TEST_CASE(an_order_of_tasks_that_breaks_a_program_is_found_and_repeated) {
  // Right only if the sender runs before the receiver.
  const auto breaks = [](std::uint64_t seed) {
    virtual_loop loop({.seed = seed, .order = task_order::shuffled});
    bool sent = false;
    bool broken = false;
    loop.run([](bool& sent, bool& broken) -> task<> {
      const auto send = [&]() -> task<> {
        co_await sleep_for(1s);
        sent = true;
      };
      const auto receive = [&]() -> task<> {
        co_await sleep_for(1s);
        broken = !sent;
      };
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        n.start(send);
        n.start(receive);
        co_return;
      });
    }(sent, broken));
    return broken;
  };
  std::uint64_t seed = 0;
  while (!breaks(seed)) BOOST_REQUIRE(++seed < 100);
  for (int i = 0; i != 10; ++i) BOOST_TEST(breaks(seed));
}

BOOST_AUTO_TEST_CASE(a_client_that_reconnects_waits_as_the_seed_says) {
  const auto waits_of = [](std::uint64_t seed) {
    std::vector<std::int64_t> waits;
    auto keep = [&](const cosock::retry_event& e) { waits.push_back(e.delay.count()); };
    virtual_loop loop({.seed = seed});
    cosock::reconnecting_client client({.max_attempts = 10, .on_retry = keep});
    const auto refused = []() -> task<int> {
      throw boost::system::system_error(make_error_code(cosock::error::end_of_stream));
      co_return 0;
    };
    const auto session = [](int&) -> task<> { co_return; };
    BOOST_CHECK_THROW(loop.run(client.run(refused, session)), boost::system::system_error);
    return waits;
  };
  BOOST_TEST(waits_of(1) == waits_of(1));
  BOOST_TEST(waits_of(1) != waits_of(2));
  BOOST_TEST(waits_of(1).size() == 9u);
}

BOOST_AUTO_TEST_CASE(the_seed_comes_from_the_environment_unless_it_is_given) {
  ::setenv("COSOCK_SEED", "12", 1);
  BOOST_TEST(virtual_loop().seed() == 12u);
  BOOST_TEST(virtual_loop({.seed = 5}).seed() == 5u);
  ::setenv("COSOCK_SEED", "a dozen", 1);
  BOOST_CHECK_THROW(virtual_loop(), std::invalid_argument);
  ::unsetenv("COSOCK_SEED");
}

BOOST_AUTO_TEST_CASE(a_stuck_loop_says_its_seed) {
  virtual_loop loop({.seed = 77, .order = task_order::shuffled});
  try {
    loop.run([]() -> task<> {
      cosock::event never;
      co_await never.wait();
    }());
    BOOST_ERROR("not stuck");
  } catch (const stuck& e) {
    BOOST_TEST(test::contains(e.what(), "seed of the loop is 77"), e.what());
  }
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_destroys_the_tasks_that_were_to_run) {
  int alive = 0;
  {
    virtual_loop loop({.seed = 1, .order = task_order::shuffled});
    struct counted {
      explicit counted(int& n) : n(n) { ++n; }
      ~counted() { --n; }
      int& n;
    };
    const auto wait = [](int& alive) -> task<> {
      const counted one(alive);
      for (;;) co_await cosock::yield();
    };
    auto first = loop.start(wait(alive));
    auto second = loop.start(wait(alive));
    for (int i = 0; i != 10; ++i) loop.run_some();
    BOOST_TEST(alive == 2);
  }
  BOOST_TEST(alive == 0);
}
