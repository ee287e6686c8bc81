// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// udp_socket: options, multicast and ownership, and connect_udp(). Its operations are in
// datagram_descriptor.cpp.

#include <cosock/udp.hpp>

#include "core/checkpoint.hpp"
#include "core/text.hpp"
#include "loop/engine.hpp"
#include "net/filtered_datagrams.hpp"
#include "net/look_up.hpp"
#include "net/socket.hpp"

#include <cosock/loop.hpp>

#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>

namespace cosock {

using detail::check;
using detail::datagram_descriptor;
using detail::get;
using detail::handle_of;
using detail::io_object;
using detail::scheduler;
using detail::set;
using detail::system_failure;

namespace {

bool is_v6(const io_object* socket) {
  handle_of(socket);
  return static_cast<const datagram_descriptor*>(socket)->traits.family == AF_INET6;
}

/// An option that has a name of its own for each family.
struct option {
  int v4;
  int v6;
};
constexpr option unicast_hops = {IP_TTL, IPV6_UNICAST_HOPS};
constexpr option group_hops = {IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS};
constexpr option group_loopback = {IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP};
constexpr option type_of_service = {IP_TOS, IPV6_TCLASS};
constexpr option path_mtu_discovery = {IP_MTU_DISCOVER, IPV6_MTU_DISCOVER};
constexpr option known_path_mtu = {IP_MTU, IPV6_MTU};
// Each value of mtu_discovery is that of the system, for both families.
static_assert(int{IP_PMTUDISC_DONT} == static_cast<int>(mtu_discovery::off));
static_assert(int{IP_PMTUDISC_WANT} == static_cast<int>(mtu_discovery::fragment));
static_assert(int{IP_PMTUDISC_DO} == static_cast<int>(mtu_discovery::dont_fragment));
static_assert(int{IP_PMTUDISC_PROBE} == static_cast<int>(mtu_discovery::probe));
static_assert(IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE);

/// Sets the hop limit to the default of the system (ip(7), ipv6(7)).
constexpr int system_default = -1;

/// Refuses a number that one of the families would take for another one: it would use the low byte,
/// or its default for -1.
int in_range(const char* option, int value, int least, int largest) {
  if (value < least || value > largest)
    detail::raise(system_failure(EINVAL), std::string(option) + ' ' + std::to_string(value));
  return value;
}

void set(const io_object* socket, option name, int value) {
  const bool v6 = is_v6(socket);
  if (v6) set(socket, IPPROTO_IPV6, name.v6, value);
  // An IPv6 socket that takes IPv4 too needs it for both; one that does not refuses.
  if (detail::system::setsockopt(handle_of(socket), IPPROTO_IP, name.v4, &value, sizeof value) !=
          0 &&
      !v6)
    detail::raise(system_failure(errno));
}

int get(const io_object* socket, option name) {
  return is_v6(socket) ? get(socket, IPPROTO_IPV6, name.v6) : get(socket, IPPROTO_IP, name.v4);
}

void ask_for_info(int fd, bool v6, const udp_socket_options& options, const endpoint& at) {
  const auto ask = [&](bool wanted, int level, int name) {
    const int yes = 1;
    if (wanted) check(detail::system::setsockopt(fd, level, name, &yes, sizeof yes), at);
  };
  const auto ask_both = [&](bool wanted, int name_v4, int name_v6) {
    ask(wanted && v6, IPPROTO_IPV6, name_v6);
    ask(wanted, IPPROTO_IP, name_v4);
  };
  ask(options.receive_address && v6, IPPROTO_IPV6, IPV6_RECVPKTINFO);  // for IPv4 too
  ask(options.receive_address && !v6, IPPROTO_IP, IP_PKTINFO);
  ask_both(options.receive_traffic_class, IP_RECVTOS, IPV6_RECVTCLASS);
  ask_both(options.receive_hops, IP_RECVTTL, IPV6_RECVHOPLIMIT);
  ask(options.receive_time, SOL_SOCKET, SO_TIMESTAMPNS);
  ask(options.receive_dropped, SOL_SOCKET, SO_RXQ_OVFL);
}

/// Linux delivers what anybody on this machine has joined to each socket on the port, unless told not
/// to (ip(7)). Kernels before 4.20 have no such option for IPv6.
void hear_own_groups_only(int fd, bool v6) noexcept {
  const int no = 0;
  detail::system::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &no, sizeof no);
  if (v6) detail::system::setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &no, sizeof no);
}

