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

/// How packets travel from one host of a simulated network to another one.
struct link_options {
  /// How long each packet is on its way.
  time_span latency = std::chrono::nanoseconds(0);
  /// A time from 0 to this is added, for each packet. Packets stay in order.
  time_span jitter = std::chrono::nanoseconds(0);
  /// Bytes a second, headers included; none: without limit.
  std::optional<std::uint64_t> bandwidth = std::nullopt;
  /// Bytes that wait for a link with a bandwidth. A packet that does not fit is lost.
  std::size_t queue = 256 * 1024;
  /// The largest packet that need not be fragmented, in bytes with headers, 1280 to 65535. It matters for
  /// UDP only: see udp_socket::set_mtu_discovery(). The interfaces of all hosts have the MTU of
  /// network_options::link; a smaller one of a pair of hosts is that of a network behind a router.
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
  none,         ///< they arrive
  silent,       ///< they are lost, and nobody hears of it
  unreachable,  ///< a router answers that the host cannot be reached (ICMP)
};

/// How a name of a simulated network is looked up.
struct name_options {
  /// The addresses that this is about: a name server may answer about IPv6 later than about IPv4.
  cosock::family family = cosock::family::any;
  /// The time until the answer.
  time_span delay = std::chrono::nanoseconds(0);
  /// Whether there is an answer at all.
  bool answers = true;
  /// Whether the name server fails: `error::resolver_failed`.
  bool fails = false;
};

/// How a simulated network behaves.
struct network_options {
  /// The seed of everything that is chosen.
  std::uint64_t seed = 1;
  /// Of all pairs of hosts that network::link() does not name.
  link_options link = {};
  /// Of the tasks of each host.
  task_order order = task_order::first_come;
};

}  // namespace cosock::testing
