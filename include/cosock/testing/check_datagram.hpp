// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/datagram.hpp>
#include <cosock/duration.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/task.hpp>
#include <cosock/testing/check_report.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cosock::testing {

/// Two datagram sockets that can send to each other, of any types with these endpoints.
template <class Endpoint>
struct datagram_pair {
  /// The interface of both sockets.
  using socket_type = datagram_socket<Endpoint>;

  /// Owns two sockets. `first_address` and `second_address`: the addresses to which the other socket
  /// sends.
  datagram_pair(std::unique_ptr<socket_type> one, std::unique_ptr<socket_type> other,
                const Endpoint& first_address, const Endpoint& second_address)
      : first(std::move(one)),
        second(std::move(other)),
        first_at(first_address),
        second_at(second_address) {}
  /// Moves two sockets into the pair, with their local addresses.
  template <class One, class Other>
  datagram_pair(std::pair<One, Other>&& both)
      : first_at(both.first.local_endpoint()), second_at(both.second.local_endpoint()) {
    first = std::make_unique<One>(std::move(both.first));
    second = std::make_unique<Other>(std::move(both.second));
  }

  std::unique_ptr<socket_type> first;   ///< one socket
  std::unique_ptr<socket_type> second;  ///< the other one
  Endpoint first_at;                    ///< the address of `first`
  Endpoint second_at;                   ///< the address of `second`
};

/// The promises of a kind of datagram socket. The defaults are those of UDP on the loopback interface.
struct datagram_traits {
  /// The size of the largest datagram in bytes, at least 1,000.
  std::size_t largest = 65507;
  /// The largest number of buffers of a datagram, at least 4.
  std::size_t buffers = 1024;
  /// The time after which a check fails.
  time_span limit = std::chrono::seconds(60);
};

/// Makes two new sockets. Called once by each check, on the loop of the check.
template <class Endpoint>
using datagram_maker = std::function<task<datagram_pair<Endpoint>>()>;

/// Returns the names of all checks, in the order of check_datagram().
[[nodiscard]] COSOCK_API std::vector<std::string_view> datagram_check_names();

/// Checks that a datagram socket keeps the promises of datagram_socket: runs all checks, one after
/// the other, each on its own loop, and reports each result. If `only` is not empty, runs only the check
/// with this name. The socket must lose no datagram while at most 64 wait to be received. Throws
/// std::invalid_argument if there is no such check; the exceptions of `report`.
COSOCK_API void check_datagram(const datagram_maker<endpoint>& make_pair,
                               const check_report& report, const datagram_traits& traits = {},
                               std::string_view only = {});
COSOCK_API void check_datagram(const datagram_maker<local_endpoint>& make_pair,
                               const check_report& report, const datagram_traits& traits = {},
                               std::string_view only = {});

}  // namespace cosock::testing