bool joins_datagrams(int fd) noexcept {
  int gro = 0;  // stays 0 on a system without UDP_GRO
  socklen_t size = sizeof gro;
  detail::system::getsockopt(fd, SOL_UDP, UDP_GRO, &gro, &size);
  return gro != 0;
}

datagram_descriptor* prepare(scheduler& loop, int fd, bool v6, bool shared,
                             const address_filter& filter = {}) {
  const int family = v6 ? AF_INET6 : AF_INET;
  datagram_descriptor* const d = filter.is_empty()
                                     ? datagram_descriptor::open(loop, fd, family, shared)
                                     : detail::filtered_datagrams::open(loop, fd, family, filter);
  // Linux before 4.18 would ignore UDP_SEGMENT, and send one large datagram.
  int segment = 0;
  socklen_t size = sizeof segment;
  if (detail::system::getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &size) != 0)
    d->traits.gso_size_limit = 0;
  return d;
}

datagram_descriptor* open(scheduler& loop, const endpoint& at, const udp_socket_options& options,
                          bool bound) {
  const bool v6 = !detail::is_for_v4_socket(at.address());
  unique_descriptor socket = detail::internet_socket(at, SOCK_DGRAM, options);
  const int yes = 1;
  if (options.broadcast)
    check(detail::system::setsockopt(socket.get(), SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes), at);
  hear_own_groups_only(socket.get(), v6);
  ask_for_info(socket.get(), v6, options, at);
  // Linux before 5.0 does not join datagrams; the results are the same.
  bool gro = options.receive_offload &&
             detail::system::setsockopt(socket.get(), SOL_UDP, UDP_GRO, &yes, sizeof yes) == 0;
  if (options.configure) {
    options.configure(socket.get());
    gro = joins_datagrams(socket.get());
  }
  detail::system_address name(at);
  if (bound) check(detail::system::bind(socket.get(), name.get(), name.size), at);
  datagram_descriptor* const d = prepare(loop, socket.release(), v6, false, options.filter);
  d->uses_gro = gro;
  d->wants_control = gro || options.receive_address || options.receive_traffic_class ||
                     options.receive_hops || options.receive_time || options.receive_dropped ||
                     options.configure;
  if (!options.send_offload) d->traits.gso_size_limit = 0;
  return d;
}

/// A group's address, and the interface, as messages name them.
std::string on_interface(const address& group, unsigned index) {
  std::string text = group.to_string();
  if (index == 0 || index == group.scope_id()) return text;
  char name[IF_NAMESIZE];
  return text + " on interface " +
         (::if_indextoname(index, name) ? std::string(name) : std::to_string(index));
}

/// The interface that a membership is for: the one that is given, or that a scope id names; 0 leaves
/// it to the system. Throws where two are named.
unsigned membership_interface(const address& group, const address* sender,
                              const network_interface& given) {
  unsigned index = given.interface_index();
  for (const address* entry : {&group, sender}) {
    if (!entry || entry->scope_id() == 0) continue;
    if (index != 0 && index != entry->scope_id())
      detail::raise(system_failure(EINVAL), on_interface(*entry, index));
    index = entry->scope_id();
  }
  return index;
}

}  // namespace

template class descriptor_handle<datagram_socket<>>;
template class basic_socket<datagram_socket<>, endpoint>;

udp_socket::udp_socket(const endpoint& at, const udp_socket_options& options)
    : basic_socket(open(scheduler::required(), at, options, true)) {}
udp_socket::udp_socket(loop& loop, const endpoint& at, const udp_socket_options& options)
    : basic_socket(open(detail::engine::get(loop), at, options, true)) {}

udp_socket::~udp_socket() = default;

udp_socket udp_socket::open_connected(const endpoint& peer, const udp_socket_options& options) {
  udp_socket s(open(scheduler::required(), peer, options, false));
  s.connect(peer);
  return s;
}

