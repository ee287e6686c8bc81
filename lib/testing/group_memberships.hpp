// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The multicast groups that a simulated UDP socket has joined, as ip(7) and ipv6(7) describe them. A part
// of the socket, which tells its host.

#include "testing/packet.hpp"

#include <vector>

namespace cosock::testing::detail {

/// The functions return 0 or a negative errno.
class group_memberships {
 public:
  int join(const ip_bytes& group);
  int leave(const ip_bytes& group) noexcept;
  /// For the datagrams of one sender.
  int join(const ip_bytes& group, const ip_bytes& sender);
  int leave(const ip_bytes& group, const ip_bytes& sender);
  void clear() noexcept { all_.clear(); }

  bool contains(const ip_bytes& group) const noexcept;
  /// Whether datagrams of this sender to this group are wanted; `others`: of a group that it has not
  /// joined.
  bool wants(const ip_bytes& group, const ip_bytes& sender, bool others) const noexcept;

 private:
  struct membership {
    ip_bytes group;
    bool only_listed;  // the datagrams of these senders; false: of all
    std::vector<ip_bytes> senders;
  };
  std::vector<membership> all_;
};

}  // namespace cosock::testing::detail
