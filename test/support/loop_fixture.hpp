// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Tasks that a loop starts, which know when they are destroyed.

#include <cosock/task.hpp>
#include <cosock/time.hpp>

#include "manual_event.hpp"
#include "support.hpp"

namespace test {

using cosock::task;

inline task<int> sleep_and_give(int n) {
  const instance_counter local;
  co_await cosock::sleep_for(1ms);
  co_return n;
}
inline task<> never() {
  const instance_counter local;
  co_await forever();
}
inline task<int> wait_and_give(manual_event& g, int n) {
  const instance_counter local;
  co_await g.wait();
  co_return n;
}

}  // namespace test
