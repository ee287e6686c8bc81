// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/resolve.hpp>
#include <cosock/testing/task_order.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace cosock::testing {

/// The properties of the link from one host of a simulated network to another.
struct link_options {
  /// The travel time of each packet, from 0 to a year.
  time_span latency = std::chrono::nanoseconds(0);
  /// The maximum of a random additional travel time of each packet, from 0 to a year. Packets stay in
  /// order.
  time_span jitter = std::chrono::nanoseconds(0);
  /// The bandwidth in bytes a second, headers included, at least 1. std::nullopt: no limit.
  std::optional<std::uint64_t> bandwidth = std::nullopt;
  /// The size of the queue of a link with a bandwidth, in bytes. A packet that does not fit is lost.
  std::size_t queue = 256 * 1024;
  /// The size of the largest packet that need not be fragmented, in bytes with headers, 1280 to 65535. It
  /// affects UDP only: see udp_socket::set_mtu_discovery(). The interfaces of all hosts have the MTU of
  /// network_options::link; a smaller MTU between two hosts is that of a network behind a router.
  std::size_t mtu = 1500;
  /// The probability that a packet is lost, from 0 to 1.
  double loss = 0;
  /// The probability that a packet arrives twice, from 0 to 1.
  double duplication = 0;
  /// The probability that a packet is late, so that others overtake it, from 0 to 1.
  double reordering = 0;
};

/// The fate of packets in a partition.
enum class outage : unsigned char {
  none,         ///< packets arrive
  silent,       ///< packets are lost, without an error
  unreachable,  ///< packets are lost, and a router sends an error (ICMP: host unreachable)
};

/// The behavior of look-ups of a name in a simulated network.
struct name_options {
  /// The family of the addresses to which the other options apply: a name server may answer later for IPv6
  /// than for IPv4.
  cosock::family family = cosock::family::any;
  /// The time until the answer.
  time_span delay = std::chrono::nanoseconds(0);
  /// False: the name server never answers.
  bool answers = true;
  /// True: look-ups fail with `error::resolver_failed`.
  bool fails = false;
};

/// Options of a simulated network.
struct network_options {
  /// The seed of all random choices.
  std::uint64_t seed = 1;
  /// The link between two hosts without a call of network::link().
  link_options link = {};
  /// The order of the tasks of each host.
  task_order order = task_order::first_come;
};

}  // namespace cosock::testing
