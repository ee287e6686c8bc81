// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/datagram.hpp>

#include "core/system.hpp"
#include "io/descriptor.hpp"
#include "net/datagram.hpp"

#include <cosock/detail/size.hpp>
#include <cosock/error.hpp>

#include <net/if.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace cosock::detail {

namespace {

constexpr std::size_t most_pieces = IOV_MAX;
constexpr std::size_t most_messages = 64;    // in one sendmmsg: more would gain nothing
constexpr std::size_t most_received = 1024;  // in one recvmmsg, the system's limit
constexpr std::size_t most_segments = 64;    // the limit of older kernels
constexpr std::size_t most_joined = 65000;   // bytes, with room for headers

unsigned encode_ip(const void* from, void* into, bool mapped) noexcept {
  const endpoint& e = *static_cast<const endpoint*>(from);
  const address& a = e.address();
  if (!mapped && a.is_v4()) {
    auto& v4 = *static_cast<sockaddr_in*>(into);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(e.port());
    std::memcpy(&v4.sin_addr, a.bytes().data(), 4);
    std::memset(v4.sin_zero, 0, sizeof v4.sin_zero);
    return sizeof v4;
  }
  auto& v6 = *static_cast<sockaddr_in6*>(into);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(e.port());
  v6.sin6_flowinfo = 0;
  v6.sin6_scope_id = a.scope_id();
  if (a.is_v4()) {
    std::memset(&v6.sin6_addr, 0, 10);
    std::memset(v6.sin6_addr.s6_addr + 10, 0xff, 2);
    std::memcpy(v6.sin6_addr.s6_addr + 12, a.bytes().data(), 4);
  } else {
    std::memcpy(&v6.sin6_addr, a.bytes().data(), 16);
  }
  return sizeof v6;
}

address to_address(const in6_addr& from, std::uint32_t scope) noexcept {
  address::v6_bytes bytes;
  std::memcpy(bytes.data(), &from, bytes.size());
  return address(bytes, scope);
}
address to_address(const in_addr& from) noexcept {
  address::v4_bytes bytes;
  std::memcpy(bytes.data(), &from, bytes.size());
  return address(bytes);
}

void decode_ip(const void* from, unsigned size, void* into) noexcept {
  endpoint& e = *static_cast<endpoint*>(into);
  sa_family_t family = AF_UNSPEC;
  if (size >= sizeof(sockaddr_in)) std::memcpy(&family, from, sizeof family);
  if (family == AF_INET6) {
    const auto& v6 = *static_cast<const sockaddr_in6*>(from);
    e = {to_address(v6.sin6_addr, v6.sin6_scope_id), ntohs(v6.sin6_port)};
  } else if (family == AF_INET) {
    const auto& v4 = *static_cast<const sockaddr_in*>(from);
    e = {to_address(v4.sin_addr), ntohs(v4.sin_port)};
  } else {
    e = {};
  }
}

template <class T>
T data_of(const cmsghdr& c) noexcept {
  T value;
  std::memcpy(&value, CMSG_DATA(&c), sizeof value);
  return value;
}

void read_ip(const cmsghdr& c, packet_info& into) noexcept {
  switch (c.cmsg_type) {
    case IP_PKTINFO: {
      const auto info = data_of<in_pktinfo>(c);
      into.local = to_address(info.ipi_addr);
      into.interface_index = static_cast<unsigned>(info.ipi_ifindex);
      break;
    }
    case IP_TOS:
      into.traffic_class = data_of<unsigned char>(c);
      break;
    case IP_TTL:
      into.hops = data_of<int>(c);
      break;
  }
}

void read_ipv6(const cmsghdr& c, packet_info& into) noexcept {
  switch (c.cmsg_type) {
    case IPV6_PKTINFO: {
      const auto info = data_of<in6_pktinfo>(c);
      const bool here_only = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr);
      into.local = to_address(info.ipi6_addr, here_only ? info.ipi6_ifindex : 0);
      into.interface_index = info.ipi6_ifindex;
      break;
    }
    case IPV6_TCLASS:
      into.traffic_class = data_of<int>(c);
      break;
    case IPV6_HOPLIMIT:
      into.hops = data_of<int>(c);
      break;
  }
}

