// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: what is made of a task is dropped
// says: an operation does nothing until it is awaited: is co_await missing?
#include <cosock/cancel.hpp>
#include <cosock/task.hpp>

cosock::task<> work() { co_return; }
cosock::task<> more() {
  cosock::with_timeout(std::chrono::seconds(1), work());
  co_return;
}
