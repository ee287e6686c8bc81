// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The links of a simulated network, and the socket calls on its descriptors.

#include "testing/simulation.hpp"

#include "testing/tcp_model.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <tuple>

namespace cosock::testing::detail {

class simulation::arrival final : public event {
 public:
  arrival(machine& at, packet p) : at_(at), packet_(std::move(p)) {}
  /// In the order of the hosts.
  static std::uint64_t key(const machine& from, const machine& to) noexcept {
    return (std::uint64_t{to.index} + 1) << 32 | from.index;
  }
  void happen() override {
    at_.record(
        traced::arrival, std::uint64_t{packet_.from.port} << 16 | packet_.to.port,
        packet_.sequence << 8 ^ packet_.flags ^ static_cast<std::uint64_t>(packet_.type) << 62);
    at_.history.add(packet_.data);
    at_.receive(packet_);
  }

 private:
  machine& at_;
  packet packet_;
};

class simulation::call final : public event {
 public:
  explicit call(std::function<void()> f) : function_(std::move(f)) {}
  void happen() override { function_(); }

 private:
  std::function<void()> function_;
};

class simulation::timer final : public event {
 public:
  timer(const std::shared_ptr<timed>& target, std::uint64_t generation)
      : target_(target), generation_(generation) {}
  void happen() override {
    if (const std::shared_ptr<timed> target = target_.lock()) target->on_time(generation_);
  }

