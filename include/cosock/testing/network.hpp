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

/// A host of a simulated network: a loop, and a kernel with descriptors, ports and connections of its
/// own. Made by network::host(); it lives as long as the network.
class COSOCK_API host {
 public:
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  /// Runs a program: calls the function, which returns a task, on the loop of this host when the
  /// network runs. The function is kept, and called again by restart(), so it must own or outlive
  /// what it uses. A host may have several programs. An exception that leaves one is thrown by the
  /// function that runs the network.
  template <class F>
  void start(F program) {
    add([program = std::move(program)]() -> task<> { return call(program); });
  }

  /// Loses the host, as a power failure does: its programs are destroyed, and nothing is sent. Peers
  /// hear nothing, until they give up.
  void crash();
  /// Ends the programs, as SIGKILL does: the kernel closes their sockets, and goes on to send what
  /// was sent. Connections with input that was not received are reset; to new ones the host answers
  /// with a reset.
  void stop();
  /// Starts the kernel if it was lost, and all programs again. Stops them first if they run.
  void restart();
  /// Whether it has neither crashed nor been stopped.
  [[nodiscard]] bool is_running() const noexcept;

  /// Limits the descriptors of the host, as RLIMIT_NOFILE does; those that are open stay. At most
  /// 65536, which is also the default. Throws std::invalid_argument for other numbers.
  void limit_descriptors(int count);

  /// The name, as network::host() was given it; may be empty.
  [[nodiscard]] const std::string& name() const noexcept;
  /// The addresses, IPv4-mapped ones as IPv4 addresses. At least one.
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

/// A network in memory: programs run on its hosts without any change, in virtual time, which jumps to
/// the next event when no task is ready. Everything follows from the seed: the same programs with the
/// same seed do the same in each run, with each compiler. One thread at a time may have one network;
/// no loop may run on that thread while the network runs.
///
/// Programs use tcp_acceptor, connect(), resolve(), udp_socket, local sockets and what is built on
/// them. On a simulated host there are no real descriptors: what watches one, standard_input() for
/// example, throws std::logic_error. Differences from a real network are listed in
/// docs/simulation.md.
class COSOCK_API network {
 public:
  /// Throws std::invalid_argument for a probability that is not from 0 to 1 or a negative time, and
  /// std::logic_error if this thread has a network.
  explicit network(const network_options& options = {});
  /// Destroys the programs, without any of their packets being sent.
  ~network();
  network(const network&) = delete;
  network& operator=(const network&) = delete;

  /// A new host with one address, IPv4 or IPv6, and perhaps a name, which all hosts can resolve.
  /// Throws std::invalid_argument for an address or a name that is none, that cannot belong to a host
  /// (loopback, multicast, with a scope), or that a host has already.
  testing::host& host(std::string_view address, std::string_view name = {});
  /// The same with several addresses.
  testing::host& host(std::initializer_list<std::string_view> addresses,
                      std::string_view name = {});

  /// Sets how packets travel between two hosts, in both directions. Packets on their way arrive as
  /// before. Throws as the constructor.
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

  /// Sets the addresses of a name, and how it is looked up. It may be the name of a host. Without
  /// addresses it is not found (`error::host_not_found`). With a family in the options, those of the
  /// other family stay as they are. Throws std::invalid_argument for a text that is not an address, or not one of
  /// the family.
  void set_name(std::string_view name, std::initializer_list<std::string_view> addresses,
                const name_options& options = {});

  /// Calls the function at this time after the beginning, between the turns of tasks. Throws
  /// std::invalid_argument if the time has passed.
  void at(time_span time, std::function<void()> function);

  /// Runs the network for this virtual time. Throws what a program has thrown; the network may go on
  /// after that. Throws std::runtime_error if a task runs without end while the time stands still.
  void run_for(time_span duration);
  /// Runs the network until every program has ended. Throws as run_for(), and `stuck`
  /// (virtual_loop.hpp), with what the tasks of each host wait for, if nothing will happen any more
  /// although a program has not ended.
  void run();

  /// The virtual time since the beginning.
  [[nodiscard]] time_span elapsed() const noexcept;
  /// A hash of the run: times, hosts, ports, packets and their bytes.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;

 private:
  std::unique_ptr<detail::network_state> state_;
};

}  // namespace cosock::testing
