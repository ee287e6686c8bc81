// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Bytes as they are written in a C++ source, for texts of failures.

#include "core/text.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

namespace cosock::testing::detail {

/// The bytes in quotation marks; only the first of many.
inline std::string as_literal(std::string_view bytes) {
  constexpr std::size_t most = 60;
  std::string out = "\"";
  for (const char c : bytes.substr(0, most)) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') {
      char code[5];
      std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
      out += code;
    } else {
      out += c;
    }
  }
  out += '"';
  if (bytes.size() > most)
    out += " and " + cosock::detail::counted(bytes.size() - most, "byte") + " more";
  return out;
}

}  // namespace cosock::testing::detail
