// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/duration.hpp>

#define BOOST_TEST_MODULE durations
#include "support.hpp"

#include <cosock/connect.hpp>

#include <limits>
#include <ratio>
#include <stdexcept>

namespace {

using cosock::time_span;
using cosock::detail::to_ns;
using std::chrono::duration;
using std::chrono::nanoseconds;
using monotonic = cosock::clock;
using namespace std::chrono_literals;

template <class D>
constexpr bool saturates() {
  return to_ns(D::max()) == INT64_MAX && (D::min() == D::zero() || to_ns(D::min()) == INT64_MIN);
}
template <class Number>
constexpr Number most = std::numeric_limits<Number>::max();
template <class Number>
constexpr Number least = std::numeric_limits<Number>::min();
template <class Float>
constexpr Float infinity = std::numeric_limits<Float>::infinity();

}  // namespace

// Conversions are constant expressions, so an overflow would not compile.
BOOST_AUTO_TEST_CASE(every_duration_of_integers_converts_at_its_limits) {
  static_assert(to_ns(nanoseconds::max()) == INT64_MAX && to_ns(nanoseconds::min()) == INT64_MIN);
  static_assert(to_ns(nanoseconds::max() - 1ns) == INT64_MAX - 1);
  static_assert(saturates<std::chrono::microseconds>() && saturates<std::chrono::milliseconds>());
  static_assert(saturates<std::chrono::seconds>() && saturates<std::chrono::hours>());
  static_assert(saturates<std::chrono::years>());
  static_assert(saturates<duration<unsigned long, std::nano>>());
  static_assert(saturates<duration<unsigned long>>());
  static_assert(saturates<duration<long, std::exa>>() && saturates<duration<int, std::exa>>());
  static_assert(saturates<duration<long, std::ratio<INT64_MAX>>>());
  static_assert(to_ns(duration<std::int8_t, std::ratio<3600>>(-128)) == -128 * 3600'000'000'000);
  static_assert(to_ns(duration<unsigned>(most<unsigned>)) == 4294967295'000'000'000);
  static_assert(to_ns(duration<unsigned long, std::nano>(1ul << 63)) == INT64_MAX);
  static_assert(to_ns(duration<unsigned long, std::nano>((1ul << 63) - 1)) == INT64_MAX);
  static_assert(to_ns(duration<cosock::detail::wide_integer, std::atto>(1)) == 1);
  static_assert(to_ns(duration<cosock::detail::wide_integer, std::atto>(
                    cosock::detail::wide_integer{INT64_MAX} * 1000)) == 9'223'372'036'855);
}

BOOST_AUTO_TEST_CASE(a_part_of_a_nanosecond_counts_as_a_whole_one) {
  static_assert(to_ns(duration<long, std::pico>(1)) == 1);
  static_assert(to_ns(duration<long, std::pico>(1000)) == 1);
  static_assert(to_ns(duration<long, std::pico>(1001)) == 2);
  static_assert(to_ns(duration<long, std::pico>(-1999)) == -1);
  static_assert(to_ns(duration<long, std::atto>(most<long>)) == 9'223'372'037);
  // The product of number and numerator does not fit 64 bits; the result does.
  using thirds = duration<long, std::ratio<1, 3>>;
  static_assert(to_ns(thirds(27'000'000'001)) == 9'000'000'000'333'333'334);
  static_assert(to_ns(duration<long, std::ratio<7, INT64_MAX>>(most<long>)) == 7'000'000'000);
  static_assert(to_ns(duration<double, std::nano>(1.5)) == 2);
  static_assert(to_ns(duration<double, std::nano>(-1.5)) == -1);
  static_assert(to_ns(duration<float>(0.5f)) == 500'000'000);
}

BOOST_AUTO_TEST_CASE(infinity_and_what_is_longer_than_292_years_is_no_limit) {
  static_assert(to_ns(duration<float>(infinity<float>)) == INT64_MAX);
  static_assert(to_ns(duration<double>(-infinity<double>)) == INT64_MIN);
  static_assert(to_ns(duration<long double, std::exa>(infinity<long double>)) == INT64_MAX);
  static_assert(saturates<duration<double>>() && saturates<duration<long double>>());
  static_assert(saturates<duration<float, std::ratio<86400>>>());
  static_assert(to_ns(duration<double, std::nano>(0x1p63)) == INT64_MAX);
  static_assert(to_ns(duration<double, std::nano>(0x1p62)) == std::int64_t{1} << 62);
  static_assert(to_ns(duration<double, std::nano>(-0x1p63)) == INT64_MIN);
  static_assert(to_ns(duration<long double, std::nano>(0x1p63L - 0.5L)) == INT64_MAX);
  static_assert(to_ns(duration<double>(9223372036.8547764)) == INT64_MAX);
  static_assert(to_ns(duration<double>(least<double>)) == 1);
  static_assert(time_span(std::chrono::seconds::max()).is_unlimited());
  static_assert(time_span(duration<double>(infinity<double>)).is_unlimited());
  static_assert(!time_span(std::chrono::hours(24 * 365 * 292)).is_unlimited());
  static_assert(time_span() == 0ns && time_span(std::chrono::hours::min()) == nanoseconds::min());
}

BOOST_AUTO_TEST_CASE(what_is_not_a_number_is_refused_before_anything_waits) {
  const duration<float> f(std::numeric_limits<float>::quiet_NaN());
  const duration<double, std::milli> d(std::numeric_limits<double>::quiet_NaN());
  const duration<long double> l(std::numeric_limits<long double>::quiet_NaN());
  BOOST_CHECK_THROW(static_cast<void>(cosock::sleep_for(f)), std::invalid_argument);
  BOOST_CHECK_THROW(static_cast<void>(cosock::sleep_for(d)), std::invalid_argument);
  BOOST_CHECK_THROW(static_cast<void>(cosock::sleep_for(l)), std::invalid_argument);
  BOOST_CHECK_THROW(static_cast<void>(cosock::with_timeout(d, cosock::yield())),
                    std::invalid_argument);
  BOOST_CHECK_THROW(static_cast<void>(cosock::with_grace(d, cosock::yield())),
                    std::invalid_argument);
  using fractional = std::chrono::time_point<monotonic, duration<double>>;
  const fractional t{duration<double>(std::numeric_limits<double>::quiet_NaN())};
  BOOST_CHECK_THROW(static_cast<void>(cosock::sleep_until(t)), std::invalid_argument);
  BOOST_CHECK_THROW(static_cast<void>(cosock::with_deadline(t, cosock::yield())),
                    std::invalid_argument);
  cosock::cancel_scope scope;
  BOOST_CHECK_THROW(scope.set_deadline(t), std::invalid_argument);
  BOOST_CHECK_THROW(static_cast<void>(cosock::connect_options{.timeout = f}),
                    std::invalid_argument);
  BOOST_CHECK_EXCEPTION(static_cast<void>(time_span(d)), std::invalid_argument,
                        [](const std::exception& e) {
                          return std::string(e.what()).ends_with("is not a number (NaN)");
                        });
}

COROUTINE_TEST_CASE(times_in_other_units_are_compared_without_overflow) {
  using seconds = std::chrono::time_point<monotonic, std::chrono::seconds>;
  using hours = std::chrono::time_point<monotonic, std::chrono::hours>;
  co_await cosock::sleep_until(seconds::min());
  co_await cosock::with_deadline(seconds::max(), cosock::yield());
  co_await cosock::with_deadline(monotonic::time_point::max() - 1ns, cosock::yield());
  BOOST_CHECK_EXCEPTION(co_await cosock::with_deadline(hours::min(), cosock::yield()),
                        boost::system::system_error, test::is(cosock::error::timed_out));
  cosock::cancel_scope scope;
  scope.set_deadline(hours::max());
  co_await scope.run(cosock::yield());
  scope.set_deadline(hours::min());
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::yield()), boost::system::system_error,
                        test::is(cosock::error::timed_out));
}

COROUTINE_TEST_CASE(a_limit_near_the_largest_never_passes) {
  const nanoseconds left = nanoseconds::max() - monotonic::now().time_since_epoch();
  for (const nanoseconds limit : {nanoseconds::max(), nanoseconds::max() - 1ns, left, left + 1ns}) {
    co_await cosock::with_timeout(limit, cosock::sleep_for(1ns));
    co_await cosock::with_grace(limit, cosock::sleep_for(1ns));
    cosock::cancel_scope scope;
    scope.set_deadline(monotonic::time_point(limit));
    co_await scope.run(cosock::sleep_for(1ns));
    BOOST_TEST(!scope.timed_out());
    bool ended = false;
    co_await cosock::with_nursery([&](cosock::nursery& n) -> cosock::task<> {
      n.start([&]() -> cosock::task<> {
        co_await cosock::sleep_for(limit);
        ended = true;
      });
      co_await cosock::sleep_for(100us);
      n.cancel();
    });
    BOOST_TEST(!ended);
  }
}

COROUTINE_TEST_CASE(a_limit_that_is_negative_has_passed) {
  for (const nanoseconds limit : {nanoseconds::min(), nanoseconds::min() + 1ns, -1ns, 0ns}) {
    BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(limit, cosock::sleep_for(1h)),
                          boost::system::system_error, test::is(cosock::error::timed_out));
    co_await cosock::sleep_for(limit);
  }
}