void read_socket(const cmsghdr& c, packet_info& into) noexcept {
  if (c.cmsg_type == SCM_TIMESTAMPNS) {
    const auto at = data_of<timespec>(c);
    into.at = std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec)));
  } else if (c.cmsg_type == SO_RXQ_OVFL) {
    into.dropped = data_of<std::uint32_t>(c);
  }
}

template <class F>
void each_control(const void* data, std::size_t size, F f) noexcept {
  msghdr all = {};
  all.msg_control = const_cast<void*>(data);
  all.msg_controllen = size;
  for (cmsghdr* c = CMSG_FIRSTHDR(&all); c; c = CMSG_NXTHDR(&all, c)) f(*c);
}

void read_info(const void* control, std::size_t size, packet_info& into) noexcept {
  into = {};
  each_control(control, size, [&](const cmsghdr& c) {
    if (c.cmsg_level == IPPROTO_IP)
      read_ip(c, into);
    else if (c.cmsg_level == IPPROTO_IPV6)
      read_ipv6(c, into);
    else if (c.cmsg_level == SOL_SOCKET)
      read_socket(c, into);
  });
}

/// The size of the datagrams that were joined, or 0 if none were.
std::size_t read_segment(const void* control, std::size_t size) noexcept {
  int segment = 0;
  each_control(control, size, [&](const cmsghdr& c) {
    if (c.cmsg_level == SOL_UDP && c.cmsg_type == UDP_GRO) segment = data_of<int>(c);
  });
  return static_cast<std::size_t>(segment);
}

template <class T>
void add_control(msghdr& message, int level, int type, const T& value) noexcept {
  auto* c =
      reinterpret_cast<cmsghdr*>(static_cast<char*>(message.msg_control) + message.msg_controllen);
  std::memset(c, 0, CMSG_SPACE(sizeof value));
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(c), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

/// The scope id of a name of the system; 0: none.
std::uint32_t scope_of(const void* name, unsigned size) noexcept {
  if (size != sizeof(sockaddr_in6)) return 0;
  const auto& v6 = *static_cast<const sockaddr_in6*>(name);
  return v6.sin6_family == AF_INET6 ? v6.sin6_scope_id : 0;
}

/// The interface that a destination names where the system does not look at that; 0: none.
std::uint32_t interface_named_by(const void* to, unsigned size) noexcept {
  const std::uint32_t scope = scope_of(to, size);
  if (scope == 0) return 0;
  return is_scoped_by_system(static_cast<const sockaddr_in6*>(to)->sin6_addr.s6_addr) ? 0 : scope;
}

/// What a failed send is reported as: the system says of a scope id that names no interface what it
/// says of any address without a route.
int send_failure(int error, int fd, const void* to, unsigned size) noexcept {
  if (error == EAGAIN || error == EWOULDBLOCK) return error;
  const std::uint32_t scope = scope_of(to, size);
  return scope != 0 && !is_interface(fd, scope) ? ENODEV : error;
}

/// Where to send from, and over which interface. What an answer cannot come from, a group's address
/// or that of all, counts as not set. `to_interface`: what the destination names, which goes before
/// what `as` says, or 0. `to_v4`: the destination is IPv4.
void add_source(msghdr& message, int family, const packet_info& as, std::uint32_t to_interface,
                bool to_v4) noexcept {
  address local = as.local.unmapped();
  std::uint32_t interface = to_interface;
  if (interface == 0) interface = as.interface_index;
  if (interface == 0) interface = local.scope_id();
  const bool fits = local.is_v4() ? to_v4 : family == AF_INET6 && !to_v4;
  constexpr address::v4_bytes all = {255, 255, 255, 255};
  if (!fits || local.is_any() || local.is_multicast() || local == address(all)) {
    if (interface == 0) return;
    local = to_v4 ? address::any_v4() : address::any_v6();
  }
  const endpoint source(local, 0);
  name_buffer name;
  encode_ip(&source, name.bytes, family == AF_INET6);
  if (family == AF_INET6) {
    in6_pktinfo info = {};
    info.ipi6_addr = reinterpret_cast<const sockaddr_in6*>(name.bytes)->sin6_addr;
    info.ipi6_ifindex = interface;
    add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info = {};
    info.ipi_spec_dst = reinterpret_cast<const sockaddr_in*>(name.bytes)->sin_addr;
    info.ipi_ifindex = static_cast<int>(interface);
    add_control(message, IPPROTO_IP, IP_PKTINFO, info);
  }
}

/// Whether a name of the system, or the peer of a connected socket, is IPv4.
bool is_v4(int fd, const void* name, unsigned size) noexcept {
  sockaddr_storage peer;
  if (size == 0) {
    socklen_t room = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &room) != 0) return false;
    name = &peer;
    size = room;
  }
  endpoint e;
  decode_ip(name, size, &e);
  return e.address().unmapped().is_v4();
}

