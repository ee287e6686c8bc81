// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Debug builds find children that refer to a local variable of a coroutine that ended before them.
// Called by task.cpp for frames and by task_group.cpp for children. It compares addresses only; it
// owns and reads no frame.

#include <cstddef>

namespace cosock::detail {

#ifdef COSOCK_CHECKS_CAPTURES
inline constexpr bool checks_captures = true;
#else
inline constexpr bool checks_captures = false;
#endif

void frame_made(void* frame, std::size_t size);
/// Reports on standard error if a child that has not ended refers to the frame.
void frame_gone(void* frame) noexcept;
/// Searches the captures of a child, `size` bytes at `function`, for pointers into known frames.
/// `child` identifies the child in child_gone().
void child_made(const void* child, const void* function, std::size_t size);
void child_gone(const void* child) noexcept;

}  // namespace cosock::detail
