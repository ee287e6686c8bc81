// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a task is awaited twice, and the compiler was told that it is not
// run: a task was awaited twice, or after it was moved from
#include <cosock/run.hpp>

cosock::task<int> answer() { co_return 42; }
cosock::task<int> twice() {
  auto one = answer();
  const int first = co_await std::move(one);
  co_return first + co_await std::move(one);
}

int main() { return cosock::run(twice()); }
