// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// For the start of threads of the library, which inherit the mask: signals are for the program's own
// threads. It owns nothing but the former mask.

#include <pthread.h>

#include <csignal>

namespace cosock::detail {

/// Blocks all signals of this thread for as long as the object exists.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace cosock::detail
