// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The part of `descriptor` for sequenced packets: sockets whose sends are messages. Called by
// descriptor::transfer, and by the operations that receive single messages and descriptors.

#include "io/descriptor.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace cosock::detail {

namespace {

constexpr std::size_t max_pieces = 1024;  // of a message: UIO_MAXIOV

}  // namespace

/// A time stamp comes with every message, but not with the end of the stream: so it tells an empty
/// message from the end. Other processes that receive from the same socket would get it too,
/// perhaps in the room for a passed descriptor, so it is not set on a shared socket.
void descriptor::ask_for_stamps() noexcept {
  asked_for_stamps_ = true;
  if (shared_)
    has_stamps_ = is_on(SOL_SOCKET, SO_TIMESTAMPNS) || is_on(SOL_SOCKET, SO_TIMESTAMP);
  else
    has_stamps_ = own_stamps_ = set_on(SOL_SOCKET, SO_TIMESTAMPNS, true);
}

ssize_t descriptor::take_message(iovec* pieces, std::size_t count, bool& end) noexcept {
  msghdr message = {};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  return take_message(message, MSG_TRUNC, end);
}

ssize_t descriptor::take_message(msghdr& message, int flags, bool& end) noexcept {
  end = false;
  if (kind_ == fd_kind::messages) {
    if (is_simulated(fd_)) return receive_simulated(message, flags, end);
    if (!asked_for_stamps_) ask_for_stamps();
  }
  bool has_stamp = has_stamps_;
  bool stamps_once = false;
  if (kind_ == fd_kind::messages && !has_stamps_) {
    pollfd asked = {fd_, POLLIN | POLLRDHUP, 0};
    if (::poll(&asked, 1, 0) == 0) {
      errno = EAGAIN;
      return -1;
    }
    // There is a message, unless the peer has ended the stream. After that only a time stamp tells
    // a message from the end: it is set for this call only, because the socket is shared.
    if ((asked.revents & (POLLRDHUP | POLLHUP)) != 0)
      has_stamp = stamps_once = set_on(SOL_SOCKET, SO_TIMESTAMPNS, true);
  }
  // Room for the time stamp, which comes first, and for nothing else: the system closes descriptors
  // that were passed and have no room.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(timespec))];
  if (!message.msg_control && has_stamp) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
  const ssize_t n = ::recvmsg(fd_, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n == 0 && has_stamp) end = message.msg_controllen < sizeof(cmsghdr);
  if (stamps_once) {
    const int error = errno;
    set_on(SOL_SOCKET, SO_TIMESTAMPNS, false);
    errno = error;
  }
  return n;
}

/// For receive(), which skips empty messages: so it need not tell one from the end at once, and needs
/// no time stamps. A later call returns the end again.
ssize_t descriptor::take_bytes(iovec* pieces, std::size_t count, bool& end) noexcept {
  if (count == 1 && !is_simulated(fd_)) [[likely]] {
    const ssize_t n = ::recv(fd_, pieces->iov_base, pieces->iov_len, MSG_TRUNC | MSG_DONTWAIT);
    if (n != 0 || poll_now(fd_, POLLRDHUP) == 0) return n;
  }
  return take_message(pieces, count, end);
}

step descriptor::receive_messages(stream_operation& op) {
  do {
    iovec pieces[max_pieces];
    std::size_t count = 1;
    if (op.contiguous())
      pieces[0] = {op.data(), op.left()};
    else
      count = op.pieces(reinterpret_cast<piece*>(pieces), max_pieces);
    std::size_t room = 0;
    for (std::size_t i = 0; i != count; ++i) room += pieces[i].iov_len;
    bool end = false;
    const ssize_t n = take_bytes(pieces, count, end);
    if (n < 0) {
      // A `continue` takes 1 of the budget, too: no endless loop.
      if (errno == EINTR || loses_connection(errno)) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return op.failed(lost(errno));
      maybe_ready[reading] = false;
      return step::pending;
    }
    if (end && broken_) return op.failed(system_failure(broken_));
    maybe_ready[reading] = true;  // a received message proves nothing about the next one
    const auto length = static_cast<std::size_t>(n);
    count_bytes(reading, length);
    if (length > room) {
      op.moved(room);
      return op.failed(own_failure(error::message_truncated));
    }
    if (end) input_ended = true;
    // An empty message is skipped: receive() of a byte stream returns 0 only at the end.
    if ((length != 0 || end) && op.moved(length) == step::done) return step::done;
  } while (--loop->budget > 0);
  return step::pending;
}

step descriptor::send_message(stream_operation& op) {
  if (broken_) return op.failed(system_failure(broken_));
  for (;;) {
    // One more than the system takes: it refuses a message with too many pieces, where a message
    // that is cut here would be sent as if it were whole.
    iovec pieces[max_pieces + 1];
    msghdr message = {};
    message.msg_iov = pieces;
    message.msg_iovlen = 1;
    if (op.contiguous())
      pieces[0] = {op.data(), op.left()};
    else
      message.msg_iovlen = op.pieces(reinterpret_cast<piece*>(pieces), max_pieces + 1);
    constexpr int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t n = op.contiguous() ? ::send(fd_, op.data(), op.left(), flags)
                                : ::sendmsg(fd_, &message, flags);
    if (n < 0 && is_simulated(fd_)) n = simulation().sendmsg(fd_, &message, 0);
    if (n >= 0) {
      count_bytes(writing, static_cast<std::size_t>(n));
      return op.moved(static_cast<std::size_t>(n));
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return op.failed(lost(errno));
    maybe_ready[writing] = false;
    return step::pending;
  }
}

}  // namespace cosock::detail
