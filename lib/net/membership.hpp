// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Which datagrams of IPv6 groups a socket receives.

#include <cosock/address.hpp>

#include <vector>

namespace cosock::detail {

/// The IPv6 groups that a socket joined, and the interfaces on which it did. Linux delivers such a
/// group from every interface on which anybody on this machine has joined it; the socket's filter
/// (SO_ATTACH_FILTER, socket(7)) discards what is not for this socket. IPv4 needs none of that.
/// Used by udp_socket; does not join, and does not own the descriptor.
class memberships {
 public:
  /// Before the group is joined; 0: on an interface that the system finds, so that none is refused.
  /// Does nothing on a socket for which the program has a filter of its own.
  void add(int fd, const address& group, unsigned interface);
  /// Takes back the last add().
  void undo(int fd) noexcept;
  /// After the group was left, `all`: whatever it was joined for, not one of its senders only.
  void remove(int fd, const address& group, unsigned interface, bool all) noexcept;
  /// Before somebody else gets the descriptor.
  void clear(int fd) noexcept;

 private:
  struct membership {
    address::v6_bytes group;
    unsigned interface;
    unsigned master;  // a device that its datagrams show instead (VRF), or 0
  };
  void attach(int fd) noexcept;
  std::vector<membership> all_;
};

}  // namespace cosock::detail
