// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "detail/print.hpp"

#include "detail/without_signal.hpp"

#include <cstdio>

namespace cosock::detail {

namespace {

void print(const char* program, const char* separator, std::string_view text) noexcept {
  without_signal([&]() -> ssize_t {
    return std::fprintf(stderr, "%s%s%.*s\n", program, separator, static_cast<int>(text.size()),
                        text.data());
  });
}

}  // namespace

void print_line(std::string_view line) noexcept { print("", "", line); }

void print_message(std::string_view message) noexcept {
  print(program_invocation_short_name, ": ", message);
}

}  // namespace cosock::detail