/// A peer on this machine may send descriptors along, which are this process's from then on.
void close_passed(const void* control, std::size_t size) noexcept {
  constexpr int passed_pidfd = 4;  // SCM_PIDFD, which old headers do not have
  each_control(control, size, [](const cmsghdr& c) {
    if (c.cmsg_level != SOL_SOCKET || (c.cmsg_type != SCM_RIGHTS && c.cmsg_type != passed_pidfd))
      return;
    const std::size_t count = (c.cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i != count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(&c) + i * sizeof fd, sizeof fd);
      ::close(fd);
    }
  });
}

constexpr std::size_t most_sent_control =
    CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(std::uint16_t));

bool would_block(int error) noexcept {
  return error == EAGAIN || error == EWOULDBLOCK;
}

/// The operation's memory, as the system wants it. At most `most_pieces` + 1.
std::size_t memory_of(const message_operation& op, iovec* out) {
  if (!op.contiguous()) return op.pieces(reinterpret_cast<piece*>(out), most_pieces + 1);
  out[0] = {op.data(), op.size()};
  return 1;
}

std::size_t size_of(const iovec* pieces, std::size_t count) noexcept {
  std::size_t all = 0;
  for (std::size_t i = 0; i != count; ++i) all += pieces[i].iov_len;
  return all;
}

/// One datagram of those that were joined, into memory.
void take_joined(joined_datagrams& from, const iovec* into, std::size_t count, std::size_t& size,
                 std::size_t& length) noexcept {
  length = std::min(from.segment, from.size - from.at);
  size = 0;
  for (std::size_t i = 0; i != count && size != length; ++i) {
    const std::size_t n = std::min(into[i].iov_len, length - size);
    if (n == 0) continue;  // which may have no memory at all
    std::memcpy(into[i].iov_base, from.memory + from.at + size, n);
    size += n;
  }
  from.at += length;
  from.full = from.at < from.size;
}

/// Messages on their way to one sendmmsg.
struct outgoing_messages {
  const message_operation& op;
  const datagram_state& socket;
  int fd;
  std::size_t count = 0;
  std::size_t used_pieces = 0;
  name_buffer shared_name;
  unsigned shared_size = 0;
  mmsghdr headers[most_messages];
  unsigned datagrams[most_messages];   // in each
  std::size_t segment[most_messages];  // their size
  name_buffer names[most_messages];
  alignas(cmsghdr) char controls[most_messages][most_sent_control];
  iovec pieces[most_pieces];

  outgoing_messages(const message_operation& op, const datagram_state& socket, int fd) noexcept
      : op(op), socket(socket), fd(fd) {
    const outgoing_list& list = op.list();
    if (!list.peer_at && list.peer)
      shared_size = op.codec().encode(list.peer, shared_name.bytes, socket.family == AF_INET6);
  }

  /// Takes as many datagrams from `from` on as one call carries.
  void fill(std::size_t from) noexcept {
    const std::size_t all = op.list().count;
    count = used_pieces = 0;
    while (from != all && count != most_messages && used_pieces != most_pieces) from = add(from);
  }

