// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The text of an error says which limit has passed, with and without as_result.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE limit_texts
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/error.hpp>
#include <cosock/time.hpp>

#include <cstdint>
#include <string>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::clock;
using cosock::error;
using cosock::shielded;
using cosock::task;
using cosock::with_deadline;
using cosock::with_timeout;
using test::forever;

const std::string of_limit = "the time limit of 2 ms has passed";

/// A deadline is a number of milliseconds that is not exact.
bool is_deadline(const std::string& text) {
  return text.starts_with("the deadline, ") && text.ends_with(" ms after it was set, has passed");
}

/// Awaits what `make` returns: its error as an exception, as a result, and out of that.
template <class Make>
task<std::string> text_of(Make make) {
  std::string thrown;
  try {
    co_await make();
  } catch (const system_error& e) {
    thrown = e.what();
    BOOST_TEST((e.code() == error::timed_out));
  }
  const auto result = co_await as_result(make());
  BOOST_TEST((result.error() == error::timed_out));
  const std::string text = error_message(result.error());
  BOOST_TEST((text == thrown || (is_deadline(text) && is_deadline(thrown))));
  BOOST_CHECK_EXCEPTION(result.value(), system_error, [&](const system_error& e) {
    return e.code() == error::timed_out && e.what() == text;
  });
  const auto copy = result;
  BOOST_TEST(error_message(copy.error()) == text);
  co_return thrown;
}

std::string shown(cosock::detail::passed_limit limit) {
  return error_message(cosock::detail::limited_error(error::timed_out, nullptr, limit));
}
std::string shown(std::int64_t ns) { return shown(cosock::detail::passed_limit::of_duration(ns)); }

class counted_error : public cosock::detailed_error {
 public:
  counted_error(const boost::system::error_code& code, int rows)
      : detailed_error(code, "row " + std::to_string(rows)), rows(rows) {}
  std::exception_ptr with_code(const boost::system::error_code& code) const override {
    return std::make_exception_ptr(counted_error(code, rows));
  }
  int rows;
};

task<> counts() {
  try {
    co_await forever();
  } catch (const system_error& e) {
    throw counted_error(e.code(), 7);
  }
}

task<> partial() {
  try {
    co_await forever();
  } catch (const system_error& e) {
    throw cosock::transfer_error(e.code(), 17);
  }
}

}  // namespace

COROUTINE_TEST_CASE(a_limit_around_an_operation) {
  BOOST_TEST(co_await text_of([] { return with_timeout(2ms, cosock::sleep_for(1h)); }) == of_limit);
}

COROUTINE_TEST_CASE(a_limit_around_a_task) {
  BOOST_TEST(co_await text_of([] { return with_timeout(2ms, forever()); }) == of_limit);
}

COROUTINE_TEST_CASE(the_limit_that_passed_first_of_two) {
  BOOST_TEST(co_await text_of([] {
               return with_timeout(1h, with_timeout(2ms, cosock::sleep_for(1h)));
             }) == of_limit);
  BOOST_TEST(co_await text_of([] {
               return with_timeout(2ms, with_timeout(1h, cosock::sleep_for(1h)));
             }) == of_limit);
  BOOST_TEST(co_await text_of([]() -> task<> {
               co_await with_timeout(1h, with_timeout(2ms, forever()));
             }) == of_limit);
}

COROUTINE_TEST_CASE(a_limit_inside_a_shield) {
  BOOST_TEST(co_await text_of([] { return shielded(with_timeout(2ms, cosock::sleep_for(1h))); }) ==
             of_limit);
}

COROUTINE_TEST_CASE(a_limit_that_has_passed_already) {
  const std::string zero = "the time limit of 0 s has passed";
  for (const auto limit : {0ns, -5ns, std::chrono::nanoseconds::min()})
    BOOST_TEST(co_await text_of([=] { return with_timeout(limit, cosock::sleep_for(1h)); }) ==
               zero);
}

