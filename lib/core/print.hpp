// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <exception>
#include <string_view>

namespace cosock::detail {

// All that the library prints: a standard error that nobody reads any more is no reason to end.

/// Prints the line to standard error. Without SIGPIPE; what cannot be printed is discarded.
void print_line(std::string_view line) noexcept;
/// Prints `program: message` in the same way.
void print_message(std::string_view message) noexcept;
/// Prints `program: text of the error`, which needs no memory.
void print_error(const std::exception_ptr&) noexcept;

}  // namespace cosock::detail
