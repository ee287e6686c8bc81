// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The system gives the lowest number that is free to what is opened. In a process that was started
// with standard input, output or error closed, that is one of theirs: a line for a log would go to a
// peer, and standard input would be a socket. No descriptor of the library has such a number.

namespace cosock::detail {

inline constexpr int last_standard_number = 2;

/// Moves it, see above_standard().
int move_above_standard(int fd) noexcept;

/// For every descriptor that a system call returned: another one for the same, close-on-exec, if its
/// number is one of the standard streams. Negative, with errno, stays; so does a failure to move it.
inline int above_standard(int fd) noexcept {
  return fd < 0 || fd > last_standard_number ? fd : move_above_standard(fd);
}

/// Occupies the numbers of standard streams that are closed, for as long as the object exists: around
/// code of others that opens descriptors, Asio and the C library. What occupies them can be neither
/// read nor written, as if they were closed.
class standard_numbers_occupied {
 public:
  standard_numbers_occupied() noexcept;
  ~standard_numbers_occupied();
  standard_numbers_occupied(const standard_numbers_occupied&) = delete;
};

}  // namespace cosock::detail
