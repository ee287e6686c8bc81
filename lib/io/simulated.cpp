// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The part of `descriptor` for sockets of a simulated network. The same rules as for those of the
// system, without its counts of what is left: a receive that finds the socket empty costs nothing.

#include "io/descriptor.hpp"

#include <algorithm>

namespace cosock::detail {

namespace {

constexpr std::size_t max_pieces = 64;

/// The pieces of the operation, cut at descriptor::max_bytes.
msghdr message_of(const stream_operation& op, iovec (&pieces)[max_pieces]) {
  msghdr message = {};
  message.msg_iov = pieces;
  if (op.contiguous()) {
    pieces[0] = {op.data(), std::min(op.left(), descriptor::max_bytes)};
    message.msg_iovlen = 1;
    return message;
  }
  message.msg_iovlen = op.pieces(reinterpret_cast<piece*>(pieces), max_pieces);
  std::size_t room = descriptor::max_bytes;
  for (std::size_t i = 0; i != message.msg_iovlen; ++i) {
    if (pieces[i].iov_len >= room) {
      pieces[i].iov_len = room;
      message.msg_iovlen = i + 1;
      break;
    }
    room -= pieces[i].iov_len;
  }
  return message;
}

}  // namespace

step descriptor::transfer_simulated(stream_operation& op) {
  const io_direction direction = op.direction();
  if (direction == writing && broken_) return op.failed(system_failure(broken_));
  for (;;) {
    iovec pieces[max_pieces];
    msghdr message = message_of(op, pieces);
    const ssize_t n = direction == reading ? simulation().recvmsg(fd_, &message, 0)
                                           : simulation().sendmsg(fd_, &message, 0);
    if (n < 0) {
      if (errno != EAGAIN) return op.failed(lost(errno));
      maybe_ready[direction] = false;
      return step::pending;
    }
    if (n == 0 && direction == reading && broken_) return op.failed(system_failure(broken_));
    maybe_ready[direction] = true;
    if (n == 0 && direction == reading) {
      input_ended = true;
      return op.moved(0);
    }
    count_bytes(direction, static_cast<std::size_t>(n));
    if (op.moved(static_cast<std::size_t>(n)) == step::done) return step::done;
    if (--loop->budget <= 0) return step::pending;
  }
}

/// A message of a simulated socket. MSG_EOR tells an empty one from the end.
ssize_t descriptor::receive_simulated(msghdr& message, int flags, bool& end) noexcept {
  const ssize_t n = simulation().recvmsg(fd_, &message, flags);
  if (n == 0) end = (message.msg_flags & MSG_EOR) == 0;
  return n;
}

}  // namespace cosock::detail
