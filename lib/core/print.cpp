// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "core/print.hpp"

#include "core/without_sigpipe.hpp"

#include <cosock/error.hpp>

#include <cstdio>
#include <new>

namespace cosock::detail {

namespace {

void print(const char* program, const char* separator, std::string_view text) noexcept {
  // One call for the line: stdio locks the stream for it, so lines of several threads do not mix.
  without_sigpipe([&]() -> ssize_t {
    return std::fprintf(stderr, "%s%s%.*s\n", program, separator, static_cast<int>(text.size()),
                        text.data());
  });
}

}  // namespace

void print_line(std::string_view line) noexcept { print("", "", line); }

void print_message(std::string_view message) noexcept {
  print(program_invocation_short_name, ": ", message);
}

void print_error(const std::exception_ptr& error) noexcept {
  try {
    print_message(error_message(error));
    return;
  } catch (const std::bad_alloc&) {
    // No memory for a copy of the text: what() below allocates nothing.
  }
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    print_message(known.what());
  } catch (...) {
    print_message("unknown error");
  }
}

}  // namespace cosock::detail
