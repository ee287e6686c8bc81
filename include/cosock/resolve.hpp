// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/task.hpp>

#include <vector>

namespace cosock {

/// The addresses that a look-up is to find.
struct resolve_options {
  cosock::family family = cosock::family::any;  ///< addresses of this family only
  /// For binding: an empty host means all interfaces, not loopback. That is [::] alone, which
  /// serves IPv4 too unless an option says otherwise; 0.0.0.0 for family::v4, and on systems
  /// without IPv6.
  bool passive = false;
};

/// Looks up a host name and a port. Returns every endpoint once, in the order of preference (RFC
/// 6724). The service is a decimal port or a name such as "http", of TCP or else of UDP. An empty
/// host means loopback, IPv6 first. A numeric host with a decimal port is answered at once on the
/// thread of the loop. For family::v4, an IPv4-mapped address is the IPv4 address that it contains.
/// With family::any it waits for the answers about both families, which
/// connect() does not do.
///
/// Names go through getaddrinfo(3), on threads of the library, never on the loop's. Names that the
/// hosts file lists wait for no name server, if nsswitch.conf(5) puts `files` first, and if they
/// are in the first 256 KiB of the file. "localhost", and every name that ends with ".localhost",
/// never reaches a name server: it has the loopback addresses of the hosts file, or else both (RFC
/// 6761). Of other names, at most 16 look-ups run at a time, and separately 16 that ask for IPv6
/// only; others wait. A cancelled look-up whose name server is silent does not count, but occupies
/// a thread, at most 112 for each of the two kinds.
///
/// A host is a name or an address that address::parse() takes. A name has letters, digits, "-" and
/// "_" in its parts, and bytes from 0x80, with a final dot or without. Addresses in other
/// notations, such as 0177.1, 0x7f.1 and 2130706433, are refused.
///
/// Throws system_error with the host or the service in what(): `error::host_not_found`, also for a
/// host that is refused, and for an address that is not of the wanted family;
/// `error::service_not_found`; `error::resolver_failed`; no_buffer_space if more than 4096 look-ups
/// wait for a thread. Cancelled: ends at once, even while the name server is silent; the look-up
/// ends on its thread, and holds up neither the loop nor the end of the process.
COSOCK_API task<std::vector<endpoint>> resolve(std::string host, std::string service,
                                               resolve_options options = {});
COSOCK_API task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port,
                                               resolve_options options = {});

/// Looks up the name of an address through getnameinfo(3). Throws system_error with the address in
/// what(): `error::host_not_found` if the address has no name; `error::resolver_failed`.
/// Cancellation as in resolve.
COSOCK_API task<std::string> reverse_resolve(address peer);

}  // namespace cosock
