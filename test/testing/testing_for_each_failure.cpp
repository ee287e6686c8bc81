// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/for_each_failure.hpp>

#define BOOST_TEST_MODULE testing_for_each_failure
#include "support.hpp"

#include <cosock/channel.hpp>
#include <cosock/reader.hpp>
#include <cosock/sync.hpp>
#include <cosock/testing/allocation_failures.hpp>
#include <cosock/testing/faulty.hpp>
#include <cosock/testing/memory_stream.hpp>
#include <cosock/when.hpp>

#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>

namespace {

using boost::system::system_error;
using cosock::byte_stream;
using cosock::task;
using cosock::testing::failure_counts;
using cosock::testing::failure_found;
using cosock::testing::failure_kind;
using cosock::testing::fault_points;
using cosock::testing::for_each_failure;
using cosock::testing::memory_pair;
using namespace std::chrono_literals;

/// A server of one question.
task<> answer(byte_stream& client) {
  cosock::buffered_reader lines(client);
  const auto question = co_await lines.read_line();
  if (!question) co_return;
  const std::string text = "to " + std::string(*question) + ": 42\n";
  co_await client.send(text);
  client.shutdown_send();
}

task<std::string> ask(byte_stream& server) {
  co_await server.send("what?\n");
  cosock::buffered_reader lines(server);
  const auto reply = co_await lines.read_line();
  co_return std::string(reply.value_or("nothing"));
}

/// Both, over streams that may fail at either end.
task<> converse(fault_points& points) {
  auto [a, b] = memory_pair();
  auto server = points.wrap(std::move(a));
  auto client = points.wrap(std::move(b));
  const auto serve = [](byte_stream& client) -> task<> {
    co_await answer(client);
    client.close();
  };
  // As a connection does, each ends the other's wait.
  const auto question = [](byte_stream& server) -> task<> {
    const std::string reply = co_await ask(server);
    if (reply != "to what?: 42" && reply != "nothing") throw std::logic_error(reply);
    server.close();
  };
  co_await cosock::when_all(serve(server), question(client));
}

auto found(failure_kind kind, std::string part) {
  return [=](const failure_found& e) {
    if (!test::contains(e.what(), part)) BOOST_TEST_MESSAGE(e.what());
    return e.kind() == kind && test::contains(e.what(), part);
  };
}

struct step_variable {
  explicit step_variable(const char* text) { ::setenv("COSOCK_STEP", text, 1); }
  ~step_variable() { ::unsetenv("COSOCK_STEP"); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(each_operation_fails_once_in_each_way) {
  const test::alarm_clock guard;
  const failure_counts runs = for_each_failure(converse);
  BOOST_TEST(runs.operations == 4u);
  BOOST_TEST(runs.errors == runs.operations);
  BOOST_TEST(runs.ends == runs.operations);
  BOOST_TEST(runs.cancellations >= 3u);
  BOOST_TEST(runs.allocations >= 5u);
}

/// An operation that may fail becomes ready during its first attempt, which the stream above must not miss.
BOOST_AUTO_TEST_CASE(operations_fail_below_a_faulty_stream_too) {
  const test::alarm_clock guard;
  const failure_counts runs = for_each_failure([](fault_points& points) -> task<> {
    auto [a, b] = memory_pair();
    cosock::testing::faulty server(points.wrap(std::move(a)), {.send = {.piece = 3}});
    co_await b.send("what?\n");
    co_await answer(server);
  });
  BOOST_TEST(runs.operations > 2u);
  BOOST_TEST(runs.errors == runs.operations);
}

BOOST_AUTO_TEST_CASE(a_fault_is_reported_with_its_step_and_how_to_repeat_it) {
  const test::alarm_clock guard;
  int runs = 0;
  // Takes the end of the stream for an answer.
  const auto careless = [&](fault_points& points) -> task<> {
    ++runs;
    auto [a, b] = memory_pair();
    auto stream = points.wrap(std::move(a));
    co_await b.send("ok");
    char into[2];
    for (std::size_t got = 0; got != 2;) {
      const std::size_t n = co_await stream.receive(into);
      if (n == 0) throw std::logic_error("no answer");
      got += n;
    }
  };
  BOOST_CHECK_EXCEPTION(
      for_each_failure(careless), failure_found,
      found(failure_kind::end, "the run end:1: no answer; to repeat it: COSOCK_STEP=end:1"));
  const step_variable repeat("end:1");
  runs = 0;
  BOOST_CHECK_EXCEPTION(for_each_failure(careless), failure_found,
                        found(failure_kind::end, "no answer"));
  BOOST_TEST(runs == 1);
}

BOOST_AUTO_TEST_CASE(a_run_that_does_not_end_is_a_fault) {
  const test::alarm_clock guard;
  // After an error of the stream nobody sets the event.
  const auto stuck = [](fault_points& points) -> task<> {
    auto [a, b] = memory_pair();
    auto stream = points.wrap(std::move(a));
    cosock::event sent;
    const auto send = [&]() -> task<> {
      try {
        co_await stream.send("x");
      } catch (const system_error&) {
        co_return;
      }
      sent.set();
    };
    const auto wait = [&]() -> task<> { co_await sent.wait(); };
    co_await cosock::when_all(send(), wait());
  };
  BOOST_CHECK_EXCEPTION(for_each_failure(stuck), failure_found,
                        found(failure_kind::error, "the run error:1: it does not end: "));
}

BOOST_AUTO_TEST_CASE(a_cancellation_that_breaks_a_promise_is_found) {
  const test::alarm_clock guard;
  const auto leaks = [](fault_points&) -> task<> {
    bool cleaned_up = false;
    try {
      co_await cosock::yield();
      co_await cosock::yield();
      cleaned_up = true;
    } catch (const system_error&) {
    }
    if (!cleaned_up) throw std::logic_error("left behind");
  };
  BOOST_CHECK_EXCEPTION(for_each_failure(leaks), failure_found,
                        found(failure_kind::cancellation, "left behind"));
}

/// The task that cancels the body yields, and no time passes meanwhile.
BOOST_AUTO_TEST_CASE(time_passes_in_the_runs_that_are_cancelled) {
  const test::alarm_clock guard;
  int ends = 0;
  const auto sleeps = [&](fault_points&) -> task<> {
    for (int i = 0; i != 3; ++i) co_await cosock::sleep_for(10min);
    ++ends;
  };
  BOOST_TEST(for_each_failure(sleeps).cancellations >= 3u);
  BOOST_TEST(ends >= 1);
}

BOOST_AUTO_TEST_CASE(an_allocation_that_fails_is_found) {
  const test::alarm_clock guard;
  const auto surprised = [](fault_points&) -> task<> {
    try {
      const std::string text(100, 'x');
    } catch (const std::bad_alloc&) {
      throw std::logic_error("no memory");
    }
    co_return;
  };
  BOOST_CHECK_EXCEPTION(for_each_failure(surprised), failure_found,
                        found(failure_kind::allocation, "no memory"));
}

BOOST_AUTO_TEST_CASE(points_of_the_test_fail_too_with_the_error_of_the_options) {
  const test::alarm_clock guard;
  std::multiset<int> codes;
  const auto connect = [&](fault_points& points) -> task<> {
    try {
      points.point();
    } catch (const system_error& e) {
      codes.insert(e.code().value());
    }
    co_return;
  };
  const failure_counts runs =
      for_each_failure(connect, {.error = {ETIMEDOUT, boost::system::system_category()}});
  BOOST_TEST(runs.operations == 1u);
  BOOST_TEST(codes.count(ETIMEDOUT) == 2u);  // as an error, and as an end
}

BOOST_AUTO_TEST_CASE(a_first_run_that_fails_is_a_fault_of_the_test) {
  const auto broken = [](fault_points&) -> task<> {
    throw std::runtime_error("broken");
    co_return;
  };
  BOOST_CHECK_EXCEPTION(for_each_failure(broken), failure_found,
                        found(failure_kind::none, "the run without a failure: broken"));
}

BOOST_AUTO_TEST_CASE(the_options_say_what_a_run_may_end_with) {
  const auto translated = [](fault_points& points) -> task<> {
    try {
      points.point();
    } catch (const system_error&) {
      throw std::range_error("translated");
    }
    co_return;
  };
  BOOST_CHECK_THROW(for_each_failure(translated), failure_found);
  const auto permits = [](const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::range_error&) {
      return true;
    } catch (const std::bad_alloc&) {
      return true;
    } catch (...) {
      return false;
    }
  };
  BOOST_TEST(for_each_failure(translated, {.permits = permits}).errors == 1u);
}

BOOST_AUTO_TEST_CASE(a_step_that_is_none_is_refused_with_what_is_accepted) {
  for (const char* text : {"error", "error:", "error:0", "error:x", "none:1", "7", "end:1 "}) {
    const step_variable step(text);
    try {
      for_each_failure(converse);
      BOOST_ERROR(std::string("accepted: ") + text);
    } catch (const std::invalid_argument& e) {
      BOOST_TEST(e.what() ==
                 std::string("COSOCK_STEP is \"") + text +
                     "\", not error:N, end:N, loss:N, cancellation:N or allocation:N with "
                     "an N from 1");
    }
  }
}
