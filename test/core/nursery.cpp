// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/nursery.hpp>

#define BOOST_TEST_MODULE nursery
#include "manual_event.hpp"
#include "support.hpp"

#include <malloc.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::error;
using cosock::multiple_errors;
using cosock::nursery;
using cosock::shielded;
using cosock::task;
using cosock::with_nursery;
using cosock::with_timeout;
using test::counted;
using test::forever;
using test::gate;
using test::is;
using test::settle;
using strings = std::vector<std::string>;

task<> nothing_to_do() {
  co_return;
}
task<> wait_for_ever() {
  const counted local;
  co_await forever();
}
task<> note(strings& in, std::string what) {
  in.push_back(std::move(what));
  co_return;
}
task<> fail_after_yields(int yields, std::exception_ptr with) {
  const counted local;
  for (int i = 0; i != yields; ++i) co_await cosock::yield();
  std::rethrow_exception(with);
}
/// Fails with an error of its own when it is cancelled.
task<> fail_when_cancelled(std::exception_ptr with) {
  const counted local;
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  std::rethrow_exception(with);
}
std::exception_ptr text(const std::string& what) {
  return std::make_exception_ptr(std::runtime_error(what));
}
strings texts_of(const multiple_errors& e) {
  strings all;
  for (const auto& each : e.errors()) all.push_back(cosock::describe(each));
  return all;
}
[[gnu::noinline]] std::string letters(std::size_t n) {
  return std::string(n, 'x');
}
auto failed_with(strings texts) {
  return [texts = std::move(texts)](const multiple_errors& e) { return texts_of(e) == texts; };
}

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
  gate g;
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
    g.open();
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
  gate first;
  gate second;
  co_await with_nursery([&](nursery& n) -> task<> {
    BOOST_TEST(n.active() == 1u);
    n.start([&] { return first.wait(); });
    n.start([&] { return second.wait(); });
    BOOST_TEST(n.active() == 3u);
    co_await cosock::yield();
    BOOST_TEST(n.active() == 3u);
    second.open();
    BOOST_TEST(n.active() == 3u);
    co_await cosock::yield();
    BOOST_TEST(n.active() == 2u);
    n.start([&n]() -> task<> {
      BOOST_TEST(n.active() == 2u);
      co_return;
    });
    first.open();
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
  counted alive;
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
task<int> give(int n) {
  co_return n;
}
task<> throw_before_it_is_a_task(int) {
  throw std::runtime_error("no task");
}

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
  const int before = counted::alive;
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
  BOOST_TEST(counted::alive == before);
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

// Errors

COROUTINE_TEST_CASE(the_first_error_cancels_the_others_and_is_thrown) {
  const int before = counted::alive;
  BOOST_CHECK_EXCEPTION(co_await with_nursery([](nursery& n) -> task<> {
                          n.start(wait_for_ever);
                          n.start(fail_after_yields, 2, text("second"));
                          n.start(wait_for_ever);
                          co_await forever();
                        }),
                        std::runtime_error, [](const std::runtime_error& e) {
                          return e.what() == std::string("second");
                        });
  BOOST_TEST(counted::alive == before);
}

COROUTINE_TEST_CASE(an_error_of_any_type_is_thrown) {
  const auto in_child = [](std::exception_ptr e) -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(fail_after_yields, 0, e);
      co_await forever();
    });
  };
  BOOST_CHECK_THROW(co_await in_child(std::make_exception_ptr(42)), int);
  BOOST_CHECK_THROW(co_await in_child(std::make_exception_ptr(std::string("x"))), std::string);
  BOOST_CHECK_EXCEPTION(co_await in_child(std::make_exception_ptr(system_error(error::busy))),
                        system_error, is(error::busy));
}

