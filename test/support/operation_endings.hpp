// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What every operation that waits promises, whatever it waits for: to be tried on each of them.

#include "manual_event.hpp"
#include "support.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>

namespace test {

/// One object, and something to wait for in it: wait() makes a task that waits until provide().
struct waitable {
  std::function<cosock::task<>()> wait;
  std::function<void()> provide;
  std::function<void()> destroy;  // the object itself; null if that is not allowed while it waits
  bool at_once = true;            // what is provided reaches the task before the loop runs
};
using make_waitable = std::function<waitable()>;

inline bool ended_with(cosock::task_handle<void>& task, cosock::error e) {
  if (!task.done()) return false;
  try {
    task.result();
    return false;
  } catch (const boost::system::system_error& thrown) {
    return thrown.code() == e;
  }
}

/// Waits, gets it, is cancelled at each point, is destroyed at each point.
inline void check_waits(const make_waitable& make) {
  using cosock::error;
  const auto in_scope = [](cosock::cancel_scope& scope, const waitable& on) -> cosock::task<> {
    co_await scope.run(on.wait());
  };
  BOOST_TEST_CONTEXT("success") {
    cosock::loop loop;
    waitable on = make();
    auto task = loop.start(on.wait());
    settle(loop);
    BOOST_TEST(!task.done());
    on.provide();
    BOOST_TEST(!task.done());
    settle(loop);
    BOOST_REQUIRE(task.done());
    task.result();
  }
  BOOST_TEST_CONTEXT("cancelled before it starts, where it would have to wait") {
    cosock::loop loop;
    waitable on = make();
    cosock::cancel_scope scope;
    scope.cancel();
    auto task = loop.start(in_scope(scope, on));
    settle(loop);
    BOOST_TEST(ended_with(task, error::cancelled));
  }
  BOOST_TEST_CONTEXT("cancelled before it starts, where it would not have to wait") {
    cosock::loop loop;
    waitable on = make();
    on.provide();
    cosock::cancel_scope scope;
    scope.cancel();
    auto task = loop.start(in_scope(scope, on));
    settle(loop);
    BOOST_TEST(ended_with(task, error::cancelled));
    auto after = loop.start(on.wait());
    settle(loop);
    BOOST_REQUIRE(after.done());
    after.result();
  }
  BOOST_TEST_CONTEXT("cancelled while it waits") {
    cosock::loop loop;
    waitable on = make();
    auto task = loop.start(on.wait());
    settle(loop);
    task.cancel();
    BOOST_TEST(!task.done());
    settle(loop);
    BOOST_TEST(ended_with(task, error::cancelled));
    on.provide();
    auto after = loop.start(on.wait());
    settle(loop);
    BOOST_REQUIRE(after.done());
    after.result();
  }
  BOOST_TEST_CONTEXT("cancelled in the turn in which it completes: the result counts") {
    cosock::loop loop;
    waitable on = make();
    auto task = loop.start(on.wait());
    settle(loop);
    on.provide();
    task.cancel();
    settle(loop);
    BOOST_REQUIRE(task.done());
    if (on.at_once) {
      task.result();
    } else {
      BOOST_TEST(ended_with(task, error::cancelled));
      auto after = loop.start(on.wait());
      settle(loop);
      BOOST_REQUIRE(after.done());
      after.result();
    }
  }
  BOOST_TEST_CONTEXT("completed in the turn in which it is cancelled: nothing was taken") {
    cosock::loop loop;
    waitable on = make();
    auto task = loop.start(on.wait());
    settle(loop);
    task.cancel();
    on.provide();
    settle(loop);
    BOOST_TEST(ended_with(task, error::cancelled));
    auto after = loop.start(on.wait());
    settle(loop);
    BOOST_REQUIRE(after.done());
    after.result();
  }
  BOOST_TEST_CONTEXT("the time limit passes") {
    cosock::loop loop;
    waitable on = make();
    const auto limited = [](const waitable& on) -> cosock::task<> {
      co_await cosock::with_timeout(1ms, on.wait());
    };
    BOOST_CHECK_EXCEPTION(loop.run(limited(on)), boost::system::system_error, is(error::timed_out));
  }
  BOOST_TEST_CONTEXT("the task is destroyed while it waits") {
    cosock::loop loop;
    waitable on = make();
    {
      auto task = loop.start(on.wait());
      settle(loop);
    }
    on.provide();
    auto after = loop.start(on.wait());
    settle(loop);
    BOOST_REQUIRE(after.done());
    after.result();
  }
  for (const bool provided : {false, true}) {
    BOOST_TEST_CONTEXT("the loop is destroyed while it waits, provided: " << provided) {
      auto loop = std::make_unique<cosock::loop>();
      std::optional<waitable> on = make();
      auto task = loop->start(on->wait());
      auto other = loop->start(on->wait());
      settle(*loop);
      if (provided) on->provide();
      loop.reset();
      BOOST_CHECK_THROW(task.result(), std::logic_error);
    }
    BOOST_TEST_CONTEXT("the object is destroyed while it waits, provided: " << provided) {
      cosock::loop loop;
      waitable on = make();
      if (!on.destroy) continue;
      auto task = loop.start(on.wait());
      settle(loop);
      if (provided) on.provide();
      on.destroy();
      settle(loop);
      BOOST_REQUIRE(task.done());
      if (!provided) BOOST_TEST(ended_with(task, error::closed));
    }
  }
}

}  // namespace test
