// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What connect() has to know about resolve() beyond its contract.

#include <cosock/resolve.hpp>

namespace cosock::detail {

/// Whether resolve() asks the system for this host in a way that may wait for a name server: it is
/// a name that the hosts file does not list. Throws what resolve() does for a host that is no name.
bool needs_server(const std::string& host, family wanted);

}  // namespace cosock::detail
