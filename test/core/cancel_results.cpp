// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Which results and errors pass through a time limit, and around what it goes.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel_results
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/nursery.hpp>
#include <cosock/when.hpp>

#include <memory>
#include <stdexcept>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::clock;
using cosock::error;
using cosock::nursery;
using cosock::shielded;
using cosock::task;
using cosock::with_deadline;
using cosock::with_grace;
using cosock::with_nursery;
using cosock::with_timeout;
using test::fail;
using test::forever;
using test::give;
using test::is;
using test::wait_for_ever;

task<int> give_after_ever() {
  co_await forever();
  co_return 1;
}

}  // namespace

// What passes through

namespace {

task<int> fail_after_cancellation(std::exception_ptr with) {
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  std::rethrow_exception(with);
  co_return 0;
}
task<int> complete_after_cancellation(int value) {
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  co_return value;
}

}  // namespace

COROUTINE_TEST_CASE(a_value_that_comes_all_the_same_is_given) {
  BOOST_TEST(co_await with_timeout(1ms, complete_after_cancellation(3)) == 3);
  BOOST_TEST(co_await with_timeout(0s, complete_after_cancellation(4)) == 4);
  cancel_scope scope;
  scope.cancel();
  BOOST_TEST(co_await scope.run(complete_after_cancellation(5)) == 5);
  cancel_scope late;
  late.set_deadline(clock::now() + 1ms);
  BOOST_TEST(co_await late.run(complete_after_cancellation(6)) == 6);
  BOOST_TEST(late.timed_out());
  BOOST_TEST(*co_await as_result(with_timeout(1ms, complete_after_cancellation(7))) == 7);
}

COROUTINE_TEST_CASE(errors_of_another_kind_pass_unchanged) {
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, fail(system_error(error::busy))), system_error,
                        is(error::busy));
  BOOST_CHECK_THROW(co_await with_timeout(1h, fail(std::runtime_error("x"))), std::runtime_error);
  BOOST_CHECK_THROW(co_await with_timeout(1h, fail(5)), int);
  cancel_scope scope;
  BOOST_CHECK_THROW(co_await scope.run(fail(5)), int);
  BOOST_CHECK_THROW(co_await shielded(fail(5)), int);
  BOOST_CHECK_THROW(co_await with_grace(1s, fail(5)), int);
}

COROUTINE_TEST_CASE(errors_of_another_kind_pass_unchanged_after_the_limit) {
  const auto busy = std::make_exception_ptr(system_error(error::busy));
  const auto text = std::make_exception_ptr(std::runtime_error("x"));
  const auto number = std::make_exception_ptr(5);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, fail_after_cancellation(busy)), system_error,
                        is(error::busy));
  BOOST_CHECK_THROW(co_await with_timeout(1ms, fail_after_cancellation(text)), std::runtime_error);
  BOOST_CHECK_THROW(co_await with_timeout(1ms, fail_after_cancellation(number)), int);
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1ms);
  BOOST_CHECK_THROW(co_await scope.run(fail_after_cancellation(number)), int);
  BOOST_TEST(scope.timed_out());
  const auto r = co_await as_result(with_timeout(1ms, fail_after_cancellation(busy)));
  BOOST_TEST(r.error() == error::busy);
  BOOST_CHECK_THROW(co_await as_result(with_timeout(1ms, fail_after_cancellation(number))), int);
}

COROUTINE_TEST_CASE(cancelled_without_a_cancellation_passes_as_cancelled) {
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1h, fail(system_error(error::cancelled))),
                        system_error, is(error::cancelled));
}

COROUTINE_TEST_CASE(a_transfer_error_keeps_its_count_when_it_becomes_a_time_out) {
  const auto partial = std::make_exception_ptr(cosock::transfer_error(error::cancelled, 17));
  const auto timed_out = [](const cosock::transfer_error& e) {
    return e.code() == error::timed_out && e.bytes_transferred() == 17;
  };
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, fail_after_cancellation(partial)),
                        cosock::transfer_error, timed_out);
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1h, with_timeout(1ms, fail_after_cancellation(partial))),
      cosock::transfer_error, timed_out);
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, with_timeout(1h, fail_after_cancellation(partial))),
      cosock::transfer_error, timed_out);
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1ms);
  BOOST_CHECK_EXCEPTION(co_await scope.run(fail_after_cancellation(partial)),
                        cosock::transfer_error, timed_out);
  const auto r = co_await as_result(with_timeout(1ms, fail_after_cancellation(partial)));
  BOOST_TEST(r.error() == error::timed_out);
}

namespace {

/// An error of a program's own.
class row_error final : public cosock::detailed_error {
 public:
  row_error(const boost::system::error_code& code, int row) : detailed_error(code), row(row) {}
  std::exception_ptr with_code(const boost::system::error_code& code) const override {
    return std::make_exception_ptr(row_error(code, row));
  }
  int row;
};

}  // namespace

