// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "core/print.hpp"

#include "core/without_sigpipe.hpp"

#include <cosock/error.hpp>

#include <cstdio>
#include <new>

namespace cosock::detail {

namespace {

/// Prints these texts as one line. One call for the line: stdio locks the stream for it, so lines of
/// several threads do not mix.
void print(std::string_view program, std::string_view source, std::string_view text) noexcept {
  const auto size = [](std::string_view s) { return static_cast<int>(s.size()); };
  without_sigpipe([&]() -> ssize_t {
    return std::fprintf(stderr, "%.*s%s%.*s%s%.*s\n", size(program), program.data(),
                        program.empty() ? "" : ": ", size(source), source.data(),
                        source.empty() ? "" : ": ", size(text), text.data());
  });
}

}  // namespace

void print_line(std::string_view line) noexcept { print("", "", line); }

void print_message(std::string_view message) noexcept {
  print(program_invocation_short_name, "", message);
}

void print_error(const std::exception_ptr& error, std::string_view source) noexcept {
  const auto print_text = [source](std::string_view text) {
    print(program_invocation_short_name, source, text);
  };
  try {
    print_text(error_message(error));
    return;
  } catch (const std::bad_alloc&) {
    // No memory for a copy of the text: what() below allocates nothing.
  }
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    print_text(known.what());
  } catch (...) {
    print_text("unknown error");
  }
}

}  // namespace cosock::detail