COROUTINE_TEST_CASE(an_error_of_the_body_cancels_the_children) {
  const int before = counted::alive;
  BOOST_CHECK_THROW(co_await with_nursery([](nursery& n) -> task<> {
                      n.start(wait_for_ever);
                      throw std::runtime_error("body");
                      co_return;
                    }),
                    std::runtime_error);
  BOOST_CHECK_THROW(co_await with_nursery([](nursery& n) -> task<> {
                      n.start(wait_for_ever);
                      co_await cosock::yield();
                      throw 42;
                    }),
                    int);
  BOOST_TEST(counted::alive == before);
}

COROUTINE_TEST_CASE(a_child_that_was_started_before_the_body_failed_runs_to_its_first_wait) {
  strings order;
  BOOST_CHECK_THROW(co_await with_nursery([&](nursery& n) -> task<> {
                      n.start([&]() -> task<> {
                        order.push_back("child");
                        co_await cosock::yield();
                        order.push_back("not reached");
                      });
                      throw 42;
                      co_return;
                    }),
                    int);
  BOOST_TEST(order.size() == 1u);
}

COROUTINE_TEST_CASE(several_errors_are_all_kept_in_their_order) {
  const auto body = [](nursery& n) -> task<> {
    n.start(fail_when_cancelled, text("cancelled first"));
    n.start(fail_after_yields, 1, text("the cause"));
    n.start(fail_when_cancelled, text("cancelled second"));
    n.start(wait_for_ever);
    co_return;
  };
  const auto all = failed_with({"the cause", "cancelled first", "cancelled second"});
  BOOST_CHECK_EXCEPTION(co_await with_nursery(body), multiple_errors, all);
}

COROUTINE_TEST_CASE(errors_of_body_and_child_are_both_kept) {
  BOOST_CHECK_EXCEPTION(co_await with_nursery([](nursery& n) -> task<> {
                          n.start(fail_when_cancelled, text("child"));
                          co_await cosock::yield();
                          throw system_error(error::busy);
                        }),
                        multiple_errors, [](const multiple_errors& e) {
                          return e.errors().size() == 2 && e.code() == error::busy &&
                                 texts_of(e)[1] == "child";
                        });
}

COROUTINE_TEST_CASE(siblings_that_fail_in_the_same_turn_are_all_kept) {
  const auto body = [](nursery& n) -> task<> {
    for (const char* each : {"a", "b", "c"}) n.start(fail_after_yields, 0, text(each));
    co_return;
  };
  const auto all = failed_with({"a", "b", "c"});
  BOOST_CHECK_EXCEPTION(co_await with_nursery(body), multiple_errors, all);
}

COROUTINE_TEST_CASE(the_errors_of_nested_nurseries_are_thrown_through_all_of_them) {
  BOOST_CHECK_EXCEPTION(co_await with_nursery([](nursery& outer) -> task<> {
                          outer.start(wait_for_ever);
                          co_await with_nursery([](nursery& inner) -> task<> {
                            inner.start(wait_for_ever);
                            inner.start(fail_after_yields, 1,
                                        std::make_exception_ptr(system_error(error::busy)));
                            co_return;
                          });
                        }),
                        system_error, is(error::busy));
}

COROUTINE_TEST_CASE(cancelled_that_nobody_caused_is_an_error_like_any_other) {
  bool sibling_cancelled = false;
  BOOST_CHECK_EXCEPTION(co_await with_nursery([&](nursery& n) -> task<> {
                          n.start([&]() -> task<> {
                            const auto r = co_await as_result(forever());
                            sibling_cancelled = r.error() == error::cancelled;
                          });
                          n.start(fail_after_yields, 1,
                                  std::make_exception_ptr(system_error(error::cancelled)));
                          co_return;
                        }),
                        system_error, is(error::cancelled));
  BOOST_TEST(sibling_cancelled);
}

COROUTINE_TEST_CASE(a_scope_that_a_child_cancelled_for_itself_is_an_error_if_it_escapes) {
  cancel_scope own;
  BOOST_CHECK_EXCEPTION(co_await with_nursery([&](nursery& n) -> task<> {
                          n.start([&]() -> task<> { co_await own.run(forever()); });
                          co_await cosock::yield();
                          own.cancel();
                          co_await forever();
                        }),
                        system_error, is(error::cancelled));
}

