// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a task is made, and dropped
// says: a task does nothing until it is awaited: is co_await missing?
#include <cosock/task.hpp>

cosock::task<> work() { co_return; }
cosock::task<> more() {
  work();
  co_return;
}
