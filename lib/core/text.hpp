// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

#include <string>
#include <string_view>

namespace cosock::detail {

/// Text from outside as a message may show it: control characters become \xNN, and long text is
/// cut.
std::string printable(std::string_view text);
/// The same in quotes.
std::string in_quotes(std::string_view text);

/// "1 byte", "2 bytes". Inline, for the other libraries.
inline std::string counted(std::size_t number, std::string_view noun) {
  return std::to_string(number).append(" ").append(noun).append(number == 1 ? "" : "s");
}

/// The message of an error that a limit has caused.
std::string text_of(passed_limit);

}  // namespace cosock::detail