COROUTINE_TEST_CASE(a_time_out_of_a_child_is_its_error) {
  BOOST_CHECK_EXCEPTION(co_await with_nursery([](nursery& n) -> task<> {
                          n.start([]() -> task<> { co_await with_timeout(1ms, forever()); });
                          co_await forever();
                        }),
                        system_error, is(error::timed_out));
}

COROUTINE_TEST_CASE(the_errors_of_a_nursery_come_as_a_result) {
  const auto of_errors = [](int count) -> task<boost::system::error_code> {
    const auto r = co_await as_result(with_nursery([&](nursery& n) -> task<> {
      const system_error busy(error::busy);
      for (int i = 0; i != count; ++i) n.start(fail_after_yields, 0, std::make_exception_ptr(busy));
      co_return;
    }));
    co_return r.error();
  };
  BOOST_TEST(!co_await of_errors(0));
  BOOST_TEST((co_await of_errors(1) == error::busy));
  BOOST_TEST((co_await of_errors(2) == error::busy));
  BOOST_CHECK_THROW(co_await as_result(with_nursery([](nursery& n) -> task<> {
                      n.start(fail_after_yields, 0, text("x"));
                      co_return;
                    })),
                    std::runtime_error);
}

// cancel_all and cancellation from outside

COROUTINE_TEST_CASE(cancel_all_ends_everybody_and_returns_normally) {
  const int before = counted::alive;
  bool body_passed = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(wait_for_ever);
    n.start(wait_for_ever);
    co_await cosock::yield();
    BOOST_TEST(!n.is_cancelled());
    n.cancel_all();
    n.cancel_all();
    BOOST_TEST(n.is_cancelled());
    BOOST_TEST(n.active() == 3u);
    co_await cosock::yield();
    body_passed = true;
  });
  BOOST_TEST(!body_passed);
  BOOST_TEST(counted::alive == before);
}

COROUTINE_TEST_CASE(a_child_cancels_all) {
  bool reached = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(wait_for_ever);
    n.start([&]() -> task<> {
      n.cancel_all();
      reached = true;
      co_return;
    });
    co_await forever();
  });
  BOOST_TEST(reached);
}

COROUTINE_TEST_CASE(a_child_started_after_cancel_all_runs_to_its_first_wait) {
  strings order;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.cancel_all();
    n.start([&]() -> task<> {
      order.push_back("began");
      co_await cosock::yield();
      order.push_back("not reached");
    });
    n.start(note, std::ref(order), "completed");
    co_return;
  });
  const strings expected = {"began", "completed"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(an_error_after_cancel_all_is_thrown) {
  BOOST_CHECK_THROW(co_await with_nursery([](nursery& n) -> task<> {
                      n.start(fail_when_cancelled, text("x"));
                      co_await cosock::yield();
                      n.cancel_all();
                    }),
                    std::runtime_error);
}

COROUTINE_TEST_CASE(a_cancellation_from_outside_ends_all_and_is_thrown) {
  const int before = counted::alive;
  cancel_scope scope;
  bool seen_inside = false;
  co_await with_nursery([&](nursery& outside) -> task<> {
    outside.start([&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await scope.run(with_nursery([&](nursery& n) -> task<> {
        n.start(wait_for_ever);
        n.start(wait_for_ever);
        const auto r = co_await as_result(forever());
        seen_inside = n.is_cancelled() && r.error() == error::cancelled;
      })),
                            system_error, is(error::cancelled));
    });
    co_await cosock::yield();
    co_await cosock::yield();
    scope.cancel();
  });
  BOOST_TEST(seen_inside);
  BOOST_TEST(counted::alive == before);
}

COROUTINE_TEST_CASE(a_nursery_in_a_cancelled_scope_is_cancelled_from_the_start) {
  cancel_scope scope;
  scope.cancel();
  bool began = false;
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_nursery([&](nursery& n) -> task<> {
    began = n.is_cancelled();
    n.start(wait_for_ever);
    co_return;
  })),
                        system_error, is(error::cancelled));
  BOOST_TEST(began);
}