COROUTINE_TEST_CASE(a_deadline) {
  BOOST_TEST(is_deadline(
      co_await text_of([] { return with_deadline(clock::now() + 20ms, cosock::sleep_for(1h)); })));
  BOOST_TEST(
      is_deadline(co_await text_of([] { return with_deadline(clock::now() + 20ms, forever()); })));
  const std::string passed = "the deadline had passed when it was set";
  for (const auto at : {clock::now(), clock::time_point(), clock::time_point::min()})
    BOOST_TEST(co_await text_of([=] { return with_deadline(at, cosock::sleep_for(1h)); }) ==
               passed);
}

COROUTINE_TEST_CASE(a_deadline_of_a_scope) {
  for (const bool later : {false, true}) {
    const auto run = [later]() -> task<> {
      cancel_scope scope;
      const auto set = [&] { scope.set_deadline(clock::now() + 20ms); };
      if (!later) set();
      const auto body = [&]() -> task<> {
        if (later) set();
        co_await forever();
      };
      co_await scope.run(body());
    };
    BOOST_TEST(is_deadline(co_await text_of(run)));
  }
  const auto direct = []() -> task<> {
    cancel_scope scope;
    scope.set_deadline(clock::now() + 20ms);
    const auto result = co_await as_result(scope.run(cosock::sleep_for(1h)));
    BOOST_TEST(is_deadline(error_message(result.error())));
  };
  co_await direct();
  const auto passed = []() -> task<> {
    cancel_scope scope;
    scope.set_deadline(clock::now() - 1s);
    co_await scope.run(forever());
  };
  BOOST_TEST(co_await text_of(passed) == "the deadline had passed when it was set");
}

COROUTINE_TEST_CASE(errors_with_details_keep_them_and_name_the_limit) {
  BOOST_TEST(co_await text_of([] { return with_timeout(2ms, partial()); }) ==
             "after 17 bytes: " + of_limit);
  BOOST_TEST(co_await text_of([] { return with_timeout(2ms, counts()); }) == "row 7: " + of_limit);
  BOOST_CHECK_EXCEPTION(co_await with_timeout(2ms, counts()), counted_error,
                        [](const counted_error& e) { return e.rows == 7; });
}

COROUTINE_TEST_CASE(other_errors_name_no_limit) {
  cancel_scope scope;
  scope.cancel();
  const auto cancelled = co_await as_result(scope.run(with_timeout(0s, cosock::sleep_for(1h))));
  BOOST_TEST(error_message(cancelled.error()) == "the operation was cancelled");
  const auto fails_later = []() -> task<> {
    (void)co_await as_result(forever());
    throw system_error(make_error_code(error::busy));
  };
  const auto busy = co_await as_result(with_timeout(2ms, fails_later()));
  BOOST_TEST((busy.error() == error::busy));
  BOOST_TEST(error_message(busy.error()).find("limit") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(durations_are_readable) {
  const auto text = [](const std::string& of) { return "the time limit of " + of + " has passed"; };
  BOOST_TEST(shown(1) == text("1 ns"));
  BOOST_TEST(shown(999) == text("999 ns"));
  BOOST_TEST(shown(1500) == text("1.5 us"));
  BOOST_TEST(shown(2'345'678) == text("2.346 ms"));
  BOOST_TEST(shown(250'000'000) == text("250 ms"));
  BOOST_TEST(shown(999'999'999) == text("1 s"));
  BOOST_TEST(shown(5'000'000'000) == text("5 s"));
  BOOST_TEST(shown(1'050'000'000) == text("1.05 s"));
  BOOST_TEST(shown(INT64_MAX - 1) == text("9223372036.855 s"));
  // How far ahead a deadline was has been measured.
  const auto deadline = [](std::int64_t ns) {
    return shown(cosock::detail::passed_limit::of_deadline(ns));
  };
  BOOST_TEST(deadline(4'999'987'654) == "the deadline, 5 s after it was set, has passed");
  BOOST_TEST(deadline(123'456'789'012) == "the deadline, 123 s after it was set, has passed");
  BOOST_TEST(deadline(1'234'567) == "the deadline, 1.23 ms after it was set, has passed");
  BOOST_TEST(deadline(12) == "the deadline, 12 ns after it was set, has passed");
  BOOST_TEST(deadline(INT64_MAX - 1) == "the deadline, 9220000000 s after it was set, has passed");
  BOOST_TEST(error_message(cosock::operation_error(make_error_code(error::timed_out))) ==
             "the time limit has passed");
}