udp_socket udp_socket::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted(fd, SOCK_DGRAM, AF_UNSPEC);
  const int family = get(fd, SOL_SOCKET, SO_DOMAIN);
  if (family != AF_INET && family != AF_INET6) detail::raise(system_failure(EAFNOSUPPORT));
  if (get(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_UDP) detail::raise(system_failure(EPROTOTYPE));
  datagram_descriptor* const d = prepare(loop, taken.release(), family == AF_INET6, true);
  d->uses_gro = joins_datagrams(fd);
  d->wants_control = true;
  return udp_socket(d);
}

void udp_socket::connect(const endpoint& peer) {
  const bool v6 = is_v6(object_);
  if (!static_cast<datagram_descriptor*>(object_)->permits(peer.address()))
    detail::raise(detail::own_failure(error::address_denied), peer.to_string());
  detail::system_address name(peer, v6);
  if (const int error = v6 ? detail::use_interface_of(handle_of(object_), peer.address()) : 0)
    detail::raise(system_failure(error), peer.to_string());
  check(detail::system::connect(handle_of(object_), name.get(), name.size), peer);
}

void udp_socket::disconnect() {
  // Linux would go on to receive from the last peer's address only.
  if (is_v6(object_)) detail::raise(system_failure(EOPNOTSUPP));
  const endpoint before = local_endpoint();
  sockaddr none = {};
  none.sa_family = AF_UNSPEC;
  if (detail::system::connect(handle_of(object_), &none, sizeof none) != 0)
    detail::raise(system_failure(errno));
  // A port that the system has picked goes with the connection.
  const endpoint after = local_endpoint();
  if (after.port() != 0) return;
  const endpoint again(after.address(), before.port());
  detail::system_address name(again);
  check(detail::system::bind(handle_of(object_), name.get(), name.size), again);
}

void udp_socket::change_membership(int name, const address& given, const address* sender,
                                   const network_interface& local_interface) {
  const int fd = handle_of(object_);
  const address group = given.unmapped();
  const unsigned index = membership_interface(group, sender, local_interface);
  const int level = group.is_v6() ? IPPROTO_IPV6 : IPPROTO_IP;
  const bool joins = name == MCAST_JOIN_GROUP || name == MCAST_JOIN_SOURCE_GROUP;
  detail::memberships* const groups =
      group.is_v6() ? &static_cast<datagram_descriptor*>(object_)->groups : nullptr;
  // The filter of the socket is never behind what it has joined.
  if (joins && groups) groups->add(fd, group, index);
  const auto fill = [](sockaddr_storage& into, const address& a) {
    detail::encode_endpoint(endpoint(a, 0), &into);
  };
  int result;
  if (sender) {
    group_source_req request = {};
    request.gsr_interface = index;
    fill(request.gsr_group, group);
    fill(request.gsr_source, sender->unmapped());
    result = detail::system::setsockopt(fd, level, name, &request, sizeof request);
  } else {
    group_req request = {};
    request.gr_interface = index;
    fill(request.gr_group, group);
    result = detail::system::setsockopt(fd, level, name, &request, sizeof request);
  }
  if (result == 0) {
    if (!joins && groups) groups->remove(fd, group, index, name == MCAST_LEAVE_GROUP);
    return;
  }
  const int error = errno;
  if (joins && groups) groups->undo(fd);
  const bool missing = index != 0 && !detail::is_interface(fd, index);
  detail::raise(system_failure(missing ? ENODEV : error), on_interface(group, index));
}

void udp_socket::join(const address& group, const network_interface& local_interface) {
  hear_own_groups_only(handle_of(object_),
                       is_v6(object_));  // one that was adopted heard others, too
  change_membership(MCAST_JOIN_GROUP, group, nullptr, local_interface);
}
void udp_socket::join(const address& group, const address& sender,
                      const network_interface& local_interface) {
  hear_own_groups_only(handle_of(object_), is_v6(object_));
  change_membership(MCAST_JOIN_SOURCE_GROUP, group, &sender, local_interface);
}
void udp_socket::leave(const address& group, const network_interface& local_interface) {
  change_membership(MCAST_LEAVE_GROUP, group, nullptr, local_interface);
}
void udp_socket::leave(const address& group, const address& sender,
                       const network_interface& local_interface) {
  change_membership(MCAST_LEAVE_SOURCE_GROUP, group, &sender, local_interface);
}

