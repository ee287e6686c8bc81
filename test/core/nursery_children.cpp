// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// When children begin, what they are made of, and what a nursery waits for.

#include <cosock/nursery.hpp>

#define BOOST_TEST_MODULE nursery_children
#include "manual_event.hpp"
#include "nursery_fixture.hpp"
#include "support.hpp"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::forever;
using test::instance_counter;
using test::manual_event;
using test::note;
using strings = std::vector<std::string>;

task<> nothing_to_do() { co_return; }
[[gnu::noinline]] std::string letters(std::size_t n) { return std::string(n, 'x'); }

}  // namespace

// Order and end

COROUTINE_TEST_CASE(a_nursery_without_children_ends_with_its_body) {
  co_await with_nursery([](nursery&) { return nothing_to_do(); });
  bool ran = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    BOOST_TEST(n.active() == 1u);
    co_await cosock::yield();
    ran = true;
  });
  BOOST_TEST(ran);
}

COROUTINE_TEST_CASE(children_run_in_the_order_of_their_start_when_the_caller_next_waits) {
  strings order;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(note, std::ref(order), "first");
    n.start(note, std::ref(order), "second");
    order.push_back("body");
    co_await cosock::yield();
    order.push_back("body again");
    n.start(note, std::ref(order), "third");
  });
  order.push_back("after");
  const strings expected = {"body", "first", "second", "body again", "third", "after"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(a_nursery_waits_for_children_after_its_body_has_ended) {
  manual_event g;
  strings order;
  co_await with_nursery([&](nursery& outer) -> task<> {
    outer.start([&]() -> task<> {
      co_await with_nursery([&](nursery& n) -> task<> {
        n.start([&]() -> task<> {
          co_await g.wait();
          order.push_back("child");
        });
        co_return;
      });
      order.push_back("nursery");
    });
    for (int i = 0; i != 3; ++i) co_await cosock::yield();
    order.push_back("opened");
    g.set();
  });
  const strings expected = {"opened", "child", "nursery"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(a_nursery_waits_for_its_body_after_its_children_have_ended) {
  bool ended = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(nothing_to_do);
    for (int i = 0; i != 3; ++i) co_await cosock::yield();
    BOOST_TEST(n.active() == 1u);
    ended = true;
  });
  BOOST_TEST(ended);
}

COROUTINE_TEST_CASE(active_counts_the_body_and_the_children) {
  manual_event first;
  manual_event second;
  co_await with_nursery([&](nursery& n) -> task<> {
    BOOST_TEST(n.active() == 1u);
    n.start([&] { return first.wait(); });
    n.start([&] { return second.wait(); });
    BOOST_TEST(n.active() == 3u);
    co_await cosock::yield();
    BOOST_TEST(n.active() == 3u);
    second.set();
    BOOST_TEST(n.active() == 3u);
    co_await cosock::yield();
    BOOST_TEST(n.active() == 2u);
    n.start([&n]() -> task<> {
      BOOST_TEST(n.active() == 2u);
      co_return;
    });
    first.set();
  });
}

COROUTINE_TEST_CASE(a_child_starts_children) {
  strings order;
  const auto child = [&](nursery& n) -> task<> {
    n.start(note, std::ref(order), "grandchild");
    order.push_back("child");
    co_await cosock::yield();
    n.start(note, std::ref(order), "late grandchild");
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(child, std::ref(n));
    co_return;
  });
  const strings expected = {"child", "grandchild", "late grandchild"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

namespace {

task<> start_next(nursery& n, int left) {
  if (left != 0) n.start(start_next, std::ref(n), left - 1);
  co_return;
}

}  // namespace

COROUTINE_TEST_CASE(children_start_children_a_hundred_thousand_times_in_a_row) {
  co_await with_nursery([](nursery& n) -> task<> { co_await start_next(n, 100'000); });
}

namespace {

task<> nest(int depth, int& reached) {
  ++reached;
  if (depth == 0) {
    co_await cosock::yield();
    co_return;
  }
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(nest, depth - 1, std::ref(reached));
    co_return;
  });
}
task<> nest_in_bodies(int depth, int& reached) {
  ++reached;
  if (depth == 0) {
    co_await cosock::yield();
    co_return;
  }
  co_await with_nursery([&](nursery&) { return nest_in_bodies(depth - 1, reached); });
}

}  // namespace

COROUTINE_TEST_CASE(nurseries_nest_deeply) {
  int reached = 0;
  co_await nest(1000, reached);
  BOOST_TEST(reached == 1001);
  co_await nest_in_bodies(1000, reached);
  BOOST_TEST(reached == 2002);
}

// What a child is made of

namespace {

struct callable {
  explicit callable(int& sum) : sum(&sum) {}
  task<> operator()(int n) {
    co_await cosock::yield();
    calls += 1;
    *sum += n * calls;
  }
  int* sum;
  int calls = 0;
  instance_counter alive;
};

struct callable_once {
  task<> operator()(std::unique_ptr<int> p) && {
    const std::unique_ptr<int> kept = std::move(p);
    co_await cosock::yield();
    *to += *kept;
  }
  int* to;
};

task<> add_length(int& sum, std::string s) {
  co_await cosock::yield();
  sum += static_cast<int>(s.size());
}
task<> add_length_of_reference(int& sum, const std::string& s) {
  co_await cosock::yield();
  sum += static_cast<int>(s.size());
}
task<> add_length_of_rvalue(int& sum, std::string&& s) {
  co_await cosock::yield();
  sum += static_cast<int>(s.size());
}
task<int> give(int n) { co_return n; }
task<> throw_before_it_is_a_task(int) { throw std::runtime_error("no task"); }

}  // namespace

COROUTINE_TEST_CASE(a_child_owns_its_function_and_its_arguments) {
  int sum = 0;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(add_length, std::ref(sum), letters(100));
    n.start(add_length_of_reference, std::ref(sum), letters(200));
    n.start(add_length_of_rvalue, std::ref(sum), letters(400));
    n.start(add_length_of_reference, std::ref(sum), "a literal of 23 letters");
    {
      const std::string copied = letters(1000);
      n.start(add_length_of_reference, std::ref(sum), copied);
    }
    co_return;
  });
  BOOST_TEST(sum == 1723);
}

COROUTINE_TEST_CASE(a_child_may_be_a_lambda_that_captures) {
  int sum = 0;
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 1; i <= 3; ++i) {
      std::string s = letters(100);
      auto named = [&sum, i, s = std::move(s), p = std::make_unique<int>(i)]() -> task<> {
        co_await cosock::yield();
        sum += i * static_cast<int>(s.size()) + *p;
      };
      n.start(std::move(named));
      n.start([&sum, s = letters(10)]() -> task<> {
        co_await cosock::yield();
        sum += static_cast<int>(s.size());
      });
    }
    co_return;
  });
  BOOST_TEST(sum == 636);
}

