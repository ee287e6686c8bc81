// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace cosock {

/// The credentials of a process that uses a local socket, verified by the kernel (unix(7)). They are
/// those of local_socket::peer_credentials(), or of the sender of a datagram (packet_info).
struct credentials {
  int pid = 0;       ///< the process, which may have ended since; 0 if in another PID namespace
  unsigned uid = 0;  ///< user: the effective one for a connection, the real one for a datagram
  unsigned gid = 0;  ///< group: the effective one for a connection, the real one for a datagram
  friend bool operator==(const credentials&, const credentials&) noexcept = default;
};

}  // namespace cosock
