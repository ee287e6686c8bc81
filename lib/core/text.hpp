// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string>
#include <string_view>

namespace cosock::detail {

/// Text from outside as a message may show it: control characters become \xNN, and long text is
/// cut.
std::string printable(std::string_view text);
/// The same in quotes.
std::string in_quotes(std::string_view text);

}  // namespace cosock::detail
