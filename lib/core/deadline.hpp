// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/timer.hpp>

#include <chrono>

namespace cosock::detail {

/// The time `span` from now. Saturates: time_point::max() never passes.
inline std::chrono::steady_clock::time_point deadline_after(
    std::chrono::nanoseconds span) noexcept {
  return std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(later(steady_now(), span.count())));
}

}  // namespace cosock::detail
