// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The part of `descriptor` that reads bytes without taking them: what a connection begins with decides
// who gets them. Called by the PROXY protocol.

#include "io/descriptor.hpp"

namespace cosock::detail {

ssize_t descriptor::look(void* into, std::size_t size) noexcept {
  iovec one = {into, size};
  msghdr message = {};
  message.msg_iov = &one;
  message.msg_iovlen = 1;
  ssize_t n;
  do {
    n = is_simulated(fd_) ? simulation().recvmsg(fd_, &message, MSG_PEEK)
                          : ::recvmsg(fd_, &message, MSG_PEEK | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  maybe_ready[reading] = n >= 0 || errno != EAGAIN;
  return n;
}

}  // namespace cosock::detail
