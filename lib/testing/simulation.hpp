// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A simulated network without its loops: virtual time, events, hosts and links. network.cpp drives it.
// It owns the hosts' machines, and answers the socket calls on their descriptors.

#include <cosock/testing/network_options.hpp>

#include "loop/simulated_host.hpp"
#include "loop/system.hpp"
#include "testing/event_queue.hpp"
#include "testing/machine.hpp"
#include "testing/packet.hpp"
#include "testing/random.hpp"

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace cosock::testing::detail {

/// One direction of the way between two hosts.
struct one_way {
  explicit one_way(std::uint64_t seed) noexcept : chance(seed) {}

  link_options options;
  outage state = outage::none;
  std::int64_t free_at = 0;       // when the last byte has left, with a bandwidth
  std::int64_t last_arrival = 0;  // packets arrive in order, unless reordered
  // Of its own, so that it does not matter in which order a host sends to several others.
  random chance;
};

struct host_name_entry {
  std::vector<address> addresses;
  name_options v4;  // how they are looked up
  name_options v6;
};

class simulation final : public cosock::detail::simulated_calls {
 public:
  explicit simulation(const network_options& options);
  ~simulation();
  simulation(const simulation&) = delete;

  machine& add(std::vector<address> addresses, std::string host_name);
  machine* find(const ip_bytes& address) noexcept;
  one_way& way(machine& from, machine& to);

  void call_at(std::int64_t at, std::function<void()> f);
  /// Calls the function at this time, unless the socket is gone.
  void set_timer(std::int64_t at, const std::shared_ptr<timed>& target, std::uint64_t generation);

  /// A hash of what has happened on all hosts.
  std::uint64_t hash() const noexcept;
  /// A seed for one part of the network.
  std::uint64_t seed_of(std::uint64_t part) const noexcept {
    return random(options.seed ^ (part + 1) * 0x9e3779b97f4a7c15).next();
  }

  /// When all loops have run: sends what the hosts have sent, and acknowledgements that nothing else
  /// has carried. Not before, so that the order does not depend on that in which a program has sent to
  /// several peers.
  void settle();

  std::int64_t now = 0;
  event_queue events;
  network_options options;
  std::vector<std::unique_ptr<machine>> machines;  // their index is the number of the host
  std::map<std::string, host_name_entry> names;
  std::exception_ptr failure;                          // that has left a program
  std::vector<unsigned> dirty;                         // hosts whose loops have something to do
  std::set<std::pair<std::int64_t, unsigned>> alarms;  // of the timers of their loops
  std::vector<std::weak_ptr<timed>> owed;              // sockets that owe an acknowledgement
  struct sent {
    unsigned from;
    packet what;
  };
  std::vector<sent> outgoing;

 private:
  class arrival;
  class call;
  class timer;

  model_socket* socket_of(int fd) const noexcept;
  void transmit(machine& from, packet p);
  void transmit_to_group(machine& from, const packet& p);
  void deliver(packet p, machine& from, machine& to, one_way& over);

  int bind(int fd, const sockaddr* at, socklen_t size) noexcept override;
  int listen(int fd, int backlog) noexcept override;
  int accept4(int fd, sockaddr* at, socklen_t* size) noexcept override;
  int connect(int fd, const sockaddr* to, socklen_t size) noexcept override;
  int shutdown(int fd, int how) noexcept override;
  int close(int fd) noexcept override;
  int getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept override;
  int setsockopt(int fd, int level, int option, const void* value,
                 socklen_t size) noexcept override;
  int getsockname(int fd, sockaddr* at, socklen_t* size) noexcept override;
  int getpeername(int fd, sockaddr* at, socklen_t* size) noexcept override;
  short poll_now(int fd, short wanted) noexcept override;
  ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept override;
  ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept override;

  std::map<ip_bytes, machine*> by_address_;
  cosock::detail::simulated_calls* before_;
};

}  // namespace cosock::testing::detail