  /// One message that starts with datagram `i`, and the datagrams it carries. Gives the next one.
  std::size_t add(std::size_t i) noexcept {
    const outgoing_list& list = op.list();
    const packet_info* const as = list.as(i);
    const std::size_t first = i;
    const std::size_t size = list.data(i).size();
    msghdr& m = headers[count].msg_hdr;
    m.msg_flags = 0;
    m.msg_iov = pieces + used_pieces;
    m.msg_control = controls[count];
    m.msg_controllen = 0;
    address_to(m, list, i);
    pieces[used_pieces++] = {const_cast<void*>(list.data(i).data()), size};
    ++i;
    if (size != 0 && size < socket.unsplit_from)
      i = list.peer_at || list.info_at ? join<true>(first, size) : join<false>(first, size);
    m.msg_iovlen = static_cast<std::size_t>(pieces + used_pieces - m.msg_iov);
    const std::uint32_t to_interface =
        socket.family == AF_INET6 ? interface_named_by(m.msg_name, m.msg_namelen) : 0;
    if ((as || to_interface) && socket.family != AF_UNIX)
      add_source(m, socket.family, as ? *as : packet_info(), to_interface,
                 socket.family == AF_INET || is_v4(fd, m.msg_name, m.msg_namelen));
    datagrams[count] = static_cast<unsigned>(i - first);
    segment[count] = size;
    if (i - first > 1) add_control(m, SOL_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(size));
    if (m.msg_controllen == 0) m.msg_control = nullptr;
    ++count;
    return i;
  }

 private:
  void address_to(msghdr& m, const outgoing_list& list, std::size_t i) noexcept {
    if (list.peer_at) {
      m.msg_name = names[count].bytes;
      m.msg_namelen = op.codec().encode(list.to(i), names[count].bytes, socket.family == AF_INET6);
    } else {
      m.msg_name = shared_size ? shared_name.bytes : nullptr;
      m.msg_namelen = shared_size;
    }
  }
  /// Joins the datagrams behind `first` that are of its size, and a last one that may be shorter.
  /// Gives the next one.
  template <bool Differ>
  std::size_t join(std::size_t first, std::size_t size) noexcept {
    const outgoing_list& list = op.list();
    const packet_info* const as = list.as(first);
    const std::size_t most = std::min({list.count - first, most_segments, most_joined / size});
    iovec* piece = pieces + used_pieces - 1;
    const char* end = static_cast<const char*>(piece->iov_base) + size;
    const char* item = list.first + first * list.stride;
    std::size_t last = size;
    std::size_t i = first + 1;
    for (; i < first + most && last == size; ++i) {
      item += list.stride;
      const const_buffer& data = *reinterpret_cast<const const_buffer*>(item);
      last = data.size();
      if (last - 1 >= size) break;  // empty, or larger
      if (Differ && (list.as(i) != as || !same_peer(list, first, i))) break;
      const char* const begin = static_cast<const char*>(data.data());
      if (begin != end) {  // otherwise the memory goes on
        if (used_pieces == most_pieces) break;
        piece->iov_len = static_cast<std::size_t>(end - static_cast<const char*>(piece->iov_base));
        piece = pieces + used_pieces++;
        piece->iov_base = const_cast<char*>(begin);
      }
      end = begin + last;
    }
    piece->iov_len = static_cast<std::size_t>(end - static_cast<const char*>(piece->iov_base));
    return i;
  }
  bool same_peer(const outgoing_list& list, std::size_t a, std::size_t b) const noexcept {
    return !list.peer_at ||
           *static_cast<const endpoint*>(list.to(a)) == *static_cast<const endpoint*>(list.to(b));
  }
};

}  // namespace

const peer_codec peers<endpoint>::codec = {&encode_ip, &decode_ip};

// What is awaited

bool message_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  bool nothing_to_do = false;
  if (kind_ == kind::receive_batch) {
    batch().messages = batch().datagrams = 0;
    nothing_to_do = batch().capacity() == 0;
  } else if (kind_ == kind::send_batch) {
    nothing_to_do = list().count == 0;
  }
  if (!enter(awaiting, where)) return false;
  if (nothing_to_do && may_begin(of_, which())) return ended();
  // That there was no room may have been true of another peer.
  if (kind_ >= kind::send && may_begin(of_, writing)) of_->hint[writing] = true;
  return launch(of_, which());
}

void message_operation::raise_failure() const {
  // The address, where it is what the error is about: a scope id that names no interface.
  if (kind_ == kind::send && codec_ == &peers<endpoint>::codec && peer_ &&
      to_error_code(failure_) == boost::system::errc::no_such_device)
    detail::raise(failure_, static_cast<const endpoint*>(peer_)->to_string());
  raise(failure_);
}

void message_operation::raise_batch_failure() const {
  if (moved_ != 0) throw batch_error(to_error_code(failure_), moved_);
  raise(failure_);
}

bool source::transfer(message_operation& op) {
  return op.failed(system_failure(EOPNOTSUPP));
}

// The memory of a batch

void message_slots_deleter::operator()(message_slots* s) const noexcept {
  delete s;
}

