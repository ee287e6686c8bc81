// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

namespace cosock::detail {

/// Counts the bytes that several streams of one loop move. Shared by these streams and by serve();
/// the last one to drop it destroys it. Not atomic: all of them are on one loop.
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
