// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The results and the exceptions of tasks.

#include <cosock/task.hpp>

#include <cosock/awaitable.hpp>
#include <cosock/channel.hpp>
#include <cosock/stream.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#define BOOST_TEST_MODULE task_results
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "task_fixture.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>

namespace {

using boost::system::system_error;
using cosock::task;
using test::fail_at_once;
using test::give;
using test::instance_counter;
using test::is;
using test::nothing_to_do;

// The concept, for tasks, operations and combinations.

static_assert(cosock::awaitable_of<task<int>, int>);
static_assert(cosock::awaitable_of<task<>, void>);
static_assert(cosock::awaitable_of<task<int&>, int&>);
static_assert(!cosock::awaitable_of<task<int>, long>);
static_assert(cosock::awaitable_of<decltype(cosock::yield()), void>);
using receive_type =
    decltype(std::declval<cosock::byte_stream&>().receive(cosock::mutable_buffer()));
static_assert(cosock::awaitable_of<receive_type, std::size_t>);
static_assert(cosock::awaitable_of<decltype(std::declval<cosock::channel<int>&>().receive()),
                                   std::optional<int>>);
static_assert(cosock::awaitable_of<decltype(cosock::when_all(std::declval<task<int>>(),
                                                             std::declval<task<char>>())),
                                   std::tuple<int, char>>);
static_assert(!cosock::awaitable<int> && !cosock::awaitable<std::suspend_always>);

/// What a program writes with it.
template <cosock::awaitable_of<int> A>
task<int> twice(A of) {
  co_return 2 * co_await std::move(of);
}

}  // namespace

COROUTINE_TEST_CASE(a_program_takes_any_awaitable_of_a_type) {
  const auto three = []() -> task<int> { co_return 3; };
  BOOST_TEST(co_await twice(three()) == 6);
}

// Results

COROUTINE_TEST_CASE(a_task_gives_its_result) { BOOST_TEST(co_await give(7) == 7); }

COROUTINE_TEST_CASE(a_task_without_a_result_gives_nothing) {
  static_assert(std::is_void_v<decltype(nothing_to_do().operator co_await().await_resume())>);
  co_await nothing_to_do();
}

namespace {

task<std::string&> same(std::string& s) { co_return s; }
task<const std::string&> same_const(const std::string& s) { co_return s; }
task<std::unique_ptr<int>> own(int n) { co_return std::make_unique<int>(n); }
task<std::unique_ptr<int>> own_local(int n) {
  auto p = std::make_unique<int>(n);
  co_return p;
}
task<std::string> converted() { co_return "text"; }

struct without_default {
  explicit without_default(int n) : n(n) {}
  int n;
};
task<without_default> make_without_default(int n) { co_return without_default(n); }

struct counts_copies {
  explicit counts_copies(int& copies) : copies(&copies) {}
  counts_copies(const counts_copies& other) : copies(other.copies) { ++*copies; }
  counts_copies(counts_copies&&) = default;
  int* copies;
};
task<counts_copies> make_counting(int& copies) {
  counts_copies made(copies);
  co_return made;
}

struct throws_when_moved {
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved&&) { throw std::runtime_error("moved"); }
};
task<throws_when_moved> make_throwing() {
  instance_counter local;
  co_return throws_when_moved();
}

}  // namespace

COROUTINE_TEST_CASE(a_task_gives_a_reference) {
  std::string s = "x";
  std::string& again = co_await same(s);
  BOOST_TEST(&again == &s);
  const std::string& constant = co_await same_const(s);
  BOOST_TEST(&constant == &s);
}

COROUTINE_TEST_CASE(a_task_gives_a_value_that_can_only_be_moved) {
  BOOST_TEST(*co_await own(3) == 3);
  const std::unique_ptr<int> p = co_await own_local(4);
  BOOST_TEST(*p == 4);
}

COROUTINE_TEST_CASE(a_task_converts_its_result) { BOOST_TEST(co_await converted() == "text"); }

COROUTINE_TEST_CASE(a_result_needs_no_default_constructor) {
  BOOST_TEST((co_await make_without_default(5)).n == 5);
}

COROUTINE_TEST_CASE(a_result_is_moved_and_never_copied) {
  int copies = 0;
  const counts_copies made = co_await make_counting(copies);
  BOOST_TEST(made.copies == &copies);
  BOOST_TEST(copies == 0);
}

COROUTINE_TEST_CASE(a_result_that_throws_when_moved_is_an_error_of_the_task) {
  const int before = instance_counter::alive;
  BOOST_CHECK_THROW(co_await make_throwing(), std::runtime_error);
  BOOST_TEST(instance_counter::alive == before);
}

// Exceptions

namespace {

struct own_exception : std::runtime_error {
  own_exception(std::string text, int number) : runtime_error(std::move(text)), number(number) {}
  int number;
};

template <class E>
task<int> fail_later(E e) {
  instance_counter local;
  co_await cosock::yield();
  throw e;
  co_return 0;
}

task<int> pass_on(task<int> inner) {
  instance_counter local;
  co_return co_await std::move(inner) + 1;
}

}  // namespace

COROUTINE_TEST_CASE(an_exception_of_any_type_reaches_the_awaiter) {
  BOOST_CHECK_THROW(co_await fail_at_once(std::runtime_error("x")), std::runtime_error);
  BOOST_CHECK_THROW(co_await fail_later(std::runtime_error("x")), std::runtime_error);
  BOOST_CHECK_THROW(co_await fail_at_once(42), int);
  BOOST_CHECK_THROW(co_await fail_later(42), int);
  const own_exception own("text", 7);
  const auto is_own = [](const own_exception& e) {
    return e.number == 7 && e.what() == std::string("text");
  };
  BOOST_CHECK_EXCEPTION(co_await fail_at_once(own), own_exception, is_own);
  BOOST_CHECK_EXCEPTION(co_await fail_later(own), own_exception, is_own);
  const system_error busy(cosock::error::busy);
  BOOST_CHECK_EXCEPTION(co_await fail_at_once(busy), system_error, is(cosock::error::busy));
  BOOST_CHECK_EXCEPTION(co_await fail_later(busy), system_error, is(cosock::error::busy));
}

COROUTINE_TEST_CASE(an_exception_passes_through_tasks_and_destroys_their_locals) {
  const int before = instance_counter::alive;
  BOOST_CHECK_THROW(co_await pass_on(pass_on(fail_at_once(1))), int);
  BOOST_CHECK_THROW(co_await pass_on(pass_on(fail_later(1))), int);
  BOOST_TEST(instance_counter::alive == before);
  BOOST_TEST(co_await pass_on(pass_on(give(1))) == 3);
}

COROUTINE_TEST_CASE(a_task_can_fail_and_be_followed_by_another) {
  for (int i = 0; i != 3; ++i) {
    BOOST_CHECK_THROW(co_await fail_later(i), int);
    BOOST_TEST(co_await give(i) == i);
  }
}
