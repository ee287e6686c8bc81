// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <exception>
#include <string_view>

namespace cosock::detail {

// Everything that the library prints goes through these functions. They raise no SIGPIPE, so a pipe
// without a reader as standard error does not end the process.

/// Prints the line to standard error. Ignores errors.
void print_line(std::string_view line) noexcept;
/// Prints `program: message` in the same way.
void print_message(std::string_view message) noexcept;
/// Prints `program: source: text of the error`, which needs no memory; an empty source is left out.
void print_error(const std::exception_ptr&, std::string_view source = {}) noexcept;

}  // namespace cosock::detail
