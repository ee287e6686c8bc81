// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/task.hpp>

#include <string_view>

namespace cosock {

/// Runs a program: the task, on a loop made for it, until the task has ended. Gives the status that
/// `main` returns: what the task returned, or 0 for one that returns nothing.
///
/// SIGINT and SIGTERM cancel the scope around the task, so that it ends in order: if `cancelled` is
/// what then leaves it, the status is 0. A second such signal ends the process at once, as if it had
/// not been caught. A signal that the process ignores when run() is called stays ignored. Handlers
/// that the program had are installed again when run() returns.
///
/// Streams of Asio's that were closed and still have bytes to send (asio.hpp) are waited for, within
/// their limits; a signal ends that wait. An error that leaves the task is printed to standard error
/// as `program: message`, without SIGPIPE, and the status is 1. Throws only what making the loop
/// throws, system_error.
[[nodiscard]] COSOCK_API int run(task<int> program);
[[nodiscard]] COSOCK_API int run(task<void> program);

/// Prints `program: message` to standard error, as run() does, and gives 2: for `main` to return
/// when it was called in a way it does not understand.
[[nodiscard]] COSOCK_API int usage_error(std::string_view message);

}  // namespace cosock
