// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Addresses and endpoints as the system has them, and the interface that a scope id names.

#include "net/sockaddr.hpp"

#include "loop/system.hpp"

#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace cosock::detail {

address to_address(const in6_addr& from, std::uint32_t scope) noexcept {
  address::v6_bytes bytes;
  std::memcpy(bytes.data(), &from, bytes.size());
  return address(bytes, scope);
}
address to_address(const in_addr& from) noexcept {
  address::v4_bytes bytes;
  std::memcpy(bytes.data(), &from, bytes.size());
  return address(bytes);
}

bool is_for_v4_socket(const address& a) noexcept {
  return a.is_v4() || (a.is_v4_mapped() && a.scope_id() == 0);
}

namespace {

unsigned encode_v4(const unsigned char* bytes, std::uint16_t port, void* into) noexcept {
  auto& v4 = *static_cast<sockaddr_in*>(into);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  std::memcpy(&v4.sin_addr, bytes, 4);
  std::memset(v4.sin_zero, 0, sizeof v4.sin_zero);
  return sizeof v4;
}

unsigned encode_v6(const endpoint& e, void* into) noexcept {
  const address& a = e.address();
  auto& v6 = *static_cast<sockaddr_in6*>(into);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(e.port());
  v6.sin6_flowinfo = 0;
  v6.sin6_scope_id = a.scope_id();
  if (a.is_v4()) {
    std::memset(&v6.sin6_addr, 0, 10);
    std::memset(v6.sin6_addr.s6_addr + 10, 0xff, 2);
    std::memcpy(v6.sin6_addr.s6_addr + 12, a.bytes().data(), 4);
  } else {
    std::memcpy(&v6.sin6_addr, a.bytes().data(), 16);
  }
  return sizeof v6;
}

/// An IPv6 address for a socket that may be IPv4. A function of its own: encode_endpoint() is called
/// for each datagram, and would need a larger stack frame.
[[gnu::noinline]] unsigned encode_unmapped(const endpoint& e, void* into) noexcept {
  if (!is_for_v4_socket(e.address())) return encode_v6(e, into);
  return encode_v4(e.address().bytes().data() + 12, e.port(), into);
}

}  // namespace

unsigned encode_endpoint(const endpoint& e, void* into, bool mapped) noexcept {
  if (mapped) return encode_v6(e, into);
  if (!e.address().is_v4()) return encode_unmapped(e, into);
  return encode_v4(e.address().bytes().data(), e.port(), into);
}

void decode_endpoint(const void* from, unsigned size, endpoint& into) noexcept {
  sa_family_t family = AF_UNSPEC;
  if (size >= sizeof(sockaddr_in)) std::memcpy(&family, from, sizeof family);
  if (family == AF_INET6) {
    const auto& v6 = *static_cast<const sockaddr_in6*>(from);
    into = {to_address(v6.sin6_addr, v6.sin6_scope_id), ntohs(v6.sin6_port)};
  } else if (family == AF_INET) {
    const auto& v4 = *static_cast<const sockaddr_in*>(from);
    into = {to_address(v4.sin_addr), ntohs(v4.sin_port)};
  } else {
    into = {};
  }
}

bool is_interface(int fd, std::uint32_t index) noexcept {
  ifreq request = {};
  request.ifr_ifindex = static_cast<int>(index);
  return ::ioctl(fd, SIOCGIFNAME, &request) == 0;
}

bool is_scoped_by_system(const unsigned char* v6) noexcept {
  if (v6[0] == 0xff) return (v6[1] & 0x0f) == 1 || (v6[1] & 0x0f) == 2;
  return v6[0] == 0xfe && (v6[1] & 0xc0) == 0x80;
}

int use_interface_of(int fd, const address& scoped) noexcept {
  if (scoped.scope_id() == 0) return 0;
  if (!is_interface(fd, scoped.scope_id())) return ENODEV;
  const int wanted = static_cast<int>(scoped.scope_id());
  int used = 0;
  socklen_t size = sizeof used;
  if (system::getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &used, &size) == 0 && used != 0)
    return used == wanted ? 0 : EINVAL;
  // Only for these the system uses the scope id itself. An older system allows the option below to
  // privileged processes only.
  if (is_scoped_by_system(scoped.bytes().data())) return 0;
  return system::setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &wanted, sizeof wanted) == 0 ? 0
                                                                                           : errno;
}

}  // namespace cosock::detail
