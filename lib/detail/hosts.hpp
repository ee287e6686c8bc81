// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the files of this machine say about host names. resolve() and connect() ask it which names need
// no server; the answers for such names still come from the system, localhost excepted.

#include <cosock/address.hpp>

#include <string_view>
#include <vector>

namespace cosock::detail {

/// Whether the system takes host names from the hosts file before it asks a server:
/// nsswitch.conf(5).
bool hosts_file_comes_first();

/// The addresses that the hosts file lists for the name, in its order: hosts(5). Reads at most
/// `most_read` bytes of the file, because it does so on the loop.
std::vector<address> listed_addresses(std::string_view name);
/// Whether the hosts file has a name for the address.
bool is_listed(const address& of);

/// Whether a connection to the first address is to be tried before one to the second: there is a route
/// to it, and RFC 6724, section 6, rule 6, with the precedences of gai.conf(5), does not say otherwise.
bool is_v6_preferred(const address& v6, const address& v4);

inline constexpr std::size_t most_read = 256 * 1024;

}  // namespace cosock::detail
