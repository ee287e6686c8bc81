// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The datagrams of a batch on their way to sendmmsg(2). Datagrams that the system can split again
// (UDP_SEGMENT) are joined. Used by datagram_descriptor.

#include <cosock/datagram.hpp>

#include "net/control_messages.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <climits>
#include <limits>

namespace cosock::detail {

/// Messages in one sendmmsg: more would gain nothing.
inline constexpr std::size_t max_messages_sent = 64;
/// Pieces of memory in one system call: its limit.
inline constexpr std::size_t max_message_pieces = IOV_MAX;

/// The properties of a socket on which its datagrams depend.
struct datagram_traits {
  int family = AF_INET;
  /// Datagrams from this size on are not left to the system to split: it has refused.
  std::size_t gso_size_limit = std::numeric_limits<std::size_t>::max();
};

/// The messages of one sendmmsg: as many datagrams of a list as it carries.
class outgoing_messages {
 public:
  /// All of them outlive this. The codec is that of the list's endpoints; null without any. `fd`: the
  /// socket, for the family of its peer.
  outgoing_messages(const outgoing_list& list, const sockaddr_codec* codec,
                    const datagram_traits& socket, int fd) noexcept;

  /// Takes datagrams from this one on.
  void fill(std::size_t first) noexcept;

  std::size_t count() const noexcept { return count_; }
  mmsghdr* headers() noexcept { return headers_; }
  /// How many datagrams a message carries.
  unsigned datagrams(std::size_t message) const noexcept { return datagrams_[message]; }
  /// The size of each of them but the last, which may be shorter.
  std::size_t segment(std::size_t message) const noexcept { return segments_[message]; }

 private:
  std::size_t add(std::size_t i) noexcept;
  void set_destination(msghdr& m, std::size_t i) noexcept;
  template <bool Differ>
  std::size_t join(std::size_t first, std::size_t size) noexcept;
  bool is_sent_alike(const char* a, const char* b) const noexcept;

  const outgoing_list& list_;
  const sockaddr_codec* codec_;
  const datagram_traits& socket_;
  int fd_;
  std::size_t count_ = 0;
  std::size_t used_pieces_ = 0;
  name_buffer shared_name_;
  unsigned shared_size_ = 0;
  mmsghdr headers_[max_messages_sent];
  unsigned datagrams_[max_messages_sent];
  std::size_t segments_[max_messages_sent];
  name_buffer names_[max_messages_sent];
  alignas(cmsghdr) char controls_[max_messages_sent][max_sent_control];
  iovec pieces_[max_message_pieces];
};

}  // namespace cosock::detail
