// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Receives that also report how many bytes are left in the socket, which saves the call that would find
// nothing. Called by descriptor::receive().

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>

namespace cosock::detail {

#ifdef SO_INQ
inline constexpr int local_inq = SO_INQ;
#elif defined(__sparc__) || defined(__hppa__)
inline constexpr int local_inq = -1;  // these have numbers of their own: only the headers know them
#else
inline constexpr int local_inq = 84;  // of Linux 6.17, newer than most headers
#endif

/// Whether receive_counted_local() can be used with SO_INQ.
bool has_local_inq() noexcept;

/// recvmsg with TCP_INQ: sets `left` to the number of bytes that remain in the socket, or to 1 if
/// the end of the stream has arrived behind them. Without that message `left` stays unchanged.
inline ssize_t receive_counted(int fd, iovec* pieces, std::size_t count, int& left) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message;  // members one by one: not worth clearing the padding in each receive
  message.msg_name = nullptr;
  message.msg_namelen = 0;
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  message.msg_flags = 0;
  const ssize_t n = ::recvmsg(fd, &message, MSG_DONTWAIT);
  const auto* header = reinterpret_cast<const cmsghdr*>(control);
  if (n > 0 && message.msg_controllen >= sizeof control && header->cmsg_type == TCP_CM_INQ &&
      header->cmsg_level == IPPROTO_TCP)
    std::memcpy(&left, CMSG_DATA(header), sizeof left);
  return n;
}

/// The same for a local socket with SO_INQ, which does not count the end of the stream. There is room for
/// three bytes of the number, without the highest byte. With room for four, the system would install a descriptor
/// that the peer has passed, and closing it has effects that discarding it does not have: it releases the
/// locks of this process on that file, and may wait.
inline ssize_t receive_counted_local(int fd, iovec* pieces, std::size_t count, int& left) noexcept {
  constexpr std::size_t bytes = 3;
  alignas(cmsghdr) char control[CMSG_LEN(bytes)];
  msghdr message = {};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = ::recvmsg(fd, &message, MSG_DONTWAIT);
  const cmsghdr* const header = n > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == local_inq) {
    left = 0;
    std::memcpy(&left, CMSG_DATA(header), bytes);
  }
  return n;
}

}  // namespace cosock::detail
