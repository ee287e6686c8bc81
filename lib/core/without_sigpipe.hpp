// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace cosock::detail {

/// Makes a system call that writes: with EPIPE, but without SIGPIPE, which the process may need for
/// itself. For those calls that know no MSG_NOSIGNAL.
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
  if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
    const timespec at_once = {};
    sigtimedwait(&pipe, nullptr, &at_once);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
}

}  // namespace cosock::detail
