// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a task that when_all runs returns a reference to a local variable
// says: co_return of a reference to what ends with the coroutine
#include <cosock/when.hpp>

#include <string>

cosock::task<std::string&> name() {
  std::string local = "x";
  co_return local;
}
cosock::task<> both() {
  const auto names = co_await cosock::when_all(name(), name());
  static_cast<void>(names);
}
