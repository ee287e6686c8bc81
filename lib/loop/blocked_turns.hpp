// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// When the thread of a watch reports a task that blocks its loop. Used by loop_watch.cpp.

#include <algorithm>
#include <chrono>

namespace cosock::detail {

/// How often the thread looks at a loop.
constexpr std::chrono::nanoseconds blocked_period(std::chrono::nanoseconds slow_turn) noexcept {
  return std::clamp<std::chrono::nanoseconds>(slow_turn, std::chrono::milliseconds(10),
                                              std::chrono::seconds(10));
}
/// How long a task runs before it is reported although it has not ended: two periods, so that a turn
/// that ends is reported once only, as a rule.
constexpr std::chrono::nanoseconds blocked_after(std::chrono::nanoseconds slow_turn) noexcept {
  return std::max(2 * blocked_period(slow_turn), slow_turn);
}

}  // namespace cosock::detail
