// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// IP endpoints as the system has them: sockaddr_in and sockaddr_in6.

#include <cosock/address.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace cosock::detail {

/// Whether an IPv4 socket is used for this address: it is IPv4 or IPv4-mapped. A mapped one with a
/// scope id needs an IPv6 socket, because IPv4 has no scope ids.
bool is_for_v4_socket(const address&) noexcept;

/// Writes the endpoint to memory for a sockaddr_in6, at least. Returns the size. `mapped`: the socket
/// is IPv6, and an IPv4 address is written as an IPv4-mapped one (RFC 4291, section 2.5.5.2).
/// Otherwise a mapped address is written as the IPv4 address.
unsigned encode_endpoint(const endpoint&, void* into, bool mapped = false) noexcept;
/// Reads a socket address. One that is not IP makes the default endpoint.
void decode_endpoint(const void* from, unsigned size, endpoint& into) noexcept;

address to_address(const in6_addr&, std::uint32_t scope) noexcept;
address to_address(const in_addr&) noexcept;

/// A socket address of the system, in both directions.
struct system_address {
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;

  system_address() noexcept = default;
  explicit system_address(const endpoint& e, bool mapped = false) noexcept
      : size(encode_endpoint(e, &storage, mapped)) {}
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  endpoint to_endpoint() const noexcept {
    endpoint e;
    decode_endpoint(&storage, size, e);
    return e;
  }
};

/// Whether there is a network interface with this index. The descriptor is any socket.
bool is_interface(int fd, std::uint32_t index) noexcept;
/// Whether bind(2), connect(2) and sendto(2) look at the scope id of an IPv6 address: link-local
/// ones, and multicast of the same reach. For others they ignore it (ipv6(7)).
bool is_scoped_by_system(const unsigned char* v6) noexcept;
/// Makes a socket use the interface that the scope id of an address names (RFC 4007), before it is
/// bound or connected to that address. Returns 0, ENODEV where there is no such interface, EINVAL on
/// a socket that uses another one, or what the system says.
int use_interface_of(int fd, const address& scoped) noexcept;

}  // namespace cosock::detail
