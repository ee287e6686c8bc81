// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The checks for datagram sockets, for each type of endpoints: what they know, and their lists. The
// sources datagram_checks_*.cpp define them, and datagram_conformance.cpp runs them.

#include <cosock/local_datagram.hpp>
#include <cosock/testing/check_datagram.hpp>
#include <cosock/udp.hpp>

#include "testing/stream_tools.hpp"

#include <span>

namespace cosock::testing::detail {

/// Two sockets, and their names in a check: `a` sends to `b`.
template <class Endpoint>
struct datagram_setting {
  datagram_socket<Endpoint>& a;
  datagram_socket<Endpoint>& b;
  const Endpoint& a_at;
  const Endpoint& b_at;
  datagram_pair<Endpoint>& pair;
  const datagram_traits& traits;
};

template <class Endpoint>
struct datagram_check_entry {
  const char* name;
  task<> (*body)(datagram_setting<Endpoint>& in);
};

/// Defines a check, a template.
#define DATAGRAM_CHECK(name) \
  template <class Endpoint>  \
  static task<> name([[maybe_unused]] datagram_setting<Endpoint>& in)

inline std::string text(const void* data, std::size_t size) {
  return std::string(static_cast<const char*>(data), size);
}

/// Receives one, and returns its bytes.
template <class Endpoint>
task<std::string> next_of(datagram_socket<Endpoint>& socket) {
  char into[100];
  const receive_result got = co_await socket.receive(into);
  co_return text(into, got.size);
}

/// What an operation fails with.
template <class A>
task<error_code> error_of(A operation) {
  const auto result = co_await as_result(std::move(operation));
  co_return result ? error_code() : result.error();
}

template <class Endpoint>
std::span<const datagram_check_entry<Endpoint>> datagram_transfer_checks();
template <class Endpoint>
std::span<const datagram_check_entry<Endpoint>> datagram_wait_checks();

}  // namespace cosock::testing::detail
