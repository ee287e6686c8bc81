// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Tasks that tests of tasks, scopes and loops start and await.

#include <cosock/cancel.hpp>
#include <cosock/task.hpp>

#include "manual_event.hpp"
#include "support.hpp"

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

template <class E>
task<int> fail(E e) {
  co_await cosock::yield();
  throw e;
  co_return 0;
}

}  // namespace test
