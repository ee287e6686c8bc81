// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Questions about a terminal, for descriptor_stream.cpp and blocking_calls.cpp. The functions
// change nothing.

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace cosock::detail {

/// A terminal whose other side has hung up counts too: its ioctls fail with EIO.
inline bool is_terminal(int fd) noexcept { return ::isatty(fd) || errno == EIO; }

/// Whether it is the master side of a pseudoterminal, which the terminal emulator has.
inline bool is_terminal_master(int fd) noexcept {
  int number;
  return ::ioctl(fd, TIOCGPTN, &number) == 0;
}

/// Whether both are the same terminal. The device number of the file does not tell: /dev/tty and
/// /dev/console stand for different terminals at different times and in different processes.
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
