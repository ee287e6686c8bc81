// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Builds the messages of one sendmmsg(2). It refers to the datagrams of the program, and copies
// none. Called by datagram_descriptor.

#include "net/outgoing_messages.hpp"

#include <netinet/udp.h>

#include <algorithm>

namespace cosock::detail {

namespace {

constexpr std::size_t max_segments = 64;         // in a message: the limit of older kernels
constexpr std::size_t max_joined_bytes = 65000;  // in a message, with room for headers

/// Whether two elements of a list are equal in the member at this offset.
template <class T>
bool have_same(std::size_t offset, const char* a, const char* b) noexcept {
  return *reinterpret_cast<const T*>(a + offset) == *reinterpret_cast<const T*>(b + offset);
}

}  // namespace

outgoing_messages::outgoing_messages(const outgoing_list& list, const sockaddr_codec* codec,
                                     const datagram_traits& socket, int fd) noexcept
    : list_(list), codec_(codec), socket_(socket), fd_(fd) {
  if (!list.peer_at && list.peer)
    shared_size_ = codec->encode(list.peer, shared_name_.bytes, socket.family == AF_INET6);
}

void outgoing_messages::fill(std::size_t first) noexcept {
  const std::size_t all = list_.count;
  count_ = used_pieces_ = 0;
  while (first != all && count_ != max_messages_sent && used_pieces_ != max_message_pieces)
    first = add(first);
}

/// One message that starts with datagram `i`, and carries it and those that follow it. Returns the
/// next one.
std::size_t outgoing_messages::add(std::size_t i) noexcept {
  const packet_info* const source = list_.source(i);
  const std::size_t first = i;
  const std::size_t size = list_.data(i).size();
  msghdr& m = headers_[count_].msg_hdr;
  m.msg_flags = 0;
  m.msg_iov = pieces_ + used_pieces_;
  m.msg_control = controls_[count_];
  m.msg_controllen = 0;
  set_destination(m, i);
  pieces_[used_pieces_++] = {const_cast<void*>(list_.data(i).data()), size};
  ++i;
  if (size != 0 && size < socket_.gso_size_limit)
    i = list_.peer_at ? join<true>(first, size) : join<false>(first, size);
  m.msg_iovlen = static_cast<std::size_t>(pieces_ + used_pieces_ - m.msg_iov);
  const std::uint32_t destination_interface =
      socket_.family == AF_INET6 ? interface_named_by(m.msg_name, m.msg_namelen) : 0;
  const std::optional<int> traffic_class = list_.traffic_class(first);
  if ((source || destination_interface || traffic_class) && socket_.family != AF_UNIX) {
    const bool v4 = socket_.family == AF_INET || is_v4(fd_, m.msg_name, m.msg_namelen);
    if (source || destination_interface)
      add_source(m, socket_.family, source ? *source : packet_info(), destination_interface, v4);
    if (traffic_class) add_traffic_class(m, *traffic_class, v4);
  }
  datagrams_[count_] = static_cast<unsigned>(i - first);
  segments_[count_] = size;
  if (i - first > 1) add_control(m, SOL_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(size));
  if (m.msg_controllen == 0) m.msg_control = nullptr;
  ++count_;
  return i;
}

void outgoing_messages::set_destination(msghdr& m, std::size_t i) noexcept {
  if (list_.peer_at) {
    m.msg_name = names_[count_].bytes;
    m.msg_namelen =
        codec_->encode(list_.destination(i), names_[count_].bytes, socket_.family == AF_INET6);
  } else {
    m.msg_name = shared_size_ ? shared_name_.bytes : nullptr;
    m.msg_namelen = shared_size_;
  }
}

/// Joins the datagrams behind `first` that are of its size, and a last one that may be shorter. Returns
/// the next one. `Differ`: they may have different destinations, sources or traffic classes.
template <bool Differ>
std::size_t outgoing_messages::join(std::size_t first, std::size_t size) noexcept {
  const char* const first_item = list_.first + first * list_.stride;
  const std::size_t max_pieces =
      std::min({list_.count - first, max_segments, max_joined_bytes / size});
  iovec* piece = pieces_ + used_pieces_ - 1;
  const char* end = static_cast<const char*>(piece->iov_base) + size;
  const char* item = first_item;
  std::size_t last = size;
  std::size_t i = first + 1;
  for (; i < first + max_pieces && last == size; ++i) {
    item += list_.stride;
    const const_buffer& data = *reinterpret_cast<const const_buffer*>(item);
    last = data.size();
    if (last - 1 >= size) break;  // larger, or empty: 0 - 1 is the largest size
    if (Differ && !is_sent_alike(first_item, item)) break;
    const char* const begin = static_cast<const char*>(data.data());
    if (begin != end) {  // otherwise it extends the piece before it
      if (used_pieces_ == max_message_pieces) break;
      piece->iov_len = static_cast<std::size_t>(end - static_cast<const char*>(piece->iov_base));
      piece = pieces_ + used_pieces_++;
      piece->iov_base = const_cast<char*>(begin);
    }
    end = begin + last;
  }
  piece->iov_len = static_cast<std::size_t>(end - static_cast<const char*>(piece->iov_base));
  return i;
}

/// Whether two datagrams of the list have the same destination, source and traffic class.
bool outgoing_messages::is_sent_alike(const char* a, const char* b) const noexcept {
  return have_same<const packet_info*>(list_.info_at, a, b) &&
         have_same<std::optional<int>>(list_.class_at, a, b) &&
         have_same<endpoint>(list_.peer_at, a, b);
}

}  // namespace cosock::detail
