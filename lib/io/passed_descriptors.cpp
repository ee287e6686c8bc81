// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Receiving bytes together with descriptors, for a reader. Called through io_object. The descriptors
// belong to the reader from then on.
//
// A receive on a local stream joins the bytes of several sends. It ends behind those of the first send
// that passed descriptors, and does not say where they began. So a receive that may bring descriptors
// takes no byte behind the current item: then they belong to that item, because the items before were
// received without them.

#include "io/passed_descriptors.hpp"

#include "core/standard_numbers.hpp"
#include "io/descriptor.hpp"

#include <algorithm>
#include <cerrno>

namespace cosock::detail {

namespace {

constexpr std::size_t max_passed = 253;  // SCM_MAX_FD, of one send

}  // namespace

bool passed_descriptors::reserve() noexcept {
  const std::size_t room = held_.size() < max_count_ ? max_count_ - held_.size() : 0;
  try {
    held_.reserve(held_.size() + std::min(room, max_passed));
    return true;
  } catch (...) {
    return false;
  }
}

void passed_descriptors::add(msghdr& message) noexcept {
  const std::size_t before = held_.size();
  if ((message.msg_flags & MSG_CTRUNC) != 0) lost_ = system_failure(EMFILE);
  for_each_passed(message, [&](int type, int fd) {
    auto owner = unique_descriptor::adopt(above_standard(fd));
    if (type != SCM_RIGHTS) return;
    if (!owner.is_open())  // no number above the standard ones was free
      lost_ = system_failure(EMFILE);
    else if (held_.size() < max_count_)
      held_.push_back({next_, std::move(owner)});  // into memory reserved before
    else if (!lost_)
      lost_ = own_failure(error::too_many_descriptors);
  });
  if (lost_) held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(before), held_.end());
}

void passed_descriptors::shift(std::size_t bytes) noexcept {
  for (entry& each : held_) each.position -= static_cast<std::ptrdiff_t>(bytes);
}

std::vector<unique_descriptor> passed_descriptors::take(std::ptrdiff_t end, std::size_t max_count) {
  const auto last = std::find_if(held_.begin(), held_.end(),
                                 [end](const entry& each) { return each.position >= end; });
  const std::size_t count = std::min(static_cast<std::size_t>(last - held_.begin()), max_count);
  std::vector<unique_descriptor> taken;
  taken.reserve(count);
  for (std::size_t i = 0; i != count; ++i) taken.push_back(std::move(held_[i].owner));
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
  return taken;
}

step descriptor::transfer_with_descriptors(stream_operation& op, passed_descriptors& passed) {
  if (kind_ != fd_kind::local && kind_ != fd_kind::messages) return transfer(op);
  expect_descriptors();
  do {
    if (const failure why = passed.lost()) return op.failed(why);
    bool with_descriptors = true;
    bool end = false;
    ssize_t n = 0;
    std::size_t room = std::min(op.left(), max_bytes);
    if (kind_ == fd_kind::local) {
      n = peek(op.data(), std::min(room, passed.look_ahead()), with_descriptors);
      if (n > 0) {
        room = static_cast<std::size_t>(n);
        if (with_descriptors) room = passed.bytes_of_item(op, room);
        if (room == 0) return step::done;
      }
      end = n == 0;
    }
    if (n >= 0 && !end) {
      if (with_descriptors && !passed.reserve()) return op.failed(system_failure(ENOMEM));
      n = receive_passed(op.data(), room, with_descriptors, passed, end);
    }
    if (n < 0) {
      // A `continue` takes 1 of the budget, too: no endless loop.
      if (errno == EINTR || (kind_ == fd_kind::messages && loses_connection(errno))) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return op.failed(lost(errno));
      maybe_ready[reading] = false;
      return step::pending;
    }
    if (end && broken_) return op.failed(system_failure(broken_));
    if (end) input_ended = true;
    maybe_ready[reading] = true;
    const auto length = static_cast<std::size_t>(n);
    count_bytes(reading, length);
    // The stream ends in front of an item whose descriptors are lost.
    if (const failure why = passed.lost()) return op.failed(why);
    if (length > room) {
      op.moved(room);
      return op.failed(own_failure(error::message_truncated));
    }
    // An empty message is skipped; its descriptors belong to the next one.
    if ((length != 0 || end) && op.moved(length) == step::done) return step::done;
  } while (--loop->budget > 0);
  return step::pending;
}

/// Reads bytes that stay in the socket. `with_descriptors`: descriptors wait there, perhaps behind
/// these bytes. The system says so by MSG_CTRUNC, since there is no room for them here; it does that
/// for credentials too, which costs calls, but is never wrong.
ssize_t descriptor::peek(void* into, std::size_t size, bool& with_descriptors) noexcept {
  iovec piece = {into, size};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const ssize_t n = ::recvmsg(fd_, &message, MSG_PEEK | MSG_DONTWAIT);
  with_descriptors = n > 0 && (message.msg_flags & MSG_CTRUNC) != 0;
  return n;
}

/// Receives bytes or a message, and the descriptors that come along. Without room for them they are
/// lost, if there are any.
ssize_t descriptor::receive_passed(void* into, std::size_t size, bool with_descriptors,
                                   passed_descriptors& passed, bool& end) noexcept {
  // Room for all descriptors of one send, a time stamp and credentials.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_passed) + 256];
  iovec piece = {into, size};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (with_descriptors) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
  const ssize_t n = take_message(message, kind_ == fd_kind::messages ? MSG_TRUNC : 0, end);
  if (n >= 0) {
    passed.add(message);
    passed.received(static_cast<std::size_t>(n), with_descriptors);
  }
  return n;
}

}  // namespace cosock::detail
