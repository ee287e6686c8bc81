// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Test cases whose time does not wait.

#include <cosock/testing/virtual_loop.hpp>

#include "support.hpp"

/// A test case whose body is a coroutine on a virtual loop of its own. A body that waits for what
/// nobody does fails at once, so there is no limit of time but that of a process that hangs.
#define VIRTUAL_TEST_CASE(name)                                    \
  static cosock::task<> name##_body();                             \
  BOOST_AUTO_TEST_CASE(name) { test::run_virtual(name##_body()); } \
  static cosock::task<> name##_body()

namespace test {

using cosock::testing::virtual_loop;

/// Longer than a tick of the timer wheel, by which a timer may be late.
inline constexpr auto tick = 66us;

inline void run_virtual(cosock::task<> body) {
  const alarm_clock guard;
  virtual_loop loop;
  loop.run(std::move(body));
}

}  // namespace test
