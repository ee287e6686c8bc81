// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

namespace cosock::detail {

/// Counts what several streams of one loop move. Shared by them and by who counts.
struct byte_counter {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  int shares = 1;

  void share() noexcept { ++shares; }
  void drop() noexcept {
    if (--shares == 0) delete this;
  }
};

}  // namespace cosock::detail
