// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Errors of children and of the body: what they cancel, and what is thrown.

#include <cosock/nursery.hpp>

#define BOOST_TEST_MODULE nursery_errors
#include "manual_event.hpp"
#include "netns.hpp"
#include "nursery_fixture.hpp"
#include "support.hpp"

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
using cosock::task;
using cosock::with_nursery;
using cosock::with_timeout;
using test::fail_after_yields;
using test::fail_when_cancelled;
using test::forever;
using test::instance_counter;
using test::is;
using test::text;
using test::wait_for_ever;
using strings = std::vector<std::string>;

strings texts_of(const multiple_errors& e) {
  strings all;
  for (const auto& each : e.errors()) all.push_back(cosock::error_message(each));
  return all;
}
auto failed_with(strings texts) {
  return [texts = std::move(texts)](const multiple_errors& e) { return texts_of(e) == texts; };
}

}  // namespace

COROUTINE_TEST_CASE(the_first_error_cancels_the_others_and_is_thrown) {
  const int before = instance_counter::alive;
  BOOST_CHECK_EXCEPTION(co_await with_nursery([](nursery& n) -> task<> {
                          n.start(wait_for_ever);
                          n.start(fail_after_yields, 2, text("second"));
                          n.start(wait_for_ever);
                          co_await forever();
                        }),
                        std::runtime_error, [](const std::runtime_error& e) {
                          return e.what() == std::string("second");
                        });
  BOOST_TEST(instance_counter::alive == before);
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
  const int before = instance_counter::alive;
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
  BOOST_TEST(instance_counter::alive == before);
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
