// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Host names in the files of this machine. For resolve() and connect(), which have to know which
// names need no server. The answers for such names still come from the system, except for
// localhost.

#include <cosock/address.hpp>

#include <string_view>
#include <vector>

namespace cosock::detail {

/// Whether the system takes host names from the hosts file before it asks a server:
/// nsswitch.conf(5).
bool hosts_file_comes_first();

/// The addresses that the hosts file lists for the name, in its order: hosts(5). Reads at most
/// `max_read` bytes of the file, because it does so on the loop.
std::vector<address> listed_addresses(std::string_view name);
/// Whether the hosts file has a name for the address.
bool is_listed(const address& wanted_address);

/// Whether IPv4 addresses are to be tried before IPv6 addresses, which otherwise come first:
/// precedence in gai.conf(5).
bool is_v4_preferred();

inline constexpr std::size_t max_read = 256 * 1024;

}  // namespace cosock::detail
