// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The kernel of a simulated host: its descriptors, its ports and its connections. Belongs to the
// simulation. It reports events of sockets to the watches of the host's loop.

#include "core/reactor.hpp"
#include "loop/simulated_host.hpp"
#include "testing/event_queue.hpp"
#include "testing/model_socket.hpp"
#include "testing/packet.hpp"
#include "testing/random.hpp"
#include "testing/trace.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

namespace cosock::testing::detail {

class simulation;
class tcp_model;
class udp_model;

class machine final : public cosock::detail::simulated_host {
 public:
  machine(simulation& in, unsigned index, std::vector<address> addresses, std::string host_name);
  ~machine();
  machine(const machine&) = delete;

  // For the program.
  int socket(int domain, int type) noexcept override;
  int socketpair(int type, int (&fds)[2]) noexcept override;
  cosock::detail::simulated_answer look_up(const std::string& wanted, bool v4, bool v6) override;
  cosock::detail::simulated_answer look_up(const unsigned char (&address)[16]) override;
  /// A random number of the network's seed.
  std::uint64_t random_number() noexcept;

  // Descriptors.
  /// A number for the socket, or a negative errno.
  int open(std::shared_ptr<model_socket> s);
  bool has_room() const noexcept { return open_ < max_descriptors; }
  model_socket* at(int fd) const noexcept;
  int close(int fd) noexcept;

  // Events.
  void add(cosock::detail::io_watch& w, int fd);
  void add_writable(cosock::detail::io_watch& w) noexcept;
  void remove(cosock::detail::io_watch& w) noexcept;
  void queue(const std::shared_ptr<model_socket>& ready);
  bool has_events() const noexcept { return !ready_.empty(); }
  void deliver_events() noexcept;

  // Packets.
  void receive(packet& p);
  void send(packet p);
  /// Whether this address is one of this host, loopback included.
  bool is_own(const name& n) const noexcept;
  /// Whether a socket of this host has joined the group.
  bool has_joined(const ip_bytes& group) const noexcept;
  /// Whether it has an address on the subnet of this one.
  bool is_near(const name& n) const noexcept;
  /// The largest packet to this address that the interface takes, and the largest that is known to pass
  /// the whole way.
  std::size_t interface_mtu(const name& to) const noexcept;
  std::size_t known_mtu(const name& to) const noexcept;
  /// The own address for packets to this one. False if there is none of its family.
  bool source_for(const name& to, name& into) const noexcept;

  // Ports.
  using port_table = std::map<std::uint16_t, std::vector<model_socket*>>;
  /// Takes the port of the name, or a free one if that is 0; 0 or an errno.
  int bind(port_table& table, model_socket& s, name& at);
  static void unbind(port_table& table, model_socket& s, std::uint16_t port) noexcept;
  /// A free port for a connection to this peer.
  std::uint16_t port_to(const name& own, const name& peer);

  /// The kernel closes all descriptors, as when a process ends.
  void close_all() noexcept;
  /// Everything is lost.
  void crash() noexcept;

  /// Its loop has something to do now.
  void mark_dirty();
  /// When the loop needs a turn for its timers.
  void set_alarm(std::int64_t at);

  /// The name, or the first address.
  std::string title() const {
    return host_name.empty() ? addresses.front().to_string() : host_name;
  }
  void record(traced what, std::uint64_t subject = 0, std::uint64_t detail = 0) noexcept;

  simulation& in;
  const unsigned index;
  const std::vector<address> addresses;
  const std::string host_name;
  bool up = true;
  bool has_programs = true;         // they may open sockets
  std::atomic<bool> woken = false;  // its loop has been woken
  bool is_dirty = false;            // it is in the list of the simulation
  int max_descriptors = 65536;
  trace history;
  random chance;
  std::vector<std::unique_ptr<struct one_way>> ways;  // to the hosts of these indices

  std::map<std::pair<name, name>, std::shared_ptr<tcp_model>> connections;  // own name, peer
  port_table tcp_ports;
  port_table udp_ports;
  std::map<std::string, model_socket*> local_names;
  std::vector<std::weak_ptr<model_socket>> blocked_senders;  // of local datagrams

 private:
  void receive_tcp(packet& p);
  void receive_udp(packet& p);
  void receive_for_group(const packet& p);
  void receive_unreachable(packet& p);
  tcp_model* listener_for(const name& at) const noexcept;

  struct path_mtu {
    std::size_t bytes;
    std::int64_t expires;
  };
  std::map<ip_bytes, path_mtu> path_mtus_;  // that routers have told
  std::vector<std::shared_ptr<model_socket>> descriptors_;
  std::priority_queue<int, std::vector<int>, std::greater<int>> free_;
  int open_ = 0;
  std::int64_t alarm_ = never;
  std::vector<std::shared_ptr<model_socket>> ready_;
  std::vector<std::shared_ptr<model_socket>> reporting_;
};

}  // namespace cosock::testing::detail
