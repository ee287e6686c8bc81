// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What a peer sends is not to be trusted: the samples that show it to others look at it first.

#include <algorithm>
#include <string>
#include <string_view>

/// Whether it is fit to be a name: 1 to 32 printable characters, no spaces.
inline bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

/// The line with spaces for control characters, so that it stays a line and steers no terminal.
inline std::string printable(std::string_view line) {
  std::string text(line);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  return text;
}
