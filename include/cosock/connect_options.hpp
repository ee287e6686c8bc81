// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/address_range.hpp>
#include <cosock/duration.hpp>
#include <cosock/socket.hpp>

#include <optional>

namespace cosock {

/// Options of a connection. The defaults suit a client.
struct connect_options {
  /// The limit for name resolution and all attempts; `error::timed_out` when it passes. Zero or
  /// less passes at once; `unlimited` never does.
  time_span timeout = std::chrono::seconds(30);
  /// The time between the attempts to connect to two addresses (RFC 8305); zero or less: all at
  /// once.
  time_span attempt_delay = std::chrono::milliseconds(250);
  /// Use addresses of this family only.
  cosock::family family = cosock::family::any;
  /// The local endpoint to bind to; addresses of the other family are then not tried. A scope id
  /// names the interface that the connection uses.
  std::optional<endpoint> local = std::nullopt;
  bool no_delay = true;  ///< Nagle's algorithm off
  /// TCP Fast Open: the first send goes out with the SYN (RFC 7413), if the system supports it.
  /// Only for protocols in which the client speaks first: if the kernel has a cookie of the peer,
  /// connect() succeeds before the handshake, and connection errors appear in the first send().
  bool fast_open = false;
  std::optional<int> receive_buffer = std::nullopt;  ///< bytes; negative: invalid_argument
  std::optional<int> send_buffer = std::nullopt;     ///< bytes; negative: invalid_argument
  /// Connect to permitted addresses only. It is applied to each address after the look-up, to
  /// numeric hosts and endpoints too. The ranges outlive the `co_await`.
  address_filter filter = {};
  /// Called with the socket of each attempt, before bind(2) and connect(2); see socket_hook.
  socket_hook configure = {};
};

}  // namespace cosock
