// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Tasks that tests of tasks, scopes and loops start and await.

#include <cosock/cancel.hpp>
#include <cosock/task.hpp>

#include "manual_event.hpp"
#include "support.hpp"

#include <chrono>
#include <utility>

namespace test {

using cosock::cancel_scope;
using cosock::clock;
using cosock::task;

inline task<> wait_for_ever() { co_await forever(); }
inline task<int> give(int n) { co_return n; }
inline task<int> give_later(int n) {
  co_await cosock::yield();
  co_return n;
}

inline task<> run_in(cancel_scope& scope, task<> work) { co_await scope.run(std::move(work)); }

/// Calls attempt(deadline) with deadlines farther and farther away, until it says that all was in
/// place before the deadline.
template <class F>
void before_a_deadline(F attempt) {
  for (auto after = 2ms; !attempt(clock::now() + after);) after *= 2;
}

template <class E>
task<int> fail(E e) {
  co_await cosock::yield();
  throw e;
  co_return 0;
}

}  // namespace test
