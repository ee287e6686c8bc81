// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Text from outside, such as the name of a host or a file, as messages may show it. Called where
// the text of an error is made.

#include "core/text.hpp"

namespace cosock::detail {

std::string printable(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  constexpr std::size_t max_size = 128;
  std::string shown;
  for (const char c : text.substr(0, max_size)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte != 0x7f)
      shown += c;
    else
      shown.append("\\x").append({digits[byte >> 4], digits[byte & 15]});
  }
  return text.size() > max_size ? shown + "..." : shown;
}

std::string in_quotes(std::string_view text) { return '"' + printable(text) + '"'; }

}  // namespace cosock::detail
