// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The control messages of datagrams (cmsg(3)): information about a received datagram, and the
// source of a sent one. Used by datagram_descriptor and for descriptor passing.

#include <cosock/datagram.hpp>

#include "io/passed_descriptors.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>

namespace cosock::detail {

/// Any socket address; smaller than sockaddr_storage, which matters for a batch of them.
struct alignas(8) name_buffer {
  char bytes[112];
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(bytes); }
};

/// Room for every control message that the library asks for.
struct alignas(cmsghdr) control_buffer {
  char bytes[256];
};

/// Room for those that the library sends: a source, a traffic class and the size of joined datagrams.
inline constexpr std::size_t max_sent_control =
    CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint16_t));

/// What the control messages of a received datagram say.
void read_packet_info(const void* control, std::size_t size, packet_info& into) noexcept;
/// The size of the datagrams that the system has joined (UDP_GRO), or 0 if it has joined none.
std::size_t read_segment_size(const void* control, std::size_t size) noexcept;

/// Closes the descriptors that came with a datagram: a peer on this machine may send some unasked, and
/// they are this process's from then on.
void close_passed(const void* control, std::size_t size) noexcept;

/// Appends one control message. There is room for it.
template <class T>
void add_control(msghdr& message, int level, int type, const T& value) noexcept {
  auto* c =
      reinterpret_cast<cmsghdr*>(static_cast<char*>(message.msg_control) + message.msg_controllen);
  std::memset(c, 0, CMSG_SPACE(sizeof value));
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(c), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

/// Appends the source address and the interface to send over. An address that cannot be a source, a
/// multicast or broadcast address, counts as not set. `destination_interface`: the interface that the
/// destination names, which has precedence over that of `source`; 0: none. `v4_destination`: the
/// destination is IPv4.
void add_source(msghdr& message, int family, const packet_info& source,
                std::uint32_t destination_interface, bool v4_destination) noexcept;

/// Appends the TOS or traffic class byte. An IPv6 socket that sends to an IPv4 destination needs that
/// of IPv4.
void add_traffic_class(msghdr& message, int value, bool v4_destination) noexcept;

/// The scope id of a socket address; 0: none.
std::uint32_t scope_of(const void* name, unsigned size) noexcept;
/// The interface that a destination names where the system ignores its scope id; 0: none.
std::uint32_t interface_named_by(const void* destination, unsigned size) noexcept;
/// Whether a socket address, or for size 0 the peer of a connected socket, is IPv4.
bool is_v4(int fd, const void* name, unsigned size) noexcept;

}  // namespace cosock::detail