COROUTINE_TEST_CASE(the_details_of_an_error_of_the_program_survive_a_time_out) {
  const auto in_row = std::make_exception_ptr(row_error(error::cancelled, 17));
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, fail_after_cancellation(in_row)), row_error,
      [](const row_error& e) { return e.code() == error::timed_out && e.row == 17; });
  const auto other = std::make_exception_ptr(row_error(error::busy, 17));
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, fail_after_cancellation(other)), row_error,
                        [](const row_error& e) { return e.code() == error::busy && e.row == 17; });
}

COROUTINE_TEST_CASE(a_transfer_error_of_a_cancellation_stays_one) {
  const auto partial = std::make_exception_ptr(cosock::transfer_error(error::cancelled, 17));
  cancel_scope scope;
  scope.cancel();
  const auto cancelled = [](const cosock::transfer_error& e) {
    return e.code() == error::cancelled && e.bytes_transferred() == 17;
  };
  BOOST_CHECK_EXCEPTION(co_await scope.run(with_timeout(1h, fail_after_cancellation(partial))),
                        cosock::transfer_error, cancelled);
}

COROUTINE_TEST_CASE(several_errors_are_all_kept_when_the_limit_passes_meanwhile) {
  const auto slow = []() -> task<> {
    co_await shielded(cosock::sleep_for(5ms));
    throw std::runtime_error("slow");
  };
  const auto both = [](const cosock::multiple_errors& e) { return e.errors().size() == 2; };
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, cosock::when_all(fail(system_error(error::cancelled)), slow())),
      cosock::multiple_errors, both);
}

COROUTINE_TEST_CASE(results_of_every_type_pass_through) {
  int target = 1;
  const auto reference = [&]() -> task<int&> { co_return target; };
  const auto owner = []() -> task<std::unique_ptr<int>> {
    co_await cosock::yield();
    co_return std::make_unique<int>(2);
  };
  BOOST_TEST(&co_await with_timeout(1h, reference()) == &target);
  BOOST_TEST(&co_await shielded(reference()) == &target);
  cancel_scope scope;
  BOOST_TEST(&co_await scope.run(reference()) == &target);
  BOOST_TEST(*co_await with_timeout(1h, owner()) == 2);
  BOOST_TEST(*co_await shielded(owner()) == 2);
  BOOST_TEST(*co_await with_deadline(clock::now() + 1h, with_timeout(1h, owner())) == 2);
  static_assert(std::is_same_v<decltype(with_timeout(1h, reference()).result()), int&>);
  static_assert(std::is_void_v<decltype(with_timeout(1h, wait_for_ever()).result())>);
}

// Around everything

COROUTINE_TEST_CASE(a_limit_goes_around_anything) {
  const auto timed_out = is(error::timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, forever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, wait_for_ever()), system_error, timed_out);
  BOOST_CHECK_EXCEPTION(
      co_await with_timeout(1ms, with_nursery([](nursery&) { return wait_for_ever(); })),
      system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, with_nursery([](nursery& n) -> task<> {
                                                n.start(wait_for_ever);
                                                co_return;
                                              })),
                        system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, cosock::when_all(forever(), give(1))),
                        system_error, timed_out);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, cosock::when_any(forever(), wait_for_ever())),
                        system_error, timed_out);
  cancel_scope scope;
  BOOST_CHECK_EXCEPTION(co_await with_timeout(1ms, scope.run(forever())), system_error, timed_out);
  BOOST_TEST(scope.is_cancelled());
  BOOST_TEST(!scope.timed_out());
}

COROUTINE_TEST_CASE(a_limit_inside_as_result_is_a_time_out) {
  const auto of_operation = co_await as_result(with_timeout(1ms, forever()));
  BOOST_TEST(of_operation.error() == error::timed_out);
  const auto of_task = co_await as_result(with_timeout(1ms, give_after_ever()));
  BOOST_TEST(of_task.error() == error::timed_out);
  const auto of_nursery =
      co_await as_result(with_timeout(1ms, with_nursery([](nursery&) { return wait_for_ever(); })));
  BOOST_TEST(of_nursery.error() == error::timed_out);
  const auto of_all = co_await as_result(with_timeout(1ms, cosock::when_all(forever(), give(1))));
  BOOST_TEST(of_all.error() == error::timed_out);
  const auto of_nested = co_await as_result(with_timeout(1h, with_timeout(1ms, forever())));
  BOOST_TEST(of_nested.error() == error::timed_out);
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1ms);
  const auto of_scope = co_await as_result(scope.run(forever()));
  BOOST_TEST(of_scope.error() == error::timed_out);
}

COROUTINE_TEST_CASE(as_result_inside_a_limit_sees_the_cancellation) {
  const auto of_operation = co_await with_timeout(1ms, as_result(forever()));
  BOOST_TEST(of_operation.error() == error::cancelled);
  const auto of_task = co_await with_timeout(1ms, as_result(give_after_ever()));
  BOOST_TEST(of_task.error() == error::cancelled);
}
