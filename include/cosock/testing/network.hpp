// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/task.hpp>
#include <cosock/testing/network_options.hpp>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cosock::testing {

namespace detail {
class host_state;
class network_state;
}  // namespace detail

/// A host of a simulated network, with its own loop, and its own kernel with descriptors, ports and
/// connections. Made by network::host(); lives as long as the network.
class COSOCK_API host {
 public:
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  /// Starts a program: a function that returns a task, which runs on the loop of this host while the
  /// network runs. restart() calls the function again, so its captures must live as long as the network. A
  /// host may have several programs. network::run() and run_for() throw an exception that a program throws.
  template <class F>
  void start(F program) {
    add([program = std::move(program)]() -> task<> { return call(program); });
  }

  // Inside a task, the effect of the following three functions begins when the tasks that are ready have
  // run.

  /// Crashes the host, as a power failure does: its programs are destroyed, and no more packets are sent.
  /// Peers receive no answer, until their limits or retransmissions end.
  void crash();
  /// Ends the programs, as SIGKILL does: the kernel closes their sockets, and still sends the data that is
  /// buffered. Connections with unread input are reset, and so are new connections.
  void stop();
  /// Starts all programs again, after stop() if they run, and the kernel if the host has crashed.
  void restart();
  /// Whether the host has neither crashed nor been stopped.
  [[nodiscard]] bool is_running() const noexcept;

  /// Limits the number of descriptors of the host, as RLIMIT_NOFILE does; open descriptors stay open. From
  /// 0 to 65536, the default. Throws std::invalid_argument for other numbers.
  void limit_descriptors(int count);

  /// The name that was passed to network::host(); may be empty.
  [[nodiscard]] const std::string& name() const noexcept;
  /// The addresses, at least one. IPv4-mapped addresses are returned as IPv4 addresses.
  [[nodiscard]] const std::vector<address>& addresses() const noexcept;

 private:
  friend class network;
  friend class detail::network_state;
  explicit host(std::unique_ptr<detail::host_state>) noexcept;
  void add(std::function<task<>()> program);
  template <class F>
  static task<> call(const F& program) {
    // A copy of its own: the program may be started again while it still runs.
    F own(program);
    co_await own();
  }
  std::unique_ptr<detail::host_state> state_;
};

/// A simulated network, in memory: unchanged programs run on its hosts, in virtual time, which jumps to
/// the next event when no task is ready. With the same seed the same programs behave identically in each
/// run, with each compiler. A thread has at most one network, and no loop may run on it while the network
/// runs.
///
/// Programs may use tcp_acceptor, connect(), resolve(), udp_socket, local sockets, and everything that is
/// built on them. A simulated host has no real descriptors: to wait for one, as a descriptor_stream
/// does, throws std::logic_error. docs/simulation.md lists the differences from a real network. Functions
/// throw std::invalid_argument for a host of another network.
class COSOCK_API network {
 public:
  /// Throws std::invalid_argument for options outside of their ranges (link_options); std::logic_error if
  /// this thread has a network.
  explicit network(const network_options& options = {});
  /// Destroys the programs, without sending packets.
  ~network();
  network(const network&) = delete;
  network& operator=(const network&) = delete;

  /// Adds a host with one address, IPv4 or IPv6, and optionally a name, which all hosts can resolve.
  /// Returns the host. Throws std::invalid_argument for a malformed address or name, for an address that
  /// cannot belong to a host (loopback, multicast, unspecified, with a scope), or if another host has the
  /// address or the name; std::length_error if there are 8192 hosts.
  testing::host& host(std::string_view address, std::string_view name = {});
  /// The same with several addresses.
  testing::host& host(std::initializer_list<std::string_view> addresses,
                      std::string_view name = {});

  /// Sets the properties of the link between two hosts, in both directions. Packets on their way are not
  /// affected. Throws std::invalid_argument as the constructor does.
  void link(testing::host& a, testing::host& b, const link_options& options);
  /// The same in one direction.
  void link_one_way(testing::host& from, testing::host& to, const link_options& options);

  /// Separates two hosts, in both directions, until heal(). Packets on their way arrive.
  void partition(testing::host& a, testing::host& b, outage how = outage::silent);
  /// The same in one direction.
  void partition_one_way(testing::host& from, testing::host& to, outage how = outage::silent);
  /// Ends the partition of two hosts.
  void heal(testing::host& a, testing::host& b);
  /// Ends all partitions.
  void heal();

  /// Sets the addresses of a name, which may be that of a host, and the behavior of its look-ups. Without
  /// addresses, look-ups fail with `error::host_not_found`. With a family in the options, the addresses of
  /// the other family do not change. Throws std::invalid_argument for a malformed name, or a text that is not
  /// an address of the family.
  void set_name(std::string_view name, std::initializer_list<std::string_view> addresses,
                const name_options& options = {});

  /// Calls the function at this virtual time since the beginning, outside of tasks. Throws
  /// std::invalid_argument if the time has passed.
  void at(time_span time, std::function<void()> function);

  /// Runs the network for this virtual time. Throws the exception of a program, after which the network can
  /// be run again; std::runtime_error if a task runs without end while the time does not pass;
  /// std::logic_error inside a task.
  void run_for(time_span duration);
  /// Runs the network until all programs have ended. Throws as run_for(); `stuck` (virtual_loop.hpp), with
  /// the waits of the tasks of each host, if a program has not ended and no more events can happen.
  void run();

  /// The virtual time since the beginning.
  [[nodiscard]] time_span elapsed() const noexcept;
  /// Returns a hash of the times, hosts, ports, packets and their bytes. Equal runs have equal hashes.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;

 private:
  std::unique_ptr<detail::network_state> state_;
};

}  // namespace cosock::testing
