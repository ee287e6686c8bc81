// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Descriptors, ports and the ways of packets of a simulated host.

#include "testing/machine.hpp"

#include "testing/local_model.hpp"
#include "testing/simulation.hpp"
#include "testing/tcp_model.hpp"
#include "testing/udp_model.hpp"

#include "loop/system.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <memory>

namespace cosock::testing::detail {

namespace {

// As ip_local_port_range.
constexpr unsigned first_port = 32768;
constexpr unsigned ports = 60999 - first_port + 1;

/// The part of a number that a host adds: 65536 descriptors for each of 16384 hosts.
constexpr int numbers_of_host = 1 << 16;

/// Of the loopback interface; a packet of IPv4 is never larger than the first one.
constexpr std::size_t loopback_mtu_v4 = 65535;
constexpr std::size_t loopback_mtu_v6 = 65536;
/// How long a path MTU is remembered, in nanoseconds, as net.ipv4.route.mtu_expires.
constexpr std::int64_t mtu_expires = 600'000'000'000;

/// Whether two sockets may not have these names at once.
bool overlap(const model_socket& a, const name& an, const model_socket& b,
             const name& bn) noexcept {
  const auto takes_v4 = [](const model_socket& s, const name& n) {
    return n.is_v4() || (n.is_any() && s.option(IPPROTO_IPV6, IPV6_V6ONLY) == 0);
  };
  const auto takes_v6 = [](const name& n) { return !n.is_v4(); };
  if (an.is_any() || bn.is_any())
    return (takes_v4(a, an) && takes_v4(b, bn)) || (takes_v6(an) && takes_v6(bn));
  return an.ip == bn.ip;
}

/// Whether the address that the socket is bound to, which may be any, is this one.
bool is_bound_for(const model_socket& s, const name& to) noexcept {
  if (!s.own.is_any()) return s.own.ip == to.ip;
  return s.own.is_v4() ? to.is_v4() : !to.is_v4() || s.option(IPPROTO_IPV6, IPV6_V6ONLY) == 0;
}

}  // namespace

machine::machine(simulation& in, unsigned index, std::vector<address> addresses,
                 std::string host_name)
    : in(in),
      index(index),
      addresses(std::move(addresses)),
      host_name(std::move(host_name)),
      chance(in.seed_of(index)) {}

machine::~machine() {
  for (const std::shared_ptr<model_socket>& s : descriptors_)
    if (s) s->vanish();
}

int machine::socket(int domain, int type) noexcept {
  std::shared_ptr<model_socket> made;
  if (!up || !has_programs) {
    errno = ENETDOWN;
    return -1;
  }
  if (domain == AF_UNIX) {
    made = std::make_shared<local_model>(*this, type);
  } else if (type == SOCK_STREAM) {
    made = std::make_shared<tcp_model>(*this, domain);
  } else {
    made = std::make_shared<udp_model>(*this, domain);
  }
  const int fd = open(std::move(made));
  if (fd >= 0) return fd;
  errno = -fd;
  return -1;
}

int machine::socketpair(int type, int (&fds)[2]) noexcept {
  const auto a = std::make_shared<local_model>(*this, type);
  const auto b = std::make_shared<local_model>(*this, type);
  local_model::join(a, b);
  if (!up || !has_programs || open_ + 2 > max_descriptors) {
    errno = up && has_programs ? EMFILE : ENETDOWN;
    return -1;
  }
  fds[0] = open(a);
  fds[1] = open(b);
  return 0;
}

int machine::open(std::shared_ptr<model_socket> s) {
  if (!has_room()) return -EMFILE;
  int number;
  if (free_.empty()) {
    number = static_cast<int>(descriptors_.size());
    if (number >= numbers_of_host) return -ENFILE;
    descriptors_.push_back(std::move(s));
  } else {
    number = free_.top();
    free_.pop();
    descriptors_[static_cast<std::size_t>(number)] = std::move(s);
  }
  ++open_;
  return cosock::detail::first_simulated_number + static_cast<int>(index) * numbers_of_host +
         number;
}

model_socket* machine::at(int fd) const noexcept {
  const auto number = static_cast<std::size_t>(fd % numbers_of_host);
  return number < descriptors_.size() ? descriptors_[number].get() : nullptr;
}

int machine::close(int fd) noexcept {
  const auto number = static_cast<std::size_t>(fd % numbers_of_host);
  if (number >= descriptors_.size() || !descriptors_[number]) return -EBADF;
  const std::shared_ptr<model_socket> closed = std::move(descriptors_[number]);
  descriptors_[number] = nullptr;
  free_.push(static_cast<int>(number));
  --open_;
  closed->close();
  return 0;
}

void machine::close_all() noexcept {
  for (std::size_t i = 0; i != descriptors_.size(); ++i) {
    if (!descriptors_[i]) continue;
    const std::shared_ptr<model_socket> closed = std::move(descriptors_[i]);
    descriptors_[i] = nullptr;
    free_.push(static_cast<int>(i));
    closed->close();
  }
  open_ = 0;
}

void machine::crash() noexcept {
  up = false;
  for (const std::shared_ptr<model_socket>& s : descriptors_)
    if (s) s->vanish();
  for (const auto& [names, connection] : connections) connection->vanish();
  descriptors_.clear();
  free_ = {};
  open_ = 0;
  connections.clear();
  tcp_ports.clear();
  udp_ports.clear();
  local_names.clear();
  blocked_senders.clear();
  path_mtus_.clear();
}

// Events

void machine::mark_dirty() {
  if (std::exchange(is_dirty, true)) return;
  in.dirty.push_back(index);
}

void machine::set_alarm(std::int64_t at) {
  if (at == alarm_) return;
  if (alarm_ != never) in.alarms.erase({alarm_, index});
  alarm_ = at;
  if (alarm_ != never) in.alarms.emplace(alarm_, index);
}

void machine::add(cosock::detail::io_watch& w, int fd) {
  w.watched_fd = fd;
  model_socket* const s = at(fd);
  if (!s) return;
  s->watch = &w;
  if (const unsigned now = s->events_now()) s->notify(now);
}

void machine::add_writable(cosock::detail::io_watch& w) noexcept {
  w.watches_writable = true;
  model_socket* const s = at(w.watched_fd);
  if (!s) return;
  if (const unsigned now = s->events_now()) s->notify(now);
}

void machine::remove(cosock::detail::io_watch& w) noexcept {
  if (model_socket* const s = at(w.watched_fd)) s->watch = nullptr;
}

void machine::queue(const std::shared_ptr<model_socket>& ready) {
  ready_.push_back(ready);
  mark_dirty();
}

void machine::deliver_events() noexcept {
  reporting_.swap(ready_);
  for (const std::shared_ptr<model_socket>& s : reporting_) {
    s->queued = false;
    const unsigned events = std::exchange(s->pending, 0);
    if (s->watch) s->watch->on_events(events);
  }
  reporting_.clear();
}

// Ports

bool machine::is_own(const name& n) const noexcept {
  if (n.is_loopback()) return true;
  return std::any_of(addresses.begin(), addresses.end(),
                     [&n](const address& a) { return bytes_of(a) == n.ip; });
}

bool machine::is_near(const name& n) const noexcept {
  return std::any_of(addresses.begin(), addresses.end(), [&n](const address& a) {
    return name{bytes_of(a), 0}.is_near(n);
  });
}

std::size_t machine::interface_mtu(const name& to) const noexcept {
  if (!is_own(to)) return in.options.link.mtu;
  return to.is_v4() ? loopback_mtu_v4 : loopback_mtu_v6;
}

std::size_t machine::known_mtu(const name& to) const noexcept {
  const auto told = path_mtus_.find(to.ip);
  if (told == path_mtus_.end() || told->second.expires <= in.now) return interface_mtu(to);
  return std::min(told->second.bytes, interface_mtu(to));
}

bool machine::source_for(const name& to, name& into) const noexcept {
  if (is_own(to)) {
    into = to.is_loopback() ? loopback_name(to.is_v4()) : name{to.ip, 0};
    return true;
  }
  for (const address& a : addresses) {
    if (a.is_v4() != to.is_v4()) continue;
    into = name{bytes_of(a), 0};
    return true;
  }
  return false;
}

int machine::bind(port_table& table, model_socket& s, name& at) {
  const auto conflicts = [&](const model_socket& other, const name& other_name) {
    if (!overlap(s, at, other, other_name)) return false;
    const auto both = [&](int option) {
      return s.option(SOL_SOCKET, option) != 0 && other.option(SOL_SOCKET, option) != 0;
    };
    return !both(SO_REUSEPORT) && (!both(SO_REUSEADDR) || other.is_listening());
  };
  const auto is_taken = [&](std::uint16_t port) {
    const auto users = table.find(port);
    if (users != table.end() &&
        std::any_of(users->second.begin(), users->second.end(),
                    [&](const model_socket* other) { return conflicts(*other, other->own); }))
      return true;
    // Connections have the port too, also those that the program has closed.
    return &table == &tcp_ports &&
           std::any_of(connections.begin(), connections.end(), [&](const auto& entry) {
             return entry.first.first.port == port && conflicts(*entry.second, entry.first.first);
           });
  };
  if (at.port == 0) {
    const unsigned start = static_cast<unsigned>(chance.below(ports));
    unsigned i = 0;
    for (; i != ports; ++i) {
      at.port = static_cast<std::uint16_t>(first_port + (start + i) % ports);
      if (!table.contains(at.port)) break;
    }
    if (i == ports) return EADDRINUSE;
  } else if (is_taken(at.port)) {
    return EADDRINUSE;
  }
  table[at.port].push_back(&s);
  s.is_bound = true;
  return 0;
}

void machine::unbind(port_table& table, model_socket& s, std::uint16_t port) noexcept {
  const auto users = table.find(port);
  if (users == table.end()) return;
  std::erase(users->second, &s);
  if (users->second.empty()) table.erase(users);
}

std::uint16_t machine::port_to(const name& own, const name& peer) {
  const unsigned start = static_cast<unsigned>(chance.below(ports));
  for (unsigned i = 0; i != ports; ++i) {
    const auto port = static_cast<std::uint16_t>(first_port + (start + i) % ports);
    if (!tcp_ports.contains(port) && !connections.contains({name{own.ip, port}, peer})) return port;
  }
  return 0;
}

// Packets

void machine::send(packet p) {
  if (up) in.outgoing.push_back({index, std::move(p)});
}

void machine::receive(packet& p) {
  if (!up) return;
  switch (p.type) {
    case packet::kind::tcp: return receive_tcp(p);
    case packet::kind::udp: return receive_udp(p);
    case packet::kind::unreachable: return receive_unreachable(p);
  }
}

tcp_model* machine::listener_for(const name& at) const noexcept {
  const auto users = tcp_ports.find(at.port);
  if (users == tcp_ports.end()) return nullptr;
  tcp_model* best = nullptr;
  for (model_socket* const s : users->second) {
    auto* const candidate = static_cast<tcp_model*>(s);
    if (!candidate->is_listening()) continue;
    if (s->own.ip == at.ip) return candidate;
    if (!s->own.is_any()) continue;
    if (s->own.is_v4() ? at.is_v4() : !at.is_v4() || s->option(IPPROTO_IPV6, IPV6_V6ONLY) == 0)
      best = candidate;
  }
  return best;
}

void machine::receive_tcp(packet& p) {
  const auto found = connections.find({p.to, p.from});
  if (found != connections.end()) {
    const std::shared_ptr<tcp_model> connection = found->second;
    return connection->arrived(p);
  }
  if (tcp_model* const listener = listener_for(p.to)) return listener->arrived(p);
  tcp_model::refuse(*this, p);
}

bool machine::has_joined(const ip_bytes& group) const noexcept {
  return std::any_of(descriptors_.begin(), descriptors_.end(), [&](const auto& s) {
    return s && s->type == SOCK_DGRAM && s->family != AF_UNIX &&
           static_cast<const udp_model&>(*s).has_joined(group);
  });
}

/// To each socket that wants it; nobody is told if there is none.
void machine::receive_for_group(const packet& p) {
  const auto users = udp_ports.find(p.to.port);
  if (users == udp_ports.end() || !has_joined(p.to.ip)) return;
  for (model_socket* const s : users->second) {
    auto* const candidate = static_cast<udp_model*>(s);
    if (!is_bound_for(*s, p.to) || !candidate->wants(p.to, p.from)) continue;
    packet copy = p;
    candidate->arrived(copy);
  }
}

void machine::receive_udp(packet& p) {
  if (p.to.is_multicast()) return receive_for_group(p);
  udp_model* best = nullptr;
  const auto users = udp_ports.find(p.to.port);
  if (users != udp_ports.end()) {
    int best_score = -1;
    for (model_socket* const s : users->second) {
      auto* const candidate = static_cast<udp_model*>(s);
      if (!is_bound_for(*s, p.to) || !candidate->accepts(p.from)) continue;
      sockaddr_storage unused;
      socklen_t size = sizeof unused;
      const bool connected = s->getpeername(reinterpret_cast<sockaddr*>(&unused), &size) == 0;
      const int score = (connected ? 2 : 0) + (s->own.is_any() ? 0 : 1);
      if (score <= best_score) continue;
      best = candidate;
      best_score = score;
    }
  }
  if (best) return best->arrived(p);
  packet answer;
  answer.type = packet::kind::unreachable;
  answer.error = ECONNREFUSED;
  answer.from = p.to;
  answer.to = p.from;
  send(std::move(answer));
}

void machine::receive_unreachable(packet& p) {
  if (p.was_tcp) {
    const auto found = connections.find({p.to, p.from});
    if (found == connections.end()) return;
    const std::shared_ptr<tcp_model> connection = found->second;
    return connection->unreachable(p.error);
  }
  if (p.error == EMSGSIZE) path_mtus_[p.from.ip] = {p.mtu, in.now + mtu_expires};
  const auto users = udp_ports.find(p.to.port);
  if (users == udp_ports.end()) return;
  for (model_socket* const s : users->second)
    static_cast<udp_model*>(s)->unreachable(p.from, p.error);
}

std::uint64_t machine::random_number() noexcept { return chance.next(); }

void machine::record(traced what, std::uint64_t subject, std::uint64_t detail) noexcept {
  history.add(static_cast<std::uint64_t>(in.now));
  history.add(static_cast<std::uint64_t>(what));
  history.add(subject);
  history.add(detail);
}

}  // namespace cosock::testing::detail