BOOST_AUTO_TEST_CASE(a_nursery_whose_tasks_all_complete_all_the_same_was_not_cancelled) {
  cosock::loop loop;
  gate first;
  gate second;
  const auto work = [&]() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] { return first.wait(); });
      co_await second.wait();
    });
  };
  auto root = loop.start(work());
  settle(loop);
  first.open();
  second.open();
  root.cancel();
  settle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_NO_THROW(root.result());
}

BOOST_AUTO_TEST_CASE(an_error_comes_before_a_cancellation_from_outside) {
  cosock::loop loop;
  const auto work = []() -> task<> {
    co_await with_nursery([](nursery& n) -> task<> {
      n.start(fail_when_cancelled, text("x"));
      n.start(wait_for_ever);
      co_return;
    });
  };
  auto root = loop.start(work());
  settle(loop);
  root.cancel();
  settle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_CHECK_THROW(root.result(), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_child_that_refuses_to_end_at_once_is_waited_for) {
  cosock::loop loop;
  gate g;
  bool cleaned_up = false;
  const auto work = [&]() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await shielded(g.wait());
        cleaned_up = true;
      });
      co_await cosock::yield();
      throw std::runtime_error("body");
    });
  };
  auto root = loop.start(work());
  settle(loop);
  BOOST_TEST(!root.done());
  root.cancel();
  settle(loop);
  BOOST_TEST(!root.done());
  g.open();
  settle(loop);
  BOOST_REQUIRE(root.done());
  BOOST_TEST(cleaned_up);
  BOOST_CHECK_THROW(root.result(), std::runtime_error);
}

COROUTINE_TEST_CASE(cancelling_an_inner_nursery_leaves_the_outer_one_alone) {
  bool outer_child_passed = false;
  co_await with_nursery([&](nursery& outer) -> task<> {
    outer.start([&]() -> task<> {
      for (int i = 0; i != 5; ++i) co_await cosock::yield();
      outer_child_passed = true;
    });
    co_await with_nursery([](nursery& inner) -> task<> {
      inner.start(wait_for_ever);
      inner.cancel_all();
      co_return;
    });
    BOOST_TEST(!outer.is_cancelled());
  });
  BOOST_TEST(outer_child_passed);
}

COROUTINE_TEST_CASE(cancelling_an_outer_nursery_reaches_the_inner_ones) {
  const int before = counted::alive;
  co_await with_nursery([](nursery& outer) -> task<> {
    outer.start([]() -> task<> {
      co_await with_nursery([](nursery& inner) -> task<> {
        inner.start(wait_for_ever);
        inner.start([]() -> task<> {
          co_await with_nursery([](nursery& innermost) -> task<> {
            innermost.start(wait_for_ever);
            co_await with_timeout(1h, wait_for_ever());
          });
        });
        co_return;
      });
    });
    for (int i = 0; i != 3; ++i) co_await cosock::yield();
    outer.cancel_all();
  });
  BOOST_TEST(counted::alive == before);
}

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
  const int before = counted::alive;
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
    settle(loop);
    BOOST_TEST(counted::alive == before + 3);
  }
  BOOST_TEST(counted::alive == before);
  BOOST_TEST((order == strings{"local", "child"}));
  settle(loop);
}

BOOST_AUTO_TEST_CASE(children_that_never_had_a_turn_are_destroyed_with_the_nursery) {
  const int before = counted::alive;
  cosock::loop loop;
  counted argument;
  const auto child = [](counted) -> task<> { co_await forever(); };
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
  BOOST_TEST(counted::alive == before + 1);
  settle(loop);
}

BOOST_AUTO_TEST_CASE(a_child_started_while_the_nursery_is_destroyed_is_destroyed_too) {
  const int before = counted::alive;
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
    settle(loop);
  }
  settle(loop);
  BOOST_TEST(counted::alive == before);
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

[[maybe_unused]] long heap_in_use() {
  return static_cast<long>(mallinfo2().uordblks);
}

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
