// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/clock.hpp>

#define BOOST_TEST_MODULE clock
#include "support.hpp"

#include <cosock/time.hpp>

#include <type_traits>

namespace {

using namespace std::chrono_literals;

/// Whether the time is between two of the system's monotonic clock.
template <class F>
void check_real_time(F now) {
  const auto before = std::chrono::steady_clock::now().time_since_epoch();
  const auto time = now().time_since_epoch();
  const auto after = std::chrono::steady_clock::now().time_since_epoch();
  BOOST_TEST((before <= time && time <= after));
}

}  // namespace

BOOST_AUTO_TEST_CASE(meets_the_requirements_of_a_clock) {
  static_assert(std::is_same_v<cosock::clock::time_point::clock, cosock::clock>);
  static_assert(std::is_same_v<cosock::clock::duration, std::chrono::nanoseconds>);
  static_assert(std::is_same_v<cosock::clock::rep, cosock::clock::duration::rep>);
  static_assert(std::is_same_v<cosock::clock::period, cosock::clock::duration::period>);
  static_assert(cosock::clock::is_steady);
  static_assert(std::is_same_v<decltype(cosock::now()), cosock::clock::time_point>);
  static_assert(
      !std::is_convertible_v<std::chrono::steady_clock::time_point, cosock::clock::time_point>);
}

BOOST_AUTO_TEST_CASE(is_the_monotonic_clock_where_no_loop_runs) {
  check_real_time(&cosock::now);
  check_real_time(&cosock::clock::now);
}

COROUTINE_TEST_CASE(is_the_monotonic_clock_in_a_task_of_a_loop) {
  check_real_time(&cosock::now);
  const auto begun = cosock::now();
  co_await cosock::sleep_for(1ms);
  BOOST_TEST((cosock::now() - begun >= 1ms));
}
