// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/run.hpp>

#include <optional>

namespace cosock {

/// How run() runs a program.
struct run_options {
  /// A signal, for example SIGQUIT, at which the tasks are dumped to standard error (dump.hpp). The program
  /// goes on. Not set: none. Throws invalid_argument, from run(), for a number that cannot be caught.
  std::optional<int> dump_on = std::nullopt;
  /// A task that runs longer than this without waiting is reported to standard error, see watch_turns()
  /// (watch.hpp). Not set: the loop is not watched.
  std::optional<time_span> slow_turn = std::nullopt;
};

}  // namespace cosock
