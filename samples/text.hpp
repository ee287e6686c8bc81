// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Checks of text that a peer has sent. Never show it to other users without them.

#include <algorithm>
#include <string>
#include <string_view>

/// Returns true if the text can be a name: 1 to 32 printable ASCII characters without spaces.
inline bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

/// Returns the line with a space for each control character: it stays one line, and contains no
/// terminal commands.
inline std::string printable(std::string_view line) {
  std::string text(line);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  return text;
}