batch_memory::batch_memory(std::size_t count, std::size_t bytes_each)
    : slots_(new batch_slot[checked_size("the number of datagrams of a batch", count,
                                         sizeof(control_buffer) + sizeof(name_buffer))]),
      system_(new message_slots) {
  if (count != 0)
    checked_size("the bytes of each datagram of a batch", bytes_each, count);
  message_slots& s = *system_;
  s.capacity = count;
  s.smallest = bytes_each;
  s.headers.reset(new mmsghdr[count]);
  s.pieces.reset(new iovec[count]);
  s.names.reset(new name_buffer[count]);
  s.controls.reset(new control_buffer[count]);
  s.memory.reset(static_cast<char*>(::operator new[](count * bytes_each, message_slots::page)));
  for (std::size_t i = 0; i != count; ++i)
    s.pieces[i] = {s.memory.get() + i * bytes_each, bytes_each};
}

batch_memory::batch_memory(const mutable_buffer* buffers, std::size_t count)
    : batch_memory(count, 0) {
  message_slots& s = *system_;
  s.smallest = count ? buffers[0].size() : 0;
  for (std::size_t i = 0; i != count; ++i) {
    s.pieces[i] = {buffers[i].data(), buffers[i].size()};
    s.smallest = std::min(s.smallest, buffers[i].size());
  }
}

batch_memory::batch_memory(batch_memory&& other) noexcept
    : messages(std::exchange(other.messages, 0)),
      datagrams(std::exchange(other.datagrams, 0)),
      slots_(std::move(other.slots_)),
      system_(std::move(other.system_)) {}

batch_memory& batch_memory::operator=(batch_memory&& other) noexcept {
  slots_ = std::move(other.slots_);
  system_ = std::move(other.system_);
  messages = std::exchange(other.messages, 0);
  datagrams = std::exchange(other.datagrams, 0);
  return *this;
}

std::size_t batch_memory::capacity() const noexcept { return system_ ? system_->capacity : 0; }

const void* batch_memory::name(const batch_slot* slot, unsigned& size) const noexcept {
  const auto i = slot - slots_.get();
  size = system_->headers[i].msg_hdr.msg_namelen;
  return system_->names[i].bytes;
}

void batch_memory::info(const batch_slot* slot, packet_info& into) const noexcept {
  const auto i = slot - slots_.get();
  read_info(system_->controls[i].bytes, system_->headers[i].msg_hdr.msg_controllen, into);
}

// How it moves

void descriptor::become_datagram(int family) {
  datagrams_.reset(new datagram_state(*this));
  datagrams_->family = family;
  if (family == AF_UNIX) datagrams_->unsplit_from = 0;
}

bool descriptor::transfer(message_operation& op) {
  if (!datagrams_) return op.failed(system_failure(EOPNOTSUPP));
  if (op.which() == reading && datagrams_->error_later)
    return op.failed(system_failure(std::exchange(datagrams_->error_later, 0)));
  if (op.which() == writing && datagrams_->family == AF_UNIX) {
    // The system tells when the connected peer has room, and of no other.
    const bool batch = op.what() == message_operation::kind::send_batch;
    datagrams_->polls = batch ? op.list().peer_at || op.list().peer : op.peer() != nullptr;
    if (std::exchange(datagrams_->sender, &op) != &op) datagrams_->retry.reset();
  }
  switch (op.what()) {
    case message_operation::kind::receive:
      return receive_message(op);
    case message_operation::kind::receive_batch:
      return receive_messages(op);
    case message_operation::kind::send:
      return send_message(op);
    case message_operation::kind::send_batch:
      return send_messages(op);
  }
  return true;
}

/// For a system call that failed: true if the operation has ended with that.
bool descriptor::message_failed(message_operation& op, int error) noexcept {
  if (!would_block(error)) return op.failed(system_failure(error));
  hint[op.which()] = false;
  return false;
}

