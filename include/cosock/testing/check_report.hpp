// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <functional>
#include <string_view>

namespace cosock::testing {

/// Is called with the name of each check, and an empty text if it passed or a description of the
/// failure. check_stream(), check_datagram() and check_acceptor() report to one.
using check_report = std::function<void(std::string_view name, std::string_view failure)>;

}  // namespace cosock::testing
