// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/clock.hpp>

namespace cosock::detail {

/// The time `span` from now, on the loop that runs. Saturates: time_point::max() never passes.
inline clock::time_point deadline_after(std::chrono::nanoseconds span) noexcept {
  return clock::time_point(std::chrono::nanoseconds(later(current_time(), span.count())));
}

}  // namespace cosock::detail
