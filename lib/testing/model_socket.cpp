// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What all simulated sockets share: options, events and messages.

#include "testing/model_socket.hpp"

#include "testing/machine.hpp"

#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>

namespace cosock::testing::detail {

namespace {

/// An option that is a number, and its value in a new socket.
struct known_option {
  int level;
  int name;
  int value;
  int least;
  int largest;
};
constexpr known_option known_options[] = {
    {SOL_SOCKET, SO_REUSEADDR, 0, 0, 1},
    {SOL_SOCKET, SO_REUSEPORT, 0, 0, 1},
    {SOL_SOCKET, SO_KEEPALIVE, 0, 0, 1},
    {SOL_SOCKET, SO_BROADCAST, 0, 0, 1},
    {SOL_SOCKET, SO_BINDTOIFINDEX, 0, 0, INT_MAX},
    {IPPROTO_TCP, TCP_NODELAY, 0, 0, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, 7200, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPINTVL, 75, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPCNT, 9, 1, 127},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 0, INT_MAX},
    {IPPROTO_IP, IP_TTL, 64, 1, 255},
    {IPPROTO_IP, IP_TOS, 0, 0, 255},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0, 0, 1},
    {IPPROTO_IP, IP_MULTICAST_ALL, 1, 0, 1},
    {IPPROTO_IP, IP_MULTICAST_TTL, 1, 0, 255},
    {IPPROTO_IP, IP_MULTICAST_LOOP, 1, 0, 1},
    {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT, 0, 5},
    {IPPROTO_IPV6, IPV6_V6ONLY, 0, 0, 1},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64, -1, 255},
    {IPPROTO_IPV6, IPV6_TCLASS, 0, -1, 255},
    {IPPROTO_IPV6, IPV6_MULTICAST_ALL, 1, 0, 1},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1, 0, 255},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 1},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT, 0, 5},
};

const known_option* find_option(int level, int name) noexcept {
  for (const known_option& o : known_options)
    if (o.level == level && o.name == name) return &o;
  return nullptr;
}

template <class T>
int give(const T& from, void* into, socklen_t* size) noexcept {
  const socklen_t n = std::min<socklen_t>(*size, sizeof from);
  std::memcpy(into, &from, n);
  *size = n;
  return 0;
}

}  // namespace

int model_socket::option(int level, int name) const noexcept {
  const auto set = options_.find({level, name});
  if (set != options_.end()) return set->second;
  const known_option* const known = find_option(level, name);
  return known ? known->value : 0;
}

int model_socket::getsockopt(int level, int name, void* value, socklen_t* size) {
  if (level == SOL_SOCKET) switch (name) {
      case SO_ERROR: return give(std::exchange(error, 0), value, size);
      case SO_TYPE: return give(type, value, size);
      case SO_DOMAIN: return give(family, value, size);
      case SO_ACCEPTCONN: return give(int{is_listening()}, value, size);
      case SO_PROTOCOL:
        return give(int{family == AF_UNIX     ? 0
                        : type == SOCK_STREAM ? IPPROTO_TCP
                                              : IPPROTO_UDP},
                    value, size);
      case SO_RCVBUF: return give(receive_buffer_, value, size);
      case SO_SNDBUF: return give(send_buffer_, value, size);
      case SO_LINGER: return give(linger_, value, size);
      case SO_PEERCRED: {
        if (family != AF_UNIX) break;
        const ucred self = {::getpid(), ::geteuid(), ::getegid()};
        return give(self, value, size);
      }
    }
  if (family == AF_UNIX && level != SOL_SOCKET) return -EOPNOTSUPP;
  if (const std::optional<int> computed = computed_option(level, name))
    return *computed < 0 ? *computed : give(*computed, value, size);
  if (!find_option(level, name)) return -ENOPROTOOPT;
  return give(option(level, name), value, size);
}

int model_socket::setsockopt(int level, int name, const void* value, socklen_t size) {
  if (size < sizeof(int)) return -EINVAL;
  if (const std::optional<int> result = set_structure(level, name, value, size)) return *result;
  int number;
  std::memcpy(&number, value, sizeof number);
  if (level == SOL_SOCKET && name == SO_LINGER) {
    if (size < sizeof linger_) return -EINVAL;
    std::memcpy(linger_, value, sizeof linger_);
    return 0;
  }
  if (level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_SNDBUF)) {
    // As the system: it takes twice the size, and has a least one and a largest one.
    const bool receives = name == SO_RCVBUF;
    const int doubled = 2 * std::clamp(number, 0, 212992);
    (receives ? receive_buffer_ : send_buffer_) = std::max(doubled, receives ? 2304 : 4608);
    return 0;
  }
  // Is taken, and changes nothing here.
  if (level == IPPROTO_TCP && (name == TCP_FASTOPEN || name == TCP_FASTOPEN_CONNECT)) return 0;
  if (family == AF_UNIX && level != SOL_SOCKET) return -EOPNOTSUPP;
  const known_option* const known = find_option(level, name);
  if (!known) return -ENOPROTOOPT;
  if (known->least == 0 && known->largest == 1) number = number != 0;
  if (number < known->least || number > known->largest) return -EINVAL;
  options_[{level, name}] = number;
  return apply(level, name, number);
}

void model_socket::notify(unsigned events) {
  if (!watch) return;
  pending |= events;
  if (queued) return;
  queued = true;
  host.queue(shared_from_this());
}

unsigned model_socket::events_now() const noexcept {
  using cosock::detail::io_watch;
  const short now = state();
  if (now & (POLLERR | POLLHUP))
    return io_watch::readable | io_watch::writable | io_watch::exceptional;
  return (now & POLLIN ? io_watch::readable : 0u) | (now & POLLOUT ? io_watch::writable : 0u);
}

std::size_t model_socket::put(const char* from, std::size_t size, msghdr& into) noexcept {
  std::size_t moved = 0;
  for (std::size_t i = 0; i != into.msg_iovlen && moved != size; ++i) {
    const std::size_t n = std::min(into.msg_iov[i].iov_len, size - moved);
    if (n != 0) std::memcpy(into.msg_iov[i].iov_base, from + moved, n);
    moved += n;
  }
  return moved;
}

std::size_t model_socket::size_of(const msghdr& m) noexcept {
  std::size_t all = 0;
  for (std::size_t i = 0; i != m.msg_iovlen; ++i) all += m.msg_iov[i].iov_len;
  return all;
}

void model_socket::take(const msghdr& m, std::size_t max, std::string& into) {
  for (std::size_t i = 0; i != m.msg_iovlen && max != 0; ++i) {
    const std::size_t n = std::min(m.msg_iov[i].iov_len, max);
    into.append(static_cast<const char*>(m.msg_iov[i].iov_base), n);
    max -= n;
  }
}

}  // namespace cosock::testing::detail