 private:
  std::weak_ptr<timed> target_;
  std::uint64_t generation_;
};

simulation::simulation(const network_options& options)
    : options(options), before_(cosock::detail::set_simulation(this)) {
  if (before_) {
    cosock::detail::set_simulation(before_);
    throw std::logic_error("cosock: there is a testing::network on this thread already");
  }
}

simulation::~simulation() {
  machines.clear();
  cosock::detail::set_simulation(before_);
}

machine& simulation::add(std::vector<address> addresses, std::string host_name) {
  const auto index = static_cast<unsigned>(machines.size());
  auto made = std::make_unique<machine>(*this, index, std::move(addresses), std::move(host_name));
  for (const address& a : made->addresses) by_address_[bytes_of(a)] = made.get();
  machines.push_back(std::move(made));
  return *machines.back();
}

machine* simulation::find(const ip_bytes& address) noexcept {
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? nullptr : found->second;
}

one_way& simulation::way(machine& from, machine& to) {
  if (from.ways.size() <= to.index) from.ways.resize(to.index + 1);
  std::unique_ptr<one_way>& made = from.ways[to.index];
  if (!made) {
    made = std::make_unique<one_way>(seed_of((std::uint64_t{from.index} + 1) << 32 | to.index));
    if (&from != &to) made->options = options.link;
  }
  return *made;
}

/// To the members: on this host at once, on other hosts over their links. Routers forward what may leave
/// the subnet, and nobody answers.
void simulation::transmit_to_group(machine& from, const packet& p) {
  if (p.loops && from.has_joined(p.to.ip))
    events.add(now, arrival::key(from, from), std::make_unique<arrival>(from, p));
  if (p.hops == 0 || p.from.is_loopback() || p.to.is_group_of_host()) return;
  const bool stays = p.hops == 1 || p.to.is_group_of_subnet();
  for (const auto& each : machines) {
    machine& to = *each;
    if (&to == &from || !to.has_joined(p.to.ip) || (stays && !to.is_near(p.from))) continue;
    one_way& over = way(from, to);
    if (over.state == outage::none && p.whole_bytes <= over.options.mtu)
      deliver(p, from, to, over);
    else
      to.record(traced::loss, from.index);
  }
}

void simulation::transmit(machine& from, packet p) {
  if (p.to.is_multicast()) return transmit_to_group(from, p);
  if (from.is_own(p.to)) {
    events.add(now, arrival::key(from, from), std::make_unique<arrival>(from, std::move(p)));
    return;
  }
  const auto answer = [&](std::int64_t after, int error = EHOSTUNREACH, std::size_t mtu = 0) {
    if (p.type == packet::kind::unreachable) return;
    packet refused;
    refused.type = packet::kind::unreachable;
    refused.error = error;
    refused.mtu = mtu;
    refused.was_tcp = p.type == packet::kind::tcp;
    refused.from = p.to;
    refused.to = p.from;
    events.add(now + after, arrival::key(from, from),
               std::make_unique<arrival>(from, std::move(refused)));
  };
  machine* const to = find(p.to.ip);
  if (!to) return answer(options.link.latency.count());
  one_way& over = way(from, *to);
  if (over.state == outage::silent) {
    to->record(traced::loss, from.index);
    return;
  }
  if (over.state == outage::unreachable) return answer(over.options.latency.count());
  if (p.whole_bytes > over.options.mtu) {
    to->record(traced::loss, from.index);
    return answer(over.options.latency.count(), EMSGSIZE, over.options.mtu);
  }
  deliver(std::move(p), from, *to, over);
}

void simulation::deliver(packet p, machine& from, machine& to, one_way& over) {
  const link_options& link = over.options;
  if (link.loss > 0 && over.chance.chance(link.loss)) {
    to.record(traced::loss, from.index);
    return;
  }
  std::int64_t leaves = now;
  if (link.bandwidth) {
    const auto bandwidth = static_cast<double>(std::max<std::uint64_t>(*link.bandwidth, 1));
    const std::int64_t begins = std::max(now, over.free_at);
    const double waiting = static_cast<double>(begins - now) * 1e-9 * bandwidth;
    if (waiting + static_cast<double>(p.size()) > static_cast<double>(link.queue) &&
        begins != now) {
      to.record(traced::loss, from.index);
      return;
    }
    leaves = over.free_at =
        begins + static_cast<std::int64_t>(static_cast<double>(p.size()) * 1e9 / bandwidth);
  }
  std::int64_t at = leaves + link.latency.count();
  if (link.jitter.count() > 0)
    at += static_cast<std::int64_t>(
        over.chance.below(static_cast<std::uint64_t>(link.jitter.count()) + 1));
  if (link.reordering > 0 && over.chance.chance(link.reordering)) {
    // So late that those behind it overtake it.
    at += link.latency.count() + link.jitter.count() + 1'000'000;
  } else {
    at = over.last_arrival = std::max(at, over.last_arrival);
  }
  if (link.duplication > 0 && over.chance.chance(link.duplication)) {
    to.record(traced::duplicate, from.index);
    events.add(at, arrival::key(from, to), std::make_unique<arrival>(to, p));
  }
  events.add(at, arrival::key(from, to), std::make_unique<arrival>(to, std::move(p)));
}

void simulation::call_at(std::int64_t at, std::function<void()> f) {
  events.add(std::max(at, now), 0, std::make_unique<call>(std::move(f)));
}

void simulation::set_timer(std::int64_t at, const std::shared_ptr<timed>& target,
                           std::uint64_t generation) {
  if (at != never)
    events.add(at, (std::uint64_t{target->host.index} + 1) << 32 | target->ports(),
               std::make_unique<timer>(target, generation));
}

std::uint64_t simulation::hash() const noexcept {
  trace all;
  for (const auto& m : machines) all.add(m->history.hash());
  return all.hash();
}

void simulation::settle() {
  for (std::size_t i = 0; i != owed.size(); ++i)
    if (const std::shared_ptr<timed> debtor = owed[i].lock()) debtor->settle();
  owed.clear();
  if (outgoing.size() > 1)
    std::stable_sort(outgoing.begin(), outgoing.end(), [](const sent& a, const sent& b) {
      return std::tie(a.from, a.what.to, a.what.from) < std::tie(b.from, b.what.to, b.what.from);
    });
  for (sent& each : outgoing)
    if (machines[each.from]->up) transmit(*machines[each.from], std::move(each.what));
  outgoing.clear();
}

// The socket calls

model_socket* simulation::socket_of(int fd) const noexcept {
  const auto index = static_cast<std::size_t>((fd - cosock::detail::first_simulated_number) >> 16);
  return index < machines.size() ? machines[index]->at(fd) : nullptr;
}

namespace {

/// The result of a call as the system returns it. Memory that runs out is an error of the call.
template <class F>
auto call_on(model_socket* s, F f) noexcept -> decltype(f(*s)) {
  decltype(f(*s)) result = -EBADF;
  try {
    if (s) {
      const auto alive = s->shared_from_this();
      result = f(*s);
    }
  } catch (...) {
    result = -ENOMEM;
  }
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace

int simulation::bind(int fd, const sockaddr* at, socklen_t size) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.bind(at, size); });
}
int simulation::listen(int fd, int backlog) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.listen(backlog); });
}
int simulation::accept4(int fd, sockaddr* at, socklen_t* size) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.accept(at, size); });
}
int simulation::connect(int fd, const sockaddr* to, socklen_t size) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.connect(to, size); });
}
int simulation::shutdown(int fd, int how) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.shutdown(how); });
}
int simulation::close(int fd) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.host.close(fd); });
}
int simulation::getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept {
  return call_on(socket_of(fd),
                 [&](model_socket& s) { return s.getsockopt(level, option, value, size); });
}
int simulation::setsockopt(int fd, int level, int option, const void* value,
                           socklen_t size) noexcept {
  return call_on(socket_of(fd),
                 [&](model_socket& s) { return s.setsockopt(level, option, value, size); });
}
int simulation::getsockname(int fd, sockaddr* at, socklen_t* size) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.getsockname(at, size); });
}
int simulation::getpeername(int fd, sockaddr* at, socklen_t* size) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.getpeername(at, size); });
}
short simulation::poll_now(int fd, short wanted) noexcept {
  const model_socket* const s = socket_of(fd);
  return s ? static_cast<short>(s->state() & (wanted | POLLERR | POLLHUP)) : short{POLLNVAL};
}
ssize_t simulation::recvmsg(int fd, msghdr* message, int flags) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.receive(*message, flags); });
}
ssize_t simulation::sendmsg(int fd, const msghdr* message, int) noexcept {
  return call_on(socket_of(fd), [&](model_socket& s) { return s.send(*message); });
}

}  // namespace cosock::testing::detail
