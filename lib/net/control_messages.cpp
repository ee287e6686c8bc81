// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Reads and writes control messages (cmsg(3)). It owns nothing, except descriptors that a peer has
// passed, which it closes.

#include "net/control_messages.hpp"

#include "net/sockaddr.hpp"

#include <netinet/udp.h>
#include <unistd.h>

#include <climits>

namespace cosock::detail {

namespace {

template <class T>
T data_of(const cmsghdr& c) noexcept {
  T value;
  std::memcpy(&value, CMSG_DATA(&c), sizeof value);
  return value;
}

void read_ip(const cmsghdr& c, packet_info& into) noexcept {
  switch (c.cmsg_type) {
    case IP_PKTINFO: {
      const auto info = data_of<in_pktinfo>(c);
      into.local = to_address(info.ipi_addr);
      into.interface_index = static_cast<unsigned>(info.ipi_ifindex);
      break;
    }
    case IP_TOS: into.traffic_class = data_of<unsigned char>(c); break;
    case IP_TTL: into.hops = data_of<int>(c); break;
  }
}

void read_ipv6(const cmsghdr& c, packet_info& into) noexcept {
  switch (c.cmsg_type) {
    case IPV6_PKTINFO: {
      const auto info = data_of<in6_pktinfo>(c);
      const bool here_only = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr);
      into.local = to_address(info.ipi6_addr, here_only ? info.ipi6_ifindex : 0);
      into.interface_index = info.ipi6_ifindex;
      break;
    }
    case IPV6_TCLASS: into.traffic_class = data_of<int>(c); break;
    case IPV6_HOPLIMIT: into.hops = data_of<int>(c); break;
  }
}

void read_socket(const cmsghdr& c, packet_info& into) noexcept {
  if (c.cmsg_type == SCM_TIMESTAMPNS) {
    const auto at = data_of<timespec>(c);
    into.arrival_time = std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec)));
  } else if (c.cmsg_type == SO_RXQ_OVFL) {
    into.dropped = data_of<std::uint32_t>(c);
  } else if (c.cmsg_type == SCM_CREDENTIALS) {
    const auto sender = data_of<ucred>(c);
    into.credentials = {sender.pid, sender.uid, sender.gid};
  }
}

/// A message with these control messages.
msghdr with_control(const void* control, std::size_t size) noexcept {
  msghdr all = {};
  all.msg_control = const_cast<void*>(control);
  all.msg_controllen = size;
  return all;
}

template <class F>
void each_control(const void* data, std::size_t size, F f) noexcept {
  msghdr all = with_control(data, size);
  for (cmsghdr* c = CMSG_FIRSTHDR(&all); c; c = CMSG_NXTHDR(&all, c)) f(*c);
}

}  // namespace

void read_packet_info(const void* control, std::size_t size, packet_info& into) noexcept {
  into = {};
  each_control(control, size, [&](const cmsghdr& c) {
    if (c.cmsg_level == IPPROTO_IP)
      read_ip(c, into);
    else if (c.cmsg_level == IPPROTO_IPV6)
      read_ipv6(c, into);
    else if (c.cmsg_level == SOL_SOCKET)
      read_socket(c, into);
  });
}

std::size_t read_segment_size(const void* control, std::size_t size) noexcept {
  int segment = 0;
  each_control(control, size, [&](const cmsghdr& c) {
    if (c.cmsg_level == SOL_UDP && c.cmsg_type == UDP_GRO) segment = data_of<int>(c);
  });
  return static_cast<std::size_t>(segment);
}

void close_passed(const void* control, std::size_t size) noexcept {
  for_each_passed(with_control(control, size), [](int, int fd) { ::close(fd); });
}

std::uint32_t scope_of(const void* name, unsigned size) noexcept {
  if (size != sizeof(sockaddr_in6)) return 0;
  const auto& v6 = *static_cast<const sockaddr_in6*>(name);
  return v6.sin6_family == AF_INET6 ? v6.sin6_scope_id : 0;
}

std::uint32_t interface_named_by(const void* destination, unsigned size) noexcept {
  const std::uint32_t scope = scope_of(destination, size);
  if (scope == 0) return 0;
  const auto& v6 = *static_cast<const sockaddr_in6*>(destination);
  return is_scoped_by_system(v6.sin6_addr.s6_addr) ? 0 : scope;
}

bool is_v4(int fd, const void* name, unsigned size) noexcept {
  sockaddr_storage peer;
  if (size == 0) {
    socklen_t room = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &room) != 0) return false;
    name = &peer;
    size = room;
  }
  endpoint e;
  decode_endpoint(name, size, e);
  return e.address().unmapped().is_v4();
}

void add_traffic_class(msghdr& message, int value, bool v4_destination) noexcept {
  if (value < 0) value = INT_MAX;  // refused; IPv6 would take -1 for the default
  if (v4_destination)
    add_control(message, IPPROTO_IP, IP_TOS, value);
  else
    add_control(message, IPPROTO_IPV6, IPV6_TCLASS, value);
}

void add_source(msghdr& message, int family, const packet_info& source,
                std::uint32_t destination_interface, bool v4_destination) noexcept {
  address local = source.local.unmapped();
  std::uint32_t interface = destination_interface;
  if (interface == 0) interface = source.interface_index;
  if (interface == 0) interface = local.scope_id();
  const bool fits = local.is_v4() ? v4_destination : family == AF_INET6 && !v4_destination;
  constexpr address::v4_bytes all = {255, 255, 255, 255};
  if (!fits || local.is_any() || local.is_multicast() || local == address(all)) {
    if (interface == 0) return;
    local = v4_destination ? address::any_v4() : address::any_v6();
  }
  const endpoint source_endpoint(local, 0);
  name_buffer name;
  encode_endpoint(source_endpoint, name.bytes, family == AF_INET6);
  if (family == AF_INET6) {
    in6_pktinfo info = {};
    info.ipi6_addr = reinterpret_cast<const sockaddr_in6*>(name.bytes)->sin6_addr;
    info.ipi6_ifindex = interface;
    add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info = {};
    info.ipi_spec_dst = reinterpret_cast<const sockaddr_in*>(name.bytes)->sin_addr;
    info.ipi_ifindex = static_cast<int>(interface);
    add_control(message, IPPROTO_IP, IP_PKTINFO, info);
  }
}

}  // namespace cosock::detail
