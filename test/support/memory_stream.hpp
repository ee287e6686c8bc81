// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/task.hpp>
#include <cosock/testing/memory_stream.hpp>

#include <memory>
#include <utility>

namespace test {

using cosock::testing::memory_stream;
using memory_ends = std::pair<std::unique_ptr<memory_stream>, std::unique_ptr<memory_stream>>;

/// A connection whose ends stay where they are: for layers that refer to them.
inline cosock::task<memory_ends> make_memory_pair(std::size_t room = 5000) {
  auto [one, other] = cosock::testing::memory_pair({.room = room});
  co_return memory_ends(std::make_unique<memory_stream>(std::move(one)),
                        std::make_unique<memory_stream>(std::move(other)));
}

}  // namespace test