void udp_socket::set_multicast_interface(const network_interface& out) {
  const int index = static_cast<int>(out.interface_index());
  ip_mreqn v4 = {};
  v4.imr_ifindex = index;
  const bool v6 = is_v6(object_);
  if (index != 0 && !detail::is_interface(handle_of(object_), out.interface_index()))
    detail::raise(system_failure(ENODEV), "interface " + std::to_string(out.interface_index()));
  if (v6) set(object_, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
  if (detail::system::setsockopt(handle_of(object_), IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof v4) !=
          0 &&
      !v6)
    detail::raise(system_failure(errno));
}

void udp_socket::set_multicast_hops(int hops) {
  set(object_, group_hops, in_range("multicast_hops", hops, 0, 255));
}
int udp_socket::multicast_hops() const { return get(object_, group_hops); }
void udp_socket::set_multicast_loopback(bool enabled) { set(object_, group_loopback, enabled); }
bool udp_socket::multicast_loopback() const { return get(object_, group_loopback) != 0; }

void udp_socket::set_broadcast(bool allowed) {
  set<int>(object_, SOL_SOCKET, SO_BROADCAST, allowed);
}
bool udp_socket::broadcast() const { return get(object_, SOL_SOCKET, SO_BROADCAST) != 0; }
void udp_socket::set_hops(std::optional<int> hops) {
  set(object_, unicast_hops, hops ? in_range("hops", *hops, 1, 255) : system_default);
}
int udp_socket::hops() const { return get(object_, unicast_hops); }
void udp_socket::set_traffic_class(int byte) {
  set(object_, type_of_service, in_range("traffic_class", byte, 0, 255));
}
int udp_socket::traffic_class() const { return get(object_, type_of_service); }
void udp_socket::set_mtu_discovery(cosock::mtu_discovery mode) {
  set(object_, path_mtu_discovery, static_cast<int>(mode));
}
mtu_discovery udp_socket::mtu_discovery() const {
  const int mode = get(object_, path_mtu_discovery);
  return mode <= IP_PMTUDISC_PROBE ? static_cast<cosock::mtu_discovery>(mode)
                                   : cosock::mtu_discovery::off;
}
int udp_socket::path_mtu() const { return get(object_, known_path_mtu); }
std::uint32_t udp_socket::dropped() const {
  std::uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof memory;
  if (detail::system::getsockopt(handle_of(object_), SOL_SOCKET, SO_MEMINFO, memory, &size) != 0)
    detail::raise(system_failure(errno));
  return memory[SK_MEMINFO_DROPS];
}

task<udp_socket> connect_udp(endpoint peer, udp_socket_options options) {
  co_await detail::checkpoint();
  co_return udp_socket::open_connected(peer, options);
}

task<udp_socket> connect_udp(std::string host, std::uint16_t port, udp_socket_options options) {
  return connect_udp(std::move(host), std::to_string(port), options);
}

task<udp_socket> connect_udp(std::string host, std::string service, udp_socket_options options) {
  const std::string target = detail::printable(host);
  udp_socket connected;
  std::exception_ptr failure;
  std::string denied;
  detail::candidates candidates;
  bool hook_has_thrown = false;
  const auto hook = [&](int fd) {
    hook_has_thrown = true;
    options.configure(fd);
    hook_has_thrown = false;
  };
  udp_socket_options attempt_options = options;
  if (options.configure) attempt_options.configure = hook;
  const auto body = [&](nursery& in) -> task<> {
    co_await candidates.look_up(in, std::move(host), std::move(service), family::any);
    while (!connected.is_open()) {
      const std::optional<endpoint> to = co_await candidates.next();
      if (!to) co_return;
      if (!options.filter.permits(to->address())) {
        denied += (denied.empty() ? "" : ", ") + to->to_string();
        continue;
      }
      try {
        connected = udp_socket::open_connected(*to, attempt_options);
      } catch (const boost::system::system_error&) {
        if (hook_has_thrown) throw;
        failure = std::current_exception();
      }
    }
    in.cancel();
  };
  co_await with_nursery(body);
  if (connected.is_open()) co_return connected;
  if (failure) std::rethrow_exception(failure);
  if (!denied.empty())
    detail::raise(detail::own_failure(error::address_denied), target + ": " + denied);
  candidates.raise();
}

}  // namespace cosock