COROUTINE_TEST_CASE(a_child_may_be_a_function_object) {
  const int before = instance_counter::alive;
  int sum = 0;
  co_await with_nursery([&](nursery& n) -> task<> {
    callable kept(sum);
    n.start(kept, 1);
    n.start(std::move(kept), 10);
    n.start(callable(sum), 100);
    n.start(callable_once{&sum}, std::make_unique<int>(1000));
    const std::function<task<>(int)> erased = callable(sum);
    n.start(erased, 10000);
    co_return;
  });
  BOOST_TEST(sum == 11111);
  BOOST_TEST(instance_counter::alive == before);
}

COROUTINE_TEST_CASE(the_result_of_a_child_is_dropped) {
  co_await with_nursery([](nursery& n) -> task<> {
    n.start(give, 3);
    co_return;
  });
}

COROUTINE_TEST_CASE(a_function_that_throws_before_it_gives_a_task_is_a_child_that_fails) {
  BOOST_CHECK_THROW(co_await with_nursery([](nursery& n) -> task<> {
                      n.start(throw_before_it_is_a_task, 1);
                      co_await forever();
                    }),
                    std::runtime_error);
  BOOST_CHECK_THROW(co_await with_nursery([](nursery&) { return throw_before_it_is_a_task(1); }),
                    std::runtime_error);
}

COROUTINE_TEST_CASE(the_closure_of_the_body_is_kept_until_the_end) {
  int sum = 0;
  auto body = [&sum, p = std::make_unique<int>(5)](nursery& n) mutable -> task<> {
    n.start([&]() -> task<> {
      co_await cosock::yield();
      co_await cosock::yield();
      sum += *p;
    });
    co_await cosock::yield();
    sum += 10 * *p;
  };
  co_await with_nursery(std::move(body));
  BOOST_TEST(sum == 55);
}

COROUTINE_TEST_CASE(the_body_may_be_a_named_function_or_an_lvalue) {
  int calls = 0;
  const auto body = [&](nursery&) -> task<> {
    ++calls;
    co_return;
  };
  co_await with_nursery(body);
  co_await with_nursery(body);
  BOOST_TEST(calls == 2);
}
