// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/task.hpp>

#include <vector>

namespace cosock {

/// Which addresses a look-up wants.
enum class family : unsigned char { any, v4, v6 };

/// What a look-up is to find.
struct resolve_options {
  cosock::family family = cosock::family::any;  ///< addresses of this family only
  bool passive = false;  ///< for binding: an empty host means all interfaces, not loopback
};

/// Looks a host name and a port up, and gives every endpoint once, in the order of preference (RFC
/// 6724). The service is a decimal port or a name such as "http", of TCP or else of UDP. An empty host
/// means loopback, IPv6 first. A numeric host with a decimal port never leaves the loop. "localhost",
/// and what ends with ".localhost", is loopback too where the system does not know it (RFC 6761).
///
/// Names go through getaddrinfo(3), on at most 16 threads of the library's own, never the loop's;
/// while a silent name server holds all of them, other look-ups wait.
/// Throws system_error with the host or the service in what(): `error::host_not_found`, also for an
/// address that is not of the wanted family; `error::service_not_found`; `error::name_server`;
/// no_buffer_space if more than 4096 look-ups wait for a thread. Cancelled: returns at once, even
/// while the name server is silent; the look-up ends behind the scenes, and holds up neither the
/// loop nor the end of the process.
COSOCK_API task<std::vector<endpoint>> resolve(std::string host, std::string service,
                                               resolve_options options = {});
COSOCK_API task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port,
                                               resolve_options options = {});

/// Looks up the name of an address through getnameinfo(3). Throws system_error with the address in
/// what(): `error::host_not_found` if it has none, `error::name_server`. Cancellation as in resolve.
COSOCK_API task<std::string> reverse_resolve(address of);

}  // namespace cosock
