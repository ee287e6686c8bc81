// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/task.hpp>

#include <optional>
#include <string_view>

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

/// Runs a program: the task, on a loop made for it, until the task has ended. Returns the exit
/// status for `main`: the result of the task, or 0 for a task without a result.
///
/// SIGINT and SIGTERM cancel the scope around the task, so that it ends in order: if it then ends
/// with `cancelled`, the status is 0. A second such signal ends the process at once, as if it had
/// not been caught, unless a signal_set names it (signal.hpp). A signal that the process ignores
/// when run() is called stays ignored. The previous handlers are installed again when run()
/// returns.
///
/// Waits for closed asio_streams (asio.hpp) that still have bytes to send, within their limits; a
/// signal ends that wait. An exception that leaves the task is printed to standard error as
/// `program: message`, and the status is 1; a closed standard error raises no SIGPIPE. Throws only
/// system_error, if the loop cannot be made.
[[nodiscard]] COSOCK_API int run(task<int> program, const run_options& options = {});
[[nodiscard]] COSOCK_API int run(task<void> program, const run_options& options = {});

/// Prints `program: message` to standard error, as run() does, and returns 2: the exit status of
/// `main` for wrong arguments.
[[nodiscard]] COSOCK_API int usage_error(std::string_view message);

}  // namespace cosock
