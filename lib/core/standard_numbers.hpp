// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The system assigns the lowest free number to a new descriptor. In a process that was started with
// standard input, output or error closed, this is one of their numbers: a line for a log would go
// to a peer, and standard input would be a socket. So no descriptor of the library has the numbers
// 0 to 2.

namespace cosock::detail {

inline constexpr int last_standard_number = 2;

/// The part of above_standard() that is not inline.
int move_above_standard(int fd) noexcept;

/// For every descriptor that a system call returned. If its number belongs to a standard stream,
/// closes it and returns a duplicate above, close-on-exec, or -1 with errno. Otherwise returns `fd`
/// and leaves errno unchanged, so it can be wrapped around the call.
inline int above_standard(int fd) noexcept {
  return fd < 0 || fd > last_standard_number ? fd : move_above_standard(fd);
}

/// Occupies the numbers of closed standard streams for as long as the object exists: around foreign
/// code that opens descriptors, Asio and the C library. The descriptors that occupy them can be
/// neither read nor written, like closed ones.
class standard_numbers_occupied {
 public:
  standard_numbers_occupied() noexcept;
  ~standard_numbers_occupied();
  standard_numbers_occupied(const standard_numbers_occupied&) = delete;
};

}  // namespace cosock::detail
