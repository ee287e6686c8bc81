// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace cosock::detail {

/// What a descriptor is: it decides how bytes move, and how much readiness tells.
enum class medium : unsigned char {
  tcp,       // recvmsg tells what is left (TCP_INQ), so that no call has to find out
  socket,    // any other socket that is a stream
  messages,  // a SOCK_SEQPACKET socket: each send is a message
  datagrams, // any socket that moves datagrams
  other,     // a pipe, a terminal: read and write
  file,      // a regular file: always ready, never waits
};

}  // namespace cosock::detail
