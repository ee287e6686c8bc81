// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagram sockets of a simulated network. A class of its own, so that those of the system cost
// nothing more. It knows no control messages: a packet_info has nothing in it, and nothing of it is
// sent.

#include <cosock/address_range.hpp>

#include "core/failure.hpp"
#include "net/datagram_descriptor.hpp"
#include "net/sockaddr.hpp"

#include <algorithm>

namespace cosock::detail {

namespace {

class simulated_datagrams final : public datagram_descriptor {
 public:
  static simulated_datagrams* open(scheduler& loop, int fd, int family,
                                   const address_filter& filter) {
    return make<simulated_datagrams>(loop, fd, fd_kind::datagrams, false, family, filter);
  }
  simulated_datagrams(scheduler& loop, int fd, fd_kind kind, bool shared, int family,
                      const address_filter& filter) noexcept
      : datagram_descriptor(loop, fd, kind, shared, family), filter_(filter) {
    traits.gso_size_limit = 0;
  }

  step transfer_datagrams(datagram_operation& op) override {
    switch (op.requested()) {
      case datagram_operation::kind::receive: return receive_one(op);
      case datagram_operation::kind::receive_batch: return receive_batch(op);
      case datagram_operation::kind::send: return send_one(op);
      case datagram_operation::kind::send_batch: return send_batch(op);
    }
    return step::done;
  }
  bool permits(const address& a) const noexcept override { return filter_.permits(a); }

 private:
  ~simulated_datagrams() override = default;

  step ended(datagram_operation& op, int error) noexcept {
    if (error != EAGAIN) return op.failed(system_failure(error));
    maybe_ready[op.direction()] = false;
    return step::pending;
  }
  bool is_internet() const noexcept { return traits.family != AF_UNIX; }

  /// Receives one datagram from a permitted sender. Its length, or -1 with errno.
  ssize_t receive(iovec* pieces, std::size_t count, name_buffer& name, unsigned& name_size) {
    for (;;) {
      msghdr message = {&name, sizeof name, pieces, count, nullptr, 0, 0};
      const ssize_t n = simulation().recvmsg(fd(), &message, MSG_TRUNC);
      if (n < 0) return n;
      name_size = message.msg_namelen;
      if (filter_.is_empty()) return n;
      endpoint from;
      decode_endpoint(name.bytes, name_size, from);
      if (filter_.permits(from.address())) return n;
    }
  }

  step receive_one(datagram_operation& op) {
    iovec pieces[max_message_pieces + 1];
    std::size_t count = 1;
    if (op.contiguous())
      pieces[0] = {op.data(), op.size()};
    else
      count = std::min(op.pieces(reinterpret_cast<piece*>(pieces), max_message_pieces),
                       std::size_t{max_message_pieces});
    name_buffer name;
    unsigned name_size = 0;
    const ssize_t n = receive(pieces, count, name, name_size);
    if (n < 0) return ended(op, errno);
    maybe_ready[reading] = true;
    if (op.peer()) op.codec().decode(name.bytes, name_size, op.peer());
    if (op.info()) *op.info() = packet_info();
    std::size_t room = 0;
    for (std::size_t i = 0; i != count; ++i) room += pieces[i].iov_len;
    const auto length = static_cast<std::size_t>(n);
    return op.moved(std::min(length, room), length);
  }

  step receive_batch(datagram_operation& op) {
    batch_memory& into = op.batch();
    const message_slots& s = into.system();
    while (into.messages != s.capacity) {
      const std::size_t at = into.messages;
      unsigned name_size = 0;
      const ssize_t n = receive(&s.pieces[at], 1, s.names[at], name_size);
      if (n < 0) {
        if (at == 0) return ended(op, errno);
        if (errno != EAGAIN) error_later_ = errno;
        break;
      }
      s.headers[at].msg_hdr.msg_namelen = name_size;
      s.headers[at].msg_hdr.msg_controllen = 0;
      batch_slot& slot = into.slot_array()[at];
      slot.data = static_cast<const char*>(s.pieces[at].iov_base);
      slot.length = static_cast<std::size_t>(n);
      slot.size = slot.segment = std::min(slot.length, s.pieces[at].iov_len);
      ++into.messages;
      ++into.datagrams;
    }
    maybe_ready[reading] = true;
    loop->budget -= static_cast<int>(into.messages / 4);
    return step::done;
  }

  /// Sends one datagram; 0 or an errno, or -1 for a destination that the filter does not permit.
  int send(const iovec* pieces, std::size_t count, const void* destination,
           const sockaddr_codec* codec) {
    name_buffer name;
    unsigned size = 0;
    if (destination) {
      size = codec->encode(destination, name.bytes, traits.family == AF_INET6);
      if (is_internet() && !filter_.permits(static_cast<const endpoint*>(destination)->address()))
        return -1;
    }
    const msghdr message = {
        size ? name.bytes : nullptr, size, const_cast<iovec*>(pieces), count, nullptr, 0, 0};
    return simulation().sendmsg(fd(), &message, 0) < 0 ? errno : 0;
  }
  step send_failed(datagram_operation& op, int error) noexcept {
    if (error < 0) return op.failed(own_failure(error::address_denied));
    return ended(op, error);
  }

  step send_one(datagram_operation& op) {
    iovec pieces[max_message_pieces + 1];
    std::size_t count = 1;
    if (op.contiguous())
      pieces[0] = {op.data(), op.size()};
    else
      count = op.pieces(reinterpret_cast<piece*>(pieces), max_message_pieces + 1);
    if (count > max_message_pieces) return op.failed(system_failure(EMSGSIZE));
    if (const int error = send(pieces, count, op.peer(), &op.codec()))
      return send_failed(op, error);
    std::size_t all = 0;
    for (std::size_t i = 0; i != count; ++i) all += pieces[i].iov_len;
    return op.moved(all, all);
  }

  step send_batch(datagram_operation& op) {
    const outgoing_list& list = op.list();
    for (std::size_t& sent = op.count(); sent != list.count;) {
      const const_buffer& data = list.data(sent);
      const iovec piece = {const_cast<void*>(data.data()), data.size()};
      if (const int error = send(&piece, 1, list.destination(sent), &op.codec()))
        return send_failed(op, error);
      ++sent;
      if (--loop->budget <= 0 && sent != list.count) return step::pending;
    }
    return step::done;
  }

  address_filter filter_;
};

}  // namespace

datagram_descriptor* datagram_descriptor::open_simulated(scheduler& loop, int fd, int family,
                                                         const address_filter& filter) {
  return simulated_datagrams::open(loop, fd, family, filter);
}

}  // namespace cosock::detail
