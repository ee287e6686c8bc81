// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What a coroutine of the library tells about itself, found by its address: tasks and children alike
// have a promise_base at the beginning of their promise. For dumps; it changes nothing.

#include <cosock/task.hpp>

namespace cosock::detail {

/// The promise of a task or a child that is suspended, or runs.
inline const promise_base& promise_at(const void* coroutine) noexcept {
  return std::coroutine_handle<promise_base>::from_address(const_cast<void*>(coroutine)).promise();
}

/// The co_await at which it waits.
inline const std::source_location& place_of(const void* coroutine) noexcept {
  return promise_at(coroutine).where;
}

}  // namespace cosock::detail
