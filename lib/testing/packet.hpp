// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Names of sockets and packets of a simulated network. IPv4 addresses are kept as IPv4-mapped ones.

#include <cosock/address.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>

namespace cosock::testing::detail {

using ip_bytes = std::array<unsigned char, 16>;

inline ip_bytes bytes_of(const address& a) noexcept {
  ip_bytes bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (a.is_v4())
    std::memcpy(bytes.data() + 12, a.bytes().data(), 4);
  else
    std::memcpy(bytes.data(), a.bytes().data(), 16);
  return bytes;
}

/// An address and a port.
struct name {
  ip_bytes ip = {};
  std::uint16_t port = 0;

  bool is_v4() const noexcept {
    constexpr unsigned char prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(ip.data(), prefix, sizeof prefix) == 0;
  }
  /// 0.0.0.0 or [::].
  bool is_any() const noexcept {
    for (std::size_t i = is_v4() ? 12 : 0; i != ip.size(); ++i)
      if (ip[i] != 0) return false;
    return true;
  }
  bool is_loopback() const noexcept {
    if (is_v4()) return ip[12] == 127;
    for (std::size_t i = 0; i != 15; ++i)
      if (ip[i] != 0) return false;
    return ip[15] == 1;
  }
  bool is_multicast() const noexcept { return is_v4() ? (ip[12] & 0xf0) == 0xe0 : ip[0] == 0xff; }
  /// A group whose datagrams stay on the host (RFC 4291).
  bool is_group_of_host() const noexcept {
    return is_multicast() && !is_v4() && (ip[1] & 0x0f) <= 1;
  }
  /// A group whose datagrams stay on the subnet (RFC 5771, RFC 4291).
  bool is_group_of_subnet() const noexcept {
    if (!is_multicast()) return false;
    return is_v4() ? ip[12] == 224 && ip[13] == 0 && ip[14] == 0 : (ip[1] & 0x0f) <= 2;
  }
  /// Whether addresses are of one subnet: /24 or /64.
  bool is_near(const name& other) const noexcept {
    return is_v4() == other.is_v4() &&
           std::memcmp(ip.data(), other.ip.data(), is_v4() ? 15 : 8) == 0;
  }

  friend bool operator==(const name&, const name&) = default;
  friend auto operator<=>(const name&, const name&) = default;
};

inline name any_name(bool v4) noexcept {
  name n;
  if (v4) n.ip[10] = n.ip[11] = 0xff;
  return n;
}
inline name loopback_name(bool v4) noexcept {
  name n = any_name(v4);
  n.ip[15] = 1;
  if (v4) n.ip[12] = 127;
  return n;
}

/// False if the address is of another family, or too short.
inline bool read_name(const sockaddr* from, socklen_t size, int family, name& into) noexcept {
  if (size < sizeof(sa_family_t) || from->sa_family != family) return false;
  if (family == AF_INET) {
    if (size < sizeof(sockaddr_in)) return false;
    const auto& v4 = *reinterpret_cast<const sockaddr_in*>(from);
    into = any_name(true);
    std::memcpy(into.ip.data() + 12, &v4.sin_addr, 4);
    into.port = ntohs(v4.sin_port);
    return true;
  }
  if (family != AF_INET6 || size < sizeof(sockaddr_in6)) return false;
  const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(from);
  std::memcpy(into.ip.data(), &v6.sin6_addr, 16);
  into.port = ntohs(v6.sin6_port);
  return true;
}

/// Writes as much as there is room for, and the whole size.
inline void write_name(const name& n, int family, void* into, socklen_t* size) noexcept {
  if (!size) return;
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  const void* from = &v6;
  socklen_t whole = sizeof v6;
  if (family == AF_INET) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(n.port);
    std::memcpy(&v4.sin_addr, n.ip.data() + 12, 4);
    from = &v4;
    whole = sizeof v4;
  } else {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(n.port);
    std::memcpy(&v6.sin6_addr, n.ip.data(), 16);
  }
  if (into) std::memcpy(into, from, std::min(*size, whole));
  *size = whole;
}

/// What travels between hosts.
struct packet {
  enum class kind : unsigned char { tcp, udp, unreachable };
  enum flag : unsigned char { syn = 1, ack = 2, fin = 4, reset = 8 };

  kind type = kind::tcp;
  unsigned char flags = 0;
  int error = 0;         // of an unreachable: an errno
  bool was_tcp = false;  // an unreachable: what was not delivered
  std::size_t mtu = 0;   // of an unreachable: for EMSGSIZE, the largest packet that passes
  // Of what may not be fragmented on the way: it passes no link with a smaller MTU.
  std::size_t whole_bytes = 0;
  int hops = 64;      // to a group: 0 stays on the host, 1 on the subnet
  bool loops = true;  // to a group: members on the own host receive it
  name from;
  name to;
  std::uint64_t sequence = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t window = 0;
  std::string data;

  /// Bytes on the link, with headers.
  std::size_t size() const noexcept { return data.size() + (type == kind::tcp ? 40 : 28); }
};

}  // namespace cosock::testing::detail
