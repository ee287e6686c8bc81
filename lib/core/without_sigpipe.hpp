// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace cosock::detail {

/// Makes a system call that writes. A pipe or socket without a reader causes EPIPE, but no SIGPIPE,
/// whose disposition belongs to the program. For calls that do not accept MSG_NOSIGNAL.
template <class F>
ssize_t without_sigpipe(F call) noexcept {
  sigset_t pipe;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const ssize_t n = call();
  const int error = errno;
  // The signal of this call is pending for this thread: take it out. One that was pending before
  // belongs to the program, and signals of one number do not queue.
  if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
    const timespec at_once = {};
    sigtimedwait(&pipe, nullptr, &at_once);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
}

}  // namespace cosock::detail
