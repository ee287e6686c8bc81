// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Passing of descriptors over local sockets (SCM_RIGHTS). A sent descriptor stays with the program;
// a received one is owned by the result.

#include <cosock/descriptors.hpp>

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "io/descriptor.hpp"
#include "net/control_messages.hpp"

#include <algorithm>
#include <cstring>

namespace cosock {

namespace detail {

namespace {

/// Takes what a message brought: everything that came is owned before anything can fail.
void take_descriptors(msghdr& message, std::size_t max_count,
                      receive_descriptors_result& into) noexcept {
  for_each_passed(message, [&](int type, int fd) {
    auto owner = unique_descriptor::adopt(above_standard(fd));
    if (type != SCM_RIGHTS) return;
    if (!owner.is_open())  // no number above the standard ones was free
      message.msg_flags |= MSG_CTRUNC;
    else if (into.descriptors.size() < max_count)
      into.descriptors.push_back(std::move(owner));  // into memory reserved before
    else
      ++into.refused;
  });
}

}  // namespace

step descriptor_send_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  if (!may_begin(target_, writing)) return complete_or_yield();
  const bool messages = static_cast<descriptor*>(target_)->kind() != fd_kind::local;
  const bool empty = data_.size() == 0 && !messages;
  if (descriptors_.size() > max_descriptors || (empty && !descriptors_.empty())) {
    failure_ = system_failure(EINVAL);
    return complete_or_yield();
  }
  return empty ? complete_or_yield() : launch(target_, writing);
}

step descriptor_send_operation::attempt() {
  auto& to = static_cast<descriptor&>(*object_);
  if ((failure_ = to.broken())) return step::done;
  const bool messages = to.kind() != fd_kind::local;
  for (;;) {
    const std::size_t left = data_.size() - moved_;
    iovec piece = {static_cast<char*>(const_cast<void*>(data_.data())) + moved_,
                   messages ? left : std::min(left, descriptor::max_bytes)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_descriptors)];
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (moved_ == 0 && !descriptors_.empty()) {  // they go with the first byte
      const std::size_t size = descriptors_.size_bytes();
      std::memset(control, 0, CMSG_SPACE(size));
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(size);
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(size);
      std::memcpy(CMSG_DATA(header), descriptors_.data(), size);
    }
    const ssize_t n = ::sendmsg(to.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        failure_ = to.lost(errno);
        return step::done;
      }
      to.maybe_ready[writing] = false;
      return step::pending;
    }
    to.count_bytes(writing, static_cast<std::size_t>(n));
    moved_ += static_cast<std::size_t>(n);
    if (moved_ == data_.size()) return step::done;
    if (--to.loop->budget <= 0) return step::pending;
  }
}

std::size_t descriptor_send_operation::result() {
  if (!failure_) return moved_;
  if (moved_ != 0) throw transfer_error(to_error_code(failure_), moved_);
  if (descriptors_.size() > max_descriptors)
    raise(failure_, "one send takes " + std::to_string(max_descriptors) +
                        " descriptors along, not " + std::to_string(descriptors_.size()));
  if (!descriptors_.empty() && data_.size() == 0)
    raise(failure_, "descriptors are sent with at least one byte");
  raise(failure_);
}

step descriptor_receive_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  if (!may_begin(target_, reading)) return complete_or_yield();
  if (into_.size() == 0 && static_cast<descriptor*>(target_)->kind() == fd_kind::local)
    return complete_or_yield();
  return launch(target_, reading);
}

step descriptor_receive_operation::attempt() {
  auto& from = static_cast<descriptor&>(*object_);
  try {
    // Before the call: descriptors that were received and cannot be stored would be lost.
    result_.descriptors.reserve(std::min(max_count_, max_descriptors));
  } catch (...) {
    failure_ = system_failure(ENOMEM);
    return step::done;
  }
  const bool messages = from.kind() != fd_kind::local;
  from.expect_descriptors();
  iovec piece = {into_.data(), into_.size()};
  // Room for all descriptors of one send, a time stamp and credentials.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_descriptors) + 256];
  msghdr message;
  ssize_t n;
  do {
    message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    n = from.take_message(message, messages ? MSG_TRUNC : 0, result_.end);
  } while (n < 0 && (errno == EINTR || from.loses_connection(errno)));
  if (n < 0) {
    from.maybe_ready[reading] = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return step::pending;
    from.maybe_ready[reading] = true;
    failure_ = from.lost(errno);
    return step::done;
  }
  from.maybe_ready[reading] = true;
  from.count_bytes(reading, static_cast<std::size_t>(n));
  take_descriptors(message, max_count_, result_);
  result_.incomplete = (message.msg_flags & MSG_CTRUNC) != 0;
  result_.length = static_cast<std::size_t>(n);
  result_.size = std::min(result_.length, into_.size());
  result_.truncated = result_.length > result_.size;
  if (n == 0 && from.kind() == fd_kind::local) result_.end = true;
  if (result_.end && !(failure_ = from.broken())) from.input_ended = true;
  return step::done;
}

}  // namespace detail
}  // namespace cosock
