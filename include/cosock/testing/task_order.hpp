// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace cosock::testing {

/// In which order tasks run that are ready at the same time.
enum class task_order : unsigned char {
  first_come,  ///< in the order in which they became ready, as on every other loop
  shuffled,    ///< a random one each time; operations that could complete at once may yield before
};

}  // namespace cosock::testing
