// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <functional>
#include <string_view>

namespace cosock::testing {

/// Called by check_stream(), check_datagram() and check_acceptor() for each check. `failure`: a description
/// of the failure; empty if the check passed.
using check_report = std::function<void(std::string_view name, std::string_view failure)>;

}  // namespace cosock::testing
