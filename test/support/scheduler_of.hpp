// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "core/scheduler.hpp"

#include <cosock/loop.hpp>
#include <cosock/task.hpp>

namespace test {

/// What the library knows of a loop.
inline cosock::detail::scheduler& scheduler_of(cosock::loop& on) {
  cosock::detail::scheduler* found = nullptr;
  on.run([](cosock::detail::scheduler*& found) -> cosock::task<> {
    found = cosock::detail::scheduler::current();
    co_return;
  }(found));
  return *found;
}

}  // namespace test