ssize_t descriptor::receive_control(iovec* pieces, std::size_t count, name_buffer& name,
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
    n = ::recvmsg(fd_, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  name_size = message.msg_namelen;
  control_size = message.msg_controllen;
  if (n >= 0 && datagrams_->family == AF_UNIX) close_passed(control.bytes, control_size);
  return n;
}

/// Makes sure that there is something joined to take from.
bool descriptor::fill_joined() {
  datagram_state& d = *datagrams_;
  if (!d.joined) d.joined.reset(new (std::nothrow) joined_datagrams);
  if (!d.joined) {
    errno = ENOMEM;
    return false;
  }
  joined_datagrams& j = *d.joined;
  if (j.full) return true;
  iovec all = {j.memory, sizeof j.memory};
  const ssize_t n = receive_control(&all, 1, j.name, j.name_size, j.control, j.control_size);
  if (n < 0) return false;
  j.size = std::min(static_cast<std::size_t>(n), sizeof j.memory);
  j.at = 0;
  j.segment = read_segment(j.control.bytes, j.control_size);
  if (j.segment == 0) j.segment = j.size;
  j.full = true;
  return true;
}

bool descriptor::receive_message(message_operation& op) {
  datagram_state& d = *datagrams_;
  if (op.contiguous() && !op.info() && !d.joins) [[likely]] {
    name_buffer name;
    socklen_t name_size = sizeof name;
    void* const peer = op.peer();
    ssize_t n;
    do {
      n = ::recvfrom(fd_, op.data(), op.size(), MSG_DONTWAIT | MSG_TRUNC,
                     peer ? name.get() : nullptr, peer ? &name_size : nullptr);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return message_failed(op, errno);
    if (peer) op.codec().decode(name.bytes, name_size, peer);
    return op.moved(std::min(static_cast<std::size_t>(n), op.size()), static_cast<std::size_t>(n));
  }
  iovec pieces[most_pieces + 1];
  const std::size_t count = std::min(memory_of(op, pieces), most_pieces);
  if (d.joins) {
    if (!fill_joined()) return message_failed(op, errno);
    joined_datagrams& j = *d.joined;
    if (op.peer()) op.codec().decode(j.name.bytes, j.name_size, op.peer());
    if (op.info()) read_info(j.control.bytes, j.control_size, *op.info());
    std::size_t size;
    std::size_t length;
    take_joined(j, pieces, count, size, length);
    return op.moved(size, length);
  }
  name_buffer name;
  control_buffer control;
  unsigned name_size;
  std::size_t control_size;
  const ssize_t n = receive_control(pieces, count, name, name_size, control, control_size);
  if (n < 0) return message_failed(op, errno);
  if (op.peer()) op.codec().decode(name.bytes, name_size, op.peer());
  if (op.info()) read_info(control.bytes, control_size, *op.info());
  return op.moved(std::min(static_cast<std::size_t>(n), size_of(pieces, count)),
                  static_cast<std::size_t>(n));
}

bool descriptor::receive_messages(message_operation& op) {
  batch_memory& into = op.batch();
  const message_slots& s = into.system();
  const datagram_state& d = *datagrams_;
  if (d.joins && (d.has_joined() || s.smallest < largest_datagram)) return receive_split(op);
  while (into.messages != s.capacity) {
    const std::size_t most = std::min(s.capacity - into.messages, most_received);
    mmsghdr* const headers = s.headers.get() + into.messages;
    for (std::size_t i = 0; i != most; ++i) {
      msghdr& m = headers[i].msg_hdr;
      const std::size_t at = into.messages + i;
      m = {s.names[at].bytes, sizeof(name_buffer), &s.pieces[at], 1, nullptr, 0, 0};
      if (d.controls) {
        m.msg_control = s.controls[at].bytes;
        m.msg_controllen = sizeof(control_buffer);
      }
    }
    const int n = ::recvmmsg(fd_, headers, static_cast<unsigned>(most),
                             MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC, nullptr);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (into.messages == 0) return message_failed(op, errno);
      if (!would_block(errno)) datagrams_->error_later = errno;
      break;
    }
    for (int i = 0; i != n; ++i) describe_slot(into, into.messages + i);
    into.messages += static_cast<std::size_t>(n);
    // Fewer than there was room for: nothing is left, and what comes will be reported. Where several
    // were there, more are likely to have come by the next time.
    if (static_cast<std::size_t>(n) < most) {
      hint[reading] = n > 1;
      break;
    }
  }
  on->budget -= static_cast<int>(into.messages / 4);
  return true;
}

void descriptor::describe_slot(batch_memory& into, std::size_t i) const noexcept {
  const message_slots& s = into.system();
  const mmsghdr& header = s.headers[i];
  if (datagrams_->family == AF_UNIX && datagrams_->controls)
    close_passed(s.controls[i].bytes, header.msg_hdr.msg_controllen);
  batch_slot& slot = into.slot_array()[i];
  slot.data = static_cast<const char*>(s.pieces[i].iov_base);
  slot.length = header.msg_len;
  slot.size = std::min<std::size_t>(header.msg_len, s.pieces[i].iov_len);
  slot.segment =
      datagrams_->joins ? read_segment(s.controls[i].bytes, header.msg_hdr.msg_controllen) : 0;
  if (slot.segment == 0) slot.segment = slot.size;
  into.datagrams += slot.size == 0 ? 1 : (slot.size + slot.segment - 1) / slot.segment;
}

/// One by one, because there is no room to let the system write them joined, or some are left.
bool descriptor::receive_split(message_operation& op) {
  batch_memory& into = op.batch();
  const message_slots& s = into.system();
  while (into.messages != s.capacity) {
    if (!fill_joined()) {
      if (into.messages == 0) return message_failed(op, errno);
      if (!would_block(errno))
        datagrams_->error_later = errno;
      else
        hint[reading] = false;
      break;
    }
    joined_datagrams& j = *datagrams_->joined;
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
  on->budget -= static_cast<int>(into.messages / 4);
  return true;
}

bool descriptor::send_message(message_operation& op) {
  const datagram_state& d = *datagrams_;
  name_buffer name;
  const unsigned name_size =
      op.peer() ? op.codec().encode(op.peer(), name.bytes, d.family == AF_INET6) : 0;
  const std::uint32_t to_interface =
      d.family == AF_INET6 ? interface_named_by(name.bytes, name_size) : 0;
  ssize_t n;
  if (op.contiguous() && !op.info() && !to_interface) [[likely]] {
    do {
      n = ::sendto(fd_, op.data(), op.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                   name_size ? name.get() : nullptr, name_size);
    } while (n < 0 && errno == EINTR);
  } else {
    iovec pieces[most_pieces + 1];
    const std::size_t count = memory_of(op, pieces);
    if (count > most_pieces) return op.failed(system_failure(EMSGSIZE));
    alignas(cmsghdr) char control[most_sent_control];
    msghdr message = {name_size ? name.bytes : nullptr, name_size, pieces, count, control, 0, 0};
    if ((op.info() || to_interface) && d.family != AF_UNIX)
      add_source(message, d.family, op.info() ? *op.info() : packet_info(), to_interface,
                 d.family == AF_INET || is_v4(fd_, name.bytes, name_size));
    if (message.msg_controllen == 0) message.msg_control = nullptr;
    do {
      n = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
  }
  if (n < 0) return message_failed(op, send_failure(errno, fd_, name.bytes, name_size));
  datagrams_->retry.reset();
  return op.moved(static_cast<std::size_t>(n), static_cast<std::size_t>(n));
}

bool descriptor::send_messages(message_operation& op) {
  const std::size_t all = op.list().count;
  std::size_t& sent = op.count();
  std::size_t refused = 0;  // what was split before the system would not
  outgoing_messages out(op, *datagrams_, fd_);
  while (sent != all) {
    out.fill(sent);
    const int n =
        ::sendmmsg(fd_, out.headers, static_cast<unsigned>(out.count), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (out.datagrams[0] > 1 && refused_to_split(errno)) {
        refused = std::exchange(datagrams_->unsplit_from, errno == EIO ? 0 : out.segment[0]);
        continue;
      }
      // It was something else.
      if (refused && !would_block(errno)) datagrams_->unsplit_from = refused;
      const msghdr& first = out.headers[0].msg_hdr;
      return message_failed(op, send_failure(errno, fd_, first.msg_name, first.msg_namelen));
    }
    refused = 0;
    for (int i = 0; i != n; ++i) sent += out.datagrams[i];
    datagrams_->retry.reset();
    on->budget -= 1 + n / 4;
    if (on->budget <= 0 && sent != all) return false;
  }
  return true;
}

/// Whether an error means that the system does not split datagrams of this size on this way: they
/// are larger than what the way takes, or it cannot at all.
bool descriptor::refused_to_split(int error) noexcept {
  return error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP ||
         error == ENOPROTOOPT;
}

}  // namespace cosock::detail
