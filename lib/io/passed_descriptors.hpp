// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Descriptors that a peer has passed (SCM_RIGHTS): those that a reader holds until the program takes
// them, and how they are found in a received message.

#include <cosock/detail/stream_operation.hpp>
#include <cosock/unique_descriptor.hpp>

#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace cosock::detail {

/// Calls f(type, descriptor) for each descriptor that came with a message, which belongs to this
/// process from then on, asked for or not. The type of those that the peer has passed is SCM_RIGHTS.
template <class F>
void for_each_passed(const msghdr& message, F f) noexcept {
  constexpr int passed_pidfd = 4;            // SCM_PIDFD, which old headers do not have
  auto& all = const_cast<msghdr&>(message);  // CMSG_NXTHDR takes no other
  for (cmsghdr* c = CMSG_FIRSTHDR(&all); c; c = CMSG_NXTHDR(&all, c)) {
    if (c->cmsg_level != SOL_SOCKET || (c->cmsg_type != SCM_RIGHTS && c->cmsg_type != passed_pidfd))
      continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i != count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      f(c->cmsg_type, fd);
    }
  }
}

/// The descriptors that arrived with the bytes of a reader, each with the position of its byte.
/// Positions are indexes into the buffer of the reader, negative for bytes that have left it.
class passed_descriptors {
 public:
  /// How many of the bytes that can be received belong to the item that the operation reads. 0: the
  /// operation has failed.
  virtual std::size_t bytes_of_item(stream_operation&, std::size_t available) = 0;

  /// The position of the next byte.
  void receive_at(std::ptrdiff_t position) noexcept { next_ = position; }
  /// How many bytes to look at before a receive. Few while descriptors wait behind many short items:
  /// each receive takes one item, and looking at all bytes each time would cost a multiple of them.
  std::size_t look_ahead() const noexcept { return look_ahead_; }
  void received(std::size_t bytes, bool with_descriptors) noexcept {
    look_ahead_ = with_descriptors ? 2 * bytes + 256 : SIZE_MAX;
  }
  /// Makes room for those of one message. False without memory.
  bool reserve() noexcept;
  /// Adds those of a message. If some of them are lost, closes all of them, and remembers the failure.
  void add(msghdr& message) noexcept;
  /// The failure of every receive after descriptors were lost.
  failure lost() const noexcept { return lost_; }

  /// The bytes in front of the buffer's unconsumed ones leave it.
  void shift(std::size_t bytes) noexcept;
  /// Takes the first descriptors, at most `max_count`, of those with a position before `end`.
  std::vector<unique_descriptor> take(std::ptrdiff_t end, std::size_t max_count);
  std::size_t max_count() const noexcept { return max_count_; }

 protected:
  explicit passed_descriptors(std::size_t max_count) noexcept : max_count_(max_count) {}
  passed_descriptors(const passed_descriptors&) = delete;
  passed_descriptors& operator=(const passed_descriptors&) = delete;
  ~passed_descriptors() = default;

 private:
  struct entry {
    std::ptrdiff_t position;
    unique_descriptor owner;
  };
  std::vector<entry> held_;
  std::size_t max_count_;
  std::ptrdiff_t next_ = 0;
  std::size_t look_ahead_ = SIZE_MAX;
  failure lost_;
};

}  // namespace cosock::detail
