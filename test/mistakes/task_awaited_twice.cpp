// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a task is awaited by its name, as if that could be done twice
// says: a task is awaited once: co_await std::move(it), which leaves it empty
#include <cosock/task.hpp>

cosock::task<int> answer() { co_return 42; }
cosock::task<int> twice() {
  auto one = answer();
  co_return co_await one + co_await one;
}
