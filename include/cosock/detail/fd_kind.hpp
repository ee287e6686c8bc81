// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace cosock::detail {

/// What a descriptor is: it decides how bytes move, and how much readiness tells.
enum class fd_kind : unsigned char {
  tcp,        // recvmsg tells what is left (TCP_INQ), so that no call has to find out
  socket,     // any other socket that is a stream
  messages,   // a SOCK_SEQPACKET socket: each send is a message
  datagrams,  // any socket that moves datagrams
  file,       // a regular file: always ready, never waits
  other,      // a pipe, an event, a socket that others share: see access
  terminal,   // the same, with the rules of terminals
};

/// How bytes move, without blocking the loop, through a descriptor that other processes may share.
/// Its flags are left alone.
enum class access : unsigned char {
  non_blocking,  // the open file description is in non-blocking mode
  message,       // a socket: MSG_DONTWAIT
  no_wait,       // RWF_NOWAIT, unless the system refuses it
  thread,        // a thread of the pool blocks
};

}  // namespace cosock::detail
