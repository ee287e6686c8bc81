// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_crossings
#include "allocations.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <fstream>
#include <limits>

// From a coroutine of Asio's into a task and back, and the other way round, very often: nothing is left
// behind, neither in memory nor on the stack.

namespace {

namespace asio = boost::asio;
using cosock::task;

constexpr int very_often = COSOCK_TEST_SANITIZED ? 20'000 : 1'000'000;
constexpr int often = very_often / 10;

std::size_t resident_pages() {
  std::size_t all = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident;
}

/// What happens between the warm-up and the end.
class watch {
 public:
  explicit watch(int crossings) : crossings(crossings), warm_up_(crossings / 10) {}
  const int crossings;

  void count(int done) {
    const auto here = reinterpret_cast<std::intptr_t>(__builtin_frame_address(0));
    if (done == 0) top_ = here;
    deepest_ = std::max(deepest_, std::abs(top_ - here));
    if (done == warm_up_) {
      pages_ = resident_pages();
      test::allocations_until_failure = most;
    }
  }
  void check() {
    const long allocations = most - test::allocations_until_failure.exchange(-1);
    const double each = static_cast<double>(allocations) / (crossings - warm_up_);
    BOOST_TEST_MESSAGE(each << " allocations a crossing");
    if (!COSOCK_TEST_SANITIZED) BOOST_TEST(each <= 2.0);  // nothing is recycled there
    BOOST_TEST(deepest_ < 16'384);
    if (!COSOCK_TEST_SANITIZED) BOOST_TEST(resident_pages() < pages_ + 100);
  }

 private:
  static constexpr long most = std::numeric_limits<long>::max();
  const int warm_up_;
  std::size_t pages_ = 0;
  std::intptr_t top_ = 0;
  std::intptr_t deepest_ = 0;
};

asio::awaitable<int> into_tasks(watch& w) {
  int sum = 0;
  const auto on = co_await asio::this_coro::executor;
  for (int i = 0; i != w.crossings; ++i) {
    sum += co_await cosock::spawn(
        on,
        [&w, i]() -> task<int> {
          w.count(i);
          co_return i & 1;
        },
        asio::use_awaitable);
  }
  co_return sum;
}

asio::awaitable<int> one_or_zero(watch& w, int i) {
  w.count(i);
  co_return i & 1;
}
task<int> into_awaitables(watch& w) {
  int sum = 0;
  for (int i = 0; i != w.crossings; ++i) sum += co_await cosock::await(one_or_zero(w, i));
  co_return sum;
}

BOOST_AUTO_TEST_CASE(into_tasks_and_back) {
  const test::alarm_clock guard(280);
  asio::io_context context;
  watch w(very_often);
  auto f = asio::co_spawn(context, into_tasks(w), asio::use_future);
  context.run();
  w.check();
  BOOST_TEST(f.get() == w.crossings / 2);
}

BOOST_AUTO_TEST_CASE(into_tasks_through_a_strand) {
  const test::alarm_clock guard(280);
  asio::io_context context;
  watch w(often);
  auto f = asio::co_spawn(asio::make_strand(context), into_tasks(w), asio::use_future);
  context.run();
  w.check();
  BOOST_TEST(f.get() == w.crossings / 2);
}

BOOST_AUTO_TEST_CASE(into_tasks_on_a_loop_of_this_library) {
  const test::alarm_clock guard(280);
  cosock::loop loop;
  watch w(often);
  const int sum =
      loop.run([](watch& w) -> task<int> { co_return co_await cosock::await(into_tasks(w)); }(w));
  w.check();
  BOOST_TEST(sum == w.crossings / 2);
}

BOOST_AUTO_TEST_CASE(into_awaitables_and_back) {
  const test::alarm_clock guard(280);
  cosock::loop loop;
  watch w(very_often);
  const int sum = loop.run(into_awaitables(w));
  w.check();
  BOOST_TEST(sum == w.crossings / 2);
}

BOOST_AUTO_TEST_CASE(into_awaitables_on_a_context_of_the_program) {
  const test::alarm_clock guard(280);
  asio::io_context context;
  watch w(often);
  auto f = cosock::spawn(context, into_awaitables(w), asio::use_future);
  context.run();
  w.check();
  BOOST_TEST(f.get() == w.crossings / 2);
}

}  // namespace
