// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Debug builds find children that refer to a local variable of a coroutine that ended before them.

#include <cstddef>

namespace cosock::detail {

#ifdef COSOCK_CHECKS_CAPTURES
inline constexpr bool checks_captures = true;
#else
inline constexpr bool checks_captures = false;
#endif

void frame_made(void* frame, std::size_t size);
/// Says so on standard error where a child that has not ended refers to the frame.
void frame_gone(void* frame) noexcept;
/// What the function of a child captured; `child` stands for it.
void child_made(const void* child, const void* function, std::size_t size);
void child_gone(const void* child) noexcept;

}  // namespace cosock::detail
