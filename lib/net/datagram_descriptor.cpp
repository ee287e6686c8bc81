// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The system calls of datagram sockets: one datagram, a batch, and datagrams that the system joins
// or splits. Called by datagram_operation, on the loop of the socket.

#include "net/datagram_descriptor.hpp"

#include "core/failure.hpp"
#include "net/sockaddr.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace cosock::detail {

namespace {

constexpr std::size_t max_messages_received = 1024;  // in one recvmmsg: the limit of the system

bool would_block(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

/// The operation's memory, as the system wants it. At most `max_message_pieces` + 1.
std::size_t memory_of(const datagram_operation& op, iovec* out) {
  if (!op.contiguous()) return op.pieces(reinterpret_cast<piece*>(out), max_message_pieces + 1);
  out[0] = {op.data(), op.size()};
  return 1;
}

std::size_t size_of(const iovec* pieces, std::size_t count) noexcept {
  std::size_t all = 0;
  for (std::size_t i = 0; i != count; ++i) all += pieces[i].iov_len;
  return all;
}

/// One datagram of those that were joined, into memory.
void take_joined(gro_datagrams& from, const iovec* into, std::size_t count, std::size_t& size,
                 std::size_t& length) noexcept {
  length = std::min(from.segment, from.size - from.at);
  size = 0;
  for (std::size_t i = 0; i != count && size != length; ++i) {
    const std::size_t n = std::min(into[i].iov_len, length - size);
    if (n == 0) continue;  // memcpy() must not get a null pointer
    std::memcpy(into[i].iov_base, from.memory + from.at + size, n);
    size += n;
  }
  from.at += length;
  from.full = from.at < from.size;
}

/// What a failed send is reported as: the system says of a scope id that names no interface what it
/// says of any address without a route.
int send_failure(int error, int fd, const void* destination, unsigned size) noexcept {
  if (error == EAGAIN || error == EWOULDBLOCK) return error;
  const std::uint32_t scope = scope_of(destination, size);
  return scope != 0 && !is_interface(fd, scope) ? ENODEV : error;
}

/// Whether an error means that the system does not split datagrams of this size on this way: they
/// are larger than what the way takes, or it cannot at all.
bool refused_to_split(int error) noexcept {
  return error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP ||
         error == ENOPROTOOPT;
}

}  // namespace

datagram_descriptor::datagram_descriptor(scheduler& loop, int fd, fd_kind kind, bool shared,
                                         int family) noexcept
    : descriptor(loop, fd, kind, shared), retry_(*this) {
  traits.family = family;
  if (family == AF_UNIX) traits.gso_size_limit = 0;
}

void datagram_descriptor::on_events(unsigned events) noexcept {
  // A send that fails makes its own socket writable again, so the events would not end.
  descriptor::on_events(retries_by_timer_ ? events & ~unsigned{writable} : events);
}

void datagram_descriptor::arm(io_direction direction) {
  descriptor::arm(direction);
  if (direction == writing && retries_by_timer_) retry_.start(*loop);
}

bool datagram_descriptor::is_ready(io_direction direction) noexcept {
  if (direction == reading && (has_gro_data() || error_later_))
    return maybe_ready[direction] = true;
  return descriptor::is_ready(direction);
}

step datagram_descriptor::transfer_datagrams(datagram_operation& op) {
  if (op.direction() == reading && error_later_)
    return op.failed(system_failure(std::exchange(error_later_, 0)));
  if (op.direction() == writing && traits.family == AF_UNIX) {
    // The system reports when the connected peer has room, but not for any other peer.
    const bool batch = op.requested() == datagram_operation::kind::send_batch;
    retries_by_timer_ = batch ? op.list().peer_at || op.list().peer : op.peer() != nullptr;
    // A later operation may have the address of one that was cancelled.
    const bool is_new = !waiter[writing];
    if (std::exchange(sender_, &op) != &op || is_new) retry_.reset();
  }
  switch (op.requested()) {
    case datagram_operation::kind::receive: return receive_message(op);
    case datagram_operation::kind::receive_batch: return receive_messages(op);
    case datagram_operation::kind::send: return send_message(op);
    case datagram_operation::kind::send_batch: return send_messages(op, op.list());
  }
  return step::done;
}

/// For a system call that failed: true if the operation has ended with that.
step datagram_descriptor::message_failed(datagram_operation& op, int error) noexcept {
  if (!would_block(error)) return op.failed(system_failure(error));
  maybe_ready[op.direction()] = false;
  return step::pending;
}

ssize_t datagram_descriptor::receive_control(iovec* pieces, std::size_t count, name_buffer& name,
                                             unsigned& name_size, control_buffer& control,
                                             std::size_t& control_size) noexcept {
  msghdr message = {};
  message.msg_name = name.bytes;
  message.msg_namelen = sizeof name;
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = ::recvmsg(fd(), &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  name_size = message.msg_namelen;
  control_size = message.msg_controllen;
  if (n >= 0 && traits.family == AF_UNIX) close_passed(control.bytes, control_size);
  return n;
}

/// Makes sure that there is something joined to take from.
bool datagram_descriptor::receive_gro_data() {
  if (!gro_data_) gro_data_.reset(new (std::nothrow) gro_datagrams);
  if (!gro_data_) {
    errno = ENOMEM;
    return false;
  }
  gro_datagrams& j = *gro_data_;
  if (j.full) return true;
  iovec all = {j.memory, sizeof j.memory};
  const ssize_t n = receive_control(&all, 1, j.name, j.name_size, j.control, j.control_size);
  if (n < 0) return false;
  j.size = std::min(static_cast<std::size_t>(n), sizeof j.memory);
  j.at = 0;
  j.segment = read_segment_size(j.control.bytes, j.control_size);
  if (j.segment == 0) j.segment = j.size;
  j.full = true;
  return true;
}

step datagram_descriptor::receive_message(datagram_operation& op) {
  if (op.contiguous() && !op.info() && !uses_gro) [[likely]] {
    name_buffer name;
    socklen_t name_size = sizeof name;
    void* const peer = op.peer();
    ssize_t n;
    do {
      n = ::recvfrom(fd(), op.data(), op.size(), MSG_DONTWAIT | MSG_TRUNC,
                     peer ? name.get() : nullptr, peer ? &name_size : nullptr);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return message_failed(op, errno);
    if (peer) op.codec().decode(name.bytes, name_size, peer);
    return op.moved(std::min(static_cast<std::size_t>(n), op.size()), static_cast<std::size_t>(n));
  }
  name_buffer name;
  unsigned name_size;
  return receive_message(op, name, name_size);
}

step datagram_descriptor::receive_message(datagram_operation& op, name_buffer& name,
                                          unsigned& name_size) {
  iovec pieces[max_message_pieces + 1];
  const std::size_t count = std::min(memory_of(op, pieces), max_message_pieces);
  if (uses_gro) {
    if (!receive_gro_data()) return message_failed(op, errno);
    gro_datagrams& j = *gro_data_;
    if (op.peer()) op.codec().decode(j.name.bytes, j.name_size, op.peer());
    if (op.info()) read_packet_info(j.control.bytes, j.control_size, *op.info());
    std::size_t size;
    std::size_t length;
    take_joined(j, pieces, count, size, length);
    return op.moved(size, length);
  }
  control_buffer control;
  std::size_t control_size;
  const ssize_t n = receive_control(pieces, count, name, name_size, control, control_size);
  if (n < 0) return message_failed(op, errno);
  if (op.peer()) op.codec().decode(name.bytes, name_size, op.peer());
  if (op.info()) read_packet_info(control.bytes, control_size, *op.info());
  return op.moved(std::min(static_cast<std::size_t>(n), size_of(pieces, count)),
                  static_cast<std::size_t>(n));
}

step datagram_descriptor::receive_messages(datagram_operation& op) {
  batch_memory& into = op.batch();
  const message_slots& s = into.system();
  if (uses_gro && (has_gro_data() || s.smallest < largest_datagram)) return receive_split(op);
  while (into.messages != s.capacity) {
    const std::size_t max_count = std::min(s.capacity - into.messages, max_messages_received);
    mmsghdr* const headers = s.headers.get() + into.messages;
    for (std::size_t i = 0; i != max_count; ++i) {
      msghdr& m = headers[i].msg_hdr;
      const std::size_t at = into.messages + i;
      m = {s.names[at].bytes, sizeof(name_buffer), &s.pieces[at], 1, nullptr, 0, 0};
      if (wants_control) {
        m.msg_control = s.controls[at].bytes;
        m.msg_controllen = sizeof(control_buffer);
      }
    }
    const int n = ::recvmmsg(fd(), headers, static_cast<unsigned>(max_count),
                             MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC, nullptr);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (into.messages == 0) return message_failed(op, errno);
      if (!would_block(errno)) error_later_ = errno;
      break;
    }
    for (int i = 0; i != n; ++i) describe_slot(into, into.messages + i);
    into.messages += static_cast<std::size_t>(n);
    // Fewer than asked for: the queue is empty, and the next datagram is an edge. After several
    // datagrams more have probably arrived by the next receive, so that one tries at once.
    if (static_cast<std::size_t>(n) < max_count) {
      maybe_ready[reading] = n > 1;
      break;
    }
  }
  loop->budget -= static_cast<int>(into.messages / 4);
  return step::done;
}

void datagram_descriptor::describe_slot(batch_memory& into, std::size_t i) const noexcept {
  const message_slots& s = into.system();
  const mmsghdr& header = s.headers[i];
  if (traits.family == AF_UNIX && wants_control)
    close_passed(s.controls[i].bytes, header.msg_hdr.msg_controllen);
  batch_slot& slot = into.slot_array()[i];
  slot.data = static_cast<const char*>(s.pieces[i].iov_base);
  slot.length = header.msg_len;
  slot.size = std::min<std::size_t>(header.msg_len, s.pieces[i].iov_len);
  slot.segment =
      uses_gro ? read_segment_size(s.controls[i].bytes, header.msg_hdr.msg_controllen) : 0;
  if (slot.segment == 0) slot.segment = slot.size;
  into.datagrams += datagrams_in(slot);
}

/// One by one, because there is no room to let the system write them joined, or some are left.
step datagram_descriptor::receive_split(datagram_operation& op) {
  batch_memory& into = op.batch();
  const message_slots& s = into.system();
  while (into.messages != s.capacity) {
    if (!receive_gro_data()) {
      if (into.messages == 0) return message_failed(op, errno);
      if (!would_block(errno))
        error_later_ = errno;
      else
        maybe_ready[reading] = false;
      break;
    }
    gro_datagrams& j = *gro_data_;
    const std::size_t i = into.messages++;
    batch_slot& slot = into.slot_array()[i];
    take_joined(j, &s.pieces[i], 1, slot.size, slot.length);
    slot.data = static_cast<const char*>(s.pieces[i].iov_base);
    slot.segment = slot.size;
    s.headers[i].msg_hdr.msg_namelen = j.name_size;
    s.headers[i].msg_hdr.msg_controllen = j.control_size;
    s.names[i] = j.name;
    s.controls[i] = j.control;
  }
  into.datagrams = into.messages;
  loop->budget -= static_cast<int>(into.messages / 4);
  return step::done;
}

step datagram_descriptor::send_message(datagram_operation& op) {
  name_buffer name;
  const unsigned name_size =
      op.peer() ? op.codec().encode(op.peer(), name.bytes, traits.family == AF_INET6) : 0;
  const std::uint32_t destination_interface =
      traits.family == AF_INET6 ? interface_named_by(name.bytes, name_size) : 0;
  ssize_t n;
  if (op.contiguous() && !op.info() && !destination_interface) [[likely]] {
    do {
      n = ::sendto(fd(), op.data(), op.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                   name_size ? name.get() : nullptr, name_size);
    } while (n < 0 && errno == EINTR);
  } else {
    iovec pieces[max_message_pieces + 1];
    const std::size_t count = memory_of(op, pieces);
    if (count > max_message_pieces) return op.failed(system_failure(EMSGSIZE));
    alignas(cmsghdr) char control[max_sent_control];
    msghdr message = {name_size ? name.bytes : nullptr, name_size, pieces, count, control, 0, 0};
    if ((op.info() || destination_interface) && traits.family != AF_UNIX)
      add_source(message, traits.family, op.info() ? *op.info() : packet_info(),
                 destination_interface,
                 traits.family == AF_INET || is_v4(fd(), name.bytes, name_size));
    if (message.msg_controllen == 0) message.msg_control = nullptr;
    do {
      n = ::sendmsg(fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
  }
  if (n < 0) return message_failed(op, send_failure(errno, fd(), name.bytes, name_size));
  retry_.reset();
  return op.moved(static_cast<std::size_t>(n), static_cast<std::size_t>(n));
}

step datagram_descriptor::send_messages(datagram_operation& op, const outgoing_list& list) {
  const std::size_t all = list.count;
  std::size_t& sent = op.count();
  std::size_t refused = 0;  // the limit of splitting before the last refusal
  outgoing_messages out(list, &op.codec(), traits, fd());
  while (sent != all) {
    out.fill(sent);
    const int n = ::sendmmsg(fd(), out.headers(), static_cast<unsigned>(out.count()),
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      // Tries again without splitting: EIO means that the route cannot split at all, other errors
      // that datagrams of this size are too large for it.
      if (out.datagrams(0) > 1 && refused_to_split(errno)) {
        refused = std::exchange(traits.gso_size_limit, errno == EIO ? 0 : out.segment(0));
        continue;
      }
      // It fails without splitting too, so splitting was not the cause.
      if (refused && !would_block(errno)) traits.gso_size_limit = refused;
      const msghdr& first = out.headers()[0].msg_hdr;
      return message_failed(op, send_failure(errno, fd(), first.msg_name, first.msg_namelen));
    }
    refused = 0;
    for (int i = 0; i != n; ++i) sent += out.datagrams(static_cast<std::size_t>(i));
    retry_.reset();
    loop->budget -= 1 + n / 4;
    if (loop->budget <= 0 && sent != all) return step::pending;
  }
  return step::done;
}

}  // namespace cosock::detail
