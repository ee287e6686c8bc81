// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace cosock::detail {

/// The kind of a descriptor. It decides which system calls move bytes, and what an event proves.
/// The order matters: kinds are compared with `<` and `>=`.
enum class fd_kind : unsigned char {
  tcp,        // recvmsg reports how much is left (TCP_INQ), which saves the call that would block
  local,      // a local stream socket: the same from Linux 6.17 on (SO_INQ)
  socket,     // a listening TCP socket
  messages,   // a SOCK_SEQPACKET socket: each send is a message
  simulated,  // a stream socket of a simulated network: no system call moves its bytes
  datagrams,  // any socket that moves datagrams
  file,       // a regular file: always ready, never waits
  other,      // a pipe, an event, a socket that others share: see access
  terminal,   // the same, with the rules of terminals
};

/// How bytes move through a descriptor that other processes may share, without blocking the loop.
/// The library does not set O_NONBLOCK on it: that flag belongs to the open file description, so
/// the other processes would see it.
enum class access : unsigned char {
  non_blocking,  // the open file description is in non-blocking mode
  message,       // a socket: MSG_DONTWAIT
  no_wait,       // RWF_NOWAIT, unless the system refuses it
  thread,        // a thread of the pool blocks
};

}  // namespace cosock::detail
