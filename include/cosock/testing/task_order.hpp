// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace cosock::testing {

/// The order of tasks that are ready at the same time.
enum class task_order : unsigned char {
  first_come,  ///< the order in which they became ready, as on other loops
  shuffled,    ///< random; also, operations that could complete at once may yield first
};

}  // namespace cosock::testing
