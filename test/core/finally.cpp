// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/finally.hpp>

#define BOOST_TEST_MODULE finally
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/sync.hpp>

#include <memory>
#include <stdexcept>
#include <string>

namespace {

using boost::system::system_error;
using cosock::as_result;
using cosock::error;
using cosock::finally;
using cosock::task;
using test::is;
using namespace std::chrono_literals;

task<int> answer() { co_return 42; }
task<std::unique_ptr<int>> owned() { co_return std::make_unique<int>(7); }
task<int&> reference(int& to) { co_return to; }
task<> fails(const char* why) {
  co_await cosock::yield();
  throw std::runtime_error(why);
}
task<> fails_with(error e) {
  co_await cosock::yield();
  throw system_error(make_error_code(e));
}

/// Counts the cleanups that have ended; each waits in between.
struct counter {
  int begun = 0;
  int ended = 0;
  task<> run() {
    ++begun;
    co_await cosock::sleep_for(1ms);
    ++ended;
  }
};

COROUTINE_TEST_CASE(a_result_of_any_type_comes_after_the_cleanup) {
  counter all;
  const auto cleanup = [&] { return all.run(); };
  BOOST_TEST(co_await finally(answer(), cleanup) == 42);
  const auto kept = co_await finally(owned(), cleanup);
  BOOST_TEST(*kept == 7);
  int target = 0;
  BOOST_TEST(&co_await finally(reference(target), cleanup) == &target);
  co_await finally(cosock::yield(), cleanup);
  BOOST_TEST(all.ended == 4);
}

COROUTINE_TEST_CASE(an_error_of_any_type_leaves_after_the_cleanup) {
  counter all;
  const auto cleanup = [&] { return all.run(); };
  BOOST_CHECK_EXCEPTION(co_await finally(fails("disk"), cleanup), std::runtime_error,
                        [](const auto& e) { return std::string(e.what()) == "disk"; });
  BOOST_CHECK_EXCEPTION(co_await finally(fails_with(error::busy), cleanup), system_error,
                        is(error::busy));
  BOOST_TEST(all.ended == 2);
}

COROUTINE_TEST_CASE(a_cancellation_and_a_limit_let_the_cleanup_wait) {
  counter all;
  const auto cleanup = [&] { return all.run(); };
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, finally(cosock::sleep_for(1h), cleanup)),
                        system_error, is(error::timed_out));
  BOOST_TEST(all.ended == 1);
  cosock::cancel_scope scope;
  scope.cancel();
  BOOST_CHECK_EXCEPTION(co_await scope.run(finally(cosock::sleep_for(1h), cleanup)), system_error,
                        is(error::cancelled));
  BOOST_TEST(all.ended == 2);
  // A result that is there is delivered.
  BOOST_TEST((co_await as_result(scope.run(finally(answer(), cleanup)))).value() == 42);
  BOOST_TEST(all.ended == 3);
}

COROUTINE_TEST_CASE(errors_of_the_cleanup_are_not_lost) {
  const auto cleanup = [] { return fails("cleanup"); };
  const auto from_cleanup = [](const auto& e) { return std::string(e.what()) == "cleanup"; };
  BOOST_CHECK_EXCEPTION(co_await finally(answer(), cleanup), std::runtime_error, from_cleanup);
  BOOST_CHECK_EXCEPTION(co_await finally(fails_with(error::cancelled), cleanup), std::runtime_error,
                        from_cleanup);
  try {
    co_await finally(fails("operation"), cleanup);
    BOOST_ERROR("both failed");
  } catch (const cosock::multiple_errors& e) {
    BOOST_TEST(cosock::error_message(e.errors().at(0)) == "operation");
    BOOST_TEST(cosock::error_message(e.errors().at(1)) == "cleanup");
  }
}

COROUTINE_TEST_CASE(a_cleanup_that_cannot_be_called_is_an_error_too) {
  const auto cleanup = []() -> task<> { throw std::runtime_error("not made"); };
  BOOST_CHECK_THROW(co_await finally(answer(), cleanup), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_runs_no_cleanup) {
  counter all;
  auto token = std::make_shared<int>();
  const std::weak_ptr<int> alive = token;
  auto wait = [](std::shared_ptr<int>) -> task<> { co_await cosock::sleep_for(1h); };
  {
    cosock::loop loop;
    auto cleanup = [&] { return all.run(); };
    auto root = loop.start(finally(wait(std::move(token)), cleanup));
    loop.poll();
    BOOST_TEST(!alive.expired());
  }
  BOOST_TEST(alive.expired());
  BOOST_TEST(all.begun == 0);
}

}  // namespace
