// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "testing/udp_model.hpp"

#include "testing/machine.hpp"
#include "testing/simulation.hpp"

#include <algorithm>
#include <cstring>

namespace cosock::testing::detail {

namespace {

using cosock::detail::io_watch;

/// Of one datagram: the length of a packet has 16 bits, which count the header of IPv4 too.
constexpr std::size_t largest_v4 = 65507;
constexpr std::size_t largest_v6 = 65527;
/// What the system counts for a datagram besides its bytes.
constexpr std::size_t overhead = 768;

}  // namespace

int udp_model::bind(const sockaddr* at, socklen_t size) {
  name wanted;
  if (!read_name(at, size, family, wanted)) return -EAFNOSUPPORT;
  if (is_bound) return -EINVAL;
  if (!wanted.is_v4() && wanted.is_group_of_subnet()) return -EINVAL;  // needs an interface
  if (!wanted.is_any() && !wanted.is_multicast() && !host.is_own(wanted)) return -EADDRNOTAVAIL;
  own = wanted;
  chose_port_ = own.port == 0;
  return -host.bind(host.udp_ports, *this, own);
}

int udp_model::bind_if_needed(const name& to) {
  if (is_bound) return 0;
  own = any_name(family == AF_INET);
  if (family == AF_INET6 && to.is_v4()) own = any_name(false);
  chose_port_ = true;
  return -host.bind(host.udp_ports, *this, own);
}

int udp_model::connect(const sockaddr* to, socklen_t size) {
  if (size >= sizeof(sa_family_t) && to->sa_family == AF_UNSPEC) {
    peer_.reset();
    if (std::exchange(chose_address_, false)) own.ip = any_name(family == AF_INET).ip;
    if (is_bound && std::exchange(chose_port_, false)) {
      machine::unbind(host.udp_ports, *this, own.port);
      is_bound = false;
      own.port = 0;
    }
    return 0;
  }
  name wanted;
  if (!read_name(to, size, family, wanted)) return -EAFNOSUPPORT;
  if (wanted.is_any()) wanted = name{loopback_name(wanted.is_v4()).ip, wanted.port};
  name source;
  if (!host.source_for(wanted, source)) return -ENETUNREACH;
  if (const int failed = bind_if_needed(wanted)) return failed;
  peer_ = wanted;
  if (own.is_any()) {
    own.ip = source.ip;
    chose_address_ = true;
  }
  return 0;
}

void udp_model::close() {
  watch = nullptr;
  if (is_bound) machine::unbind(host.udp_ports, *this, own.port);
  is_bound = false;
  groups_.clear();
}

int udp_model::getsockname(sockaddr* at, socklen_t* size) {
  write_name(is_bound ? own : any_name(family == AF_INET), family, at, size);
  return 0;
}

int udp_model::getpeername(sockaddr* at, socklen_t* size) {
  if (!peer_) return -ENOTCONN;
  write_name(*peer_, family, at, size);
  return 0;
}

ssize_t udp_model::receive(msghdr& into, int flags) {
  into.msg_controllen = 0;
  into.msg_flags = 0;
  if (error) return -std::exchange(error, 0);
  if (queue_.empty()) return -EAGAIN;
  const datagram first = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= first.data.size() + overhead;
  const std::size_t n = put(first.data.data(), first.data.size(), into);
  if (into.msg_name) write_name(first.from, family, into.msg_name, &into.msg_namelen);
  if (n < first.data.size()) into.msg_flags |= MSG_TRUNC;
  return static_cast<ssize_t>((flags & MSG_TRUNC) ? first.data.size() : n);
}

ssize_t udp_model::send(const msghdr& from) {
  if (error) return -std::exchange(error, 0);
  name to;
  if (from.msg_name) {
    const auto* const given = static_cast<const sockaddr*>(from.msg_name);
    if (!read_name(given, from.msg_namelen, family, to)) return -EAFNOSUPPORT;
  } else if (peer_) {
    to = *peer_;
  } else {
    return -EDESTADDRREQ;
  }
  const std::size_t size = size_of(from);
  if (size > (to.is_v4() ? largest_v4 : largest_v6)) return -EMSGSIZE;
  if (to.port == 0) return -EINVAL;
  if (to.is_any()) to.ip = loopback_name(to.is_v4()).ip;
  if (!own.is_any() && is_bound && own.is_v4() != to.is_v4()) return -ENETUNREACH;
  name source;
  if (!host.source_for(to, source)) return -ENETUNREACH;
  if (const int failed = bind_if_needed(to)) return failed;
  packet p;
  if (!fits(to, size, p.whole_bytes)) return -EMSGSIZE;
  p.type = packet::kind::udp;
  p.from = own.is_any() || own.is_multicast() ? name{source.ip, own.port} : own;
  p.to = to;
  if (to.is_multicast()) {
    p.hops = to.is_v4() ? option(IPPROTO_IP, IP_MULTICAST_TTL)
                        : option(IPPROTO_IPV6, IPV6_MULTICAST_HOPS);
    p.loops = (to.is_v4() ? option(IPPROTO_IP, IP_MULTICAST_LOOP)
                          : option(IPPROTO_IPV6, IPV6_MULTICAST_LOOP)) != 0;
  }
  take(from, size, p.data);
  host.send(std::move(p));
  return static_cast<ssize_t>(size);
}

int udp_model::mtu_mode(const name& to) const noexcept {
  return to.is_v4() ? option(IPPROTO_IP, IP_MTU_DISCOVER) : option(IPPROTO_IPV6, IPV6_MTU_DISCOVER);
}

bool udp_model::fits(const name& to, std::size_t size, std::size_t& whole_bytes) const {
  const std::size_t packet_size = size + (to.is_v4() ? 28 : 48);
  const std::size_t known = host.known_mtu(to);
  const std::size_t largest = host.interface_mtu(to);
  const int mode = mtu_mode(to);
  if (mode == IP_PMTUDISC_DO || mode == IP_PMTUDISC_PROBE) {
    whole_bytes = packet_size;
    return packet_size <= (mode == IP_PMTUDISC_DO ? known : largest);
  }
  // This host fragments. Routers do that for IPv4 only, and not if the whole fits as far as this host knows.
  if (!to.is_v4())
    whole_bytes = std::min(packet_size, known);
  else if (mode == IP_PMTUDISC_WANT && packet_size <= known)
    whole_bytes = packet_size;
  return true;
}

std::optional<int> udp_model::computed_option(int level, int option) const {
  if (!(level == IPPROTO_IP && option == IP_MTU) && !(level == IPPROTO_IPV6 && option == IPV6_MTU))
    return {};
  return peer_ ? static_cast<int>(host.known_mtu(*peer_)) : -ENOTCONN;
}

short udp_model::state() const noexcept {
  int now = POLLOUT;
  if (!queue_.empty()) now |= POLLIN;
  if (error) now |= POLLERR | POLLIN;
  return static_cast<short>(now);
}

bool udp_model::wants(const name& group, const name& from) const noexcept {
  const bool others = group.is_v4() ? option(IPPROTO_IP, IP_MULTICAST_ALL) != 0
                                    : option(IPPROTO_IPV6, IPV6_MULTICAST_ALL) != 0;
  return accepts(from) && groups_.wants(group.ip, from.ip, others);
}

std::optional<int> udp_model::set_structure(int level, int option, const void* value,
                                            socklen_t size) {
  const int of_family = level == IPPROTO_IP ? AF_INET : AF_INET6;
  const bool is_ip = level == IPPROTO_IP || (level == IPPROTO_IPV6 && family == AF_INET6);
  if (!is_ip) return {};
  if (level == IPPROTO_IP ? option == IP_MULTICAST_IF : option == IPV6_MULTICAST_IF) {
    // The system chooses among the interfaces of a host, which has one.
    ip_mreqn request = {};
    const std::size_t needed = level == IPPROTO_IP ? sizeof request : sizeof(int);
    if (size < needed) return -EINVAL;
    std::memcpy(level == IPPROTO_IP ? static_cast<void*>(&request) : &request.imr_ifindex, value,
                needed);
    return request.imr_ifindex == 0 ? 0 : -ENODEV;
  }
  if (option == MCAST_JOIN_GROUP || option == MCAST_LEAVE_GROUP) {
    group_req request;
    if (size < sizeof request) return -EINVAL;
    std::memcpy(&request, value, sizeof request);
    if (request.gr_interface != 0) return -ENODEV;
    return change_membership(option, request.gr_group, nullptr, of_family);
  }
  if (option == MCAST_JOIN_SOURCE_GROUP || option == MCAST_LEAVE_SOURCE_GROUP) {
    group_source_req request;
    if (size < sizeof request) return -EINVAL;
    std::memcpy(&request, value, sizeof request);
    if (request.gsr_interface != 0) return -ENODEV;
    return change_membership(option, request.gsr_group, &request.gsr_source, of_family);
  }
  return {};
}

int udp_model::change_membership(int option, const sockaddr_storage& to,
                                 const sockaddr_storage* from, int of_family) {
  name group;
  name sender;
  const auto read = [of_family](const sockaddr_storage& storage, name& into) {
    return read_name(reinterpret_cast<const sockaddr*>(&storage), sizeof storage, of_family, into);
  };
  if (!read(to, group) || (from && !read(*from, sender))) return -EADDRNOTAVAIL;
  if (!group.is_multicast()) return -EINVAL;
  name unused;
  if (!host.source_for(group, unused)) return -ENODEV;
  switch (option) {
    case MCAST_JOIN_GROUP: return groups_.join(group.ip);
    case MCAST_LEAVE_GROUP: return groups_.leave(group.ip);
    case MCAST_JOIN_SOURCE_GROUP: return groups_.join(group.ip, sender.ip);
    default: return groups_.leave(group.ip, sender.ip);
  }
}

void udp_model::arrived(packet& p) {
  const std::size_t size = p.data.size() + overhead;
  if (queued_bytes_ + size > receive_room() * 2) return;  // lost, and nobody hears of it
  queued_bytes_ += size;
  queue_.push_back({p.from, std::move(p.data)});
  notify(io_watch::readable);
}

void udp_model::unreachable(const name& to, int why) {
  // The system does not tell sockets that are not connected, and takes no answer of a router for final,
  // except that a datagram was too large.
  if (!peer_ || *peer_ != to) return;
  const bool too_large = why == EMSGSIZE && mtu_mode(to) != IP_PMTUDISC_DONT;
  if (why != ECONNREFUSED && !too_large) return;
  error = why;
  notify(io_watch::readable | io_watch::writable | io_watch::exceptional);
}

}  // namespace cosock::testing::detail
