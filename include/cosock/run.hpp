// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/task.hpp>

#include <string_view>

namespace cosock {

struct run_options;

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
/// system_error, if the loop cannot be made. The options have a header of their own,
/// <cosock/run_options.hpp>.
[[nodiscard]] COSOCK_API int run(task<int> program);
[[nodiscard]] COSOCK_API int run(task<void> program);
[[nodiscard]] COSOCK_API int run(task<int> program, const run_options& options);
[[nodiscard]] COSOCK_API int run(task<void> program, const run_options& options);

/// Prints `program: message` to standard error, as run() does, and returns 2: the exit status of
/// `main` for wrong arguments.
[[nodiscard]] COSOCK_API int usage_error(std::string_view message);

}  // namespace cosock
