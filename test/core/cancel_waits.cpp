// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// How a yield and a sleep end when they are cancelled or destroyed: endings_tasks.cpp has the rest.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE cancel_waits
#include "core_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <memory>
#include <stdexcept>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::clock;
using cosock::error;
using cosock::task;
using test::instance_counter;
using test::is;
using test::run_until_idle;
using test::virtual_loop;

}  // namespace

namespace {

task<> yield_once(bool& passed) {
  const instance_counter local;
  co_await cosock::yield();
  passed = true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_before_it_starts) {
  bool passed = false;
  cosock::loop loop;
  auto root = loop.start(yield_once(passed));
  root.cancel();
  run_until_idle(loop);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_while_it_waits) {
  bool passed = false;
  cosock::loop loop;
  auto root = loop.start(yield_once(passed));
  loop.run_some();
  BOOST_TEST(!root.done());
  root.cancel();
  run_until_idle(loop);
  BOOST_CHECK_EXCEPTION(root.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_cancelled_in_the_turn_in_which_it_would_go_on) {
  bool passed = false;
  cosock::loop loop;
  cosock::task_handle<void>* second = nullptr;
  const auto canceller = [&]() -> task<> {
    co_await cosock::yield();
    second->cancel();
  };
  auto first = loop.start(canceller());
  auto yields = loop.start(yield_once(passed));
  second = &yields;
  run_until_idle(loop);
  BOOST_TEST(first.done());
  BOOST_CHECK_EXCEPTION(yields.result(), system_error, is(error::cancelled));
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_yield_is_destroyed_with_its_task_and_with_its_loop) {
  const int before = instance_counter::alive;
  bool passed = false;
  auto loop = std::make_unique<cosock::loop>();
  {
    auto root = loop->start(yield_once(passed));
    loop->run_some();
    BOOST_TEST(instance_counter::alive == before + 1);
  }
  BOOST_TEST(instance_counter::alive == before);
  run_until_idle(*loop);
  auto root = loop->start(yield_once(passed));
  loop->run_some();
  loop.reset();
  BOOST_TEST(instance_counter::alive == before);
  BOOST_TEST(!passed);
}

BOOST_AUTO_TEST_CASE(a_sleep_is_cancelled_in_the_turn_in_which_it_expires) {
  virtual_loop loop;
  const auto at = loop.now() + 1h;
  cosock::task_handle<void>* sleeping = nullptr;
  const auto canceller = [&]() -> task<> {
    co_await cosock::sleep_until(at);
    sleeping->cancel();
  };
  const auto sleeper = [&]() -> task<> { co_await cosock::sleep_until(at); };
  auto first = loop.start(canceller());
  auto second = loop.start(sleeper());
  sleeping = &second;
  test::finish(loop, second);
  BOOST_CHECK_EXCEPTION(second.result(), system_error, is(error::cancelled));
}
