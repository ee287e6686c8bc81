// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a task is taken for its result
// says: an operation is not its result: co_await is missing
#include <cosock/task.hpp>

cosock::task<int> answer() { co_return 42; }
cosock::task<int> next() {
  const int got = answer();
  co_return got + 1;
}
