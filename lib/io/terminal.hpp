// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What has to be known of a terminal before it is read or written.

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace cosock::detail {

/// A terminal whose other side has hung up is still one: its ioctls fail with EIO.
inline bool is_terminal(int fd) noexcept { return ::isatty(fd) || errno == EIO; }

/// Whether it is the side that the emulator of a terminal has.
inline bool is_terminal_master(int fd) noexcept {
  int number;
  return ::ioctl(fd, TIOCGPTN, &number) == 0;
}

/// Whether both are the same terminal. /dev/tty and /dev/console stand for others, not the same
/// ones at each time and for each process.
inline bool are_same_terminal(int one, int other) noexcept {
  unsigned number[2] = {};
  return ::ioctl(one, TIOCGDEV, &number[0]) == 0 && ::ioctl(other, TIOCGDEV, &number[1]) == 0 &&
         number[0] == number[1];
}

/// Whether a signal, of job control for example, is neither ignored nor handled.
inline bool has_default_action(int signal) noexcept {
  struct sigaction now = {};
  ::sigaction(signal, nullptr, &now);
  return !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
}

}  // namespace cosock::detail
