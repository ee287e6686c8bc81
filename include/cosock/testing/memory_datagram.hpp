// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/custom_datagram_socket.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace cosock::testing {

namespace detail {
class memory_link;
}

/// The probabilities of faults of a datagram, from 0 to 1.
struct datagram_faults {
  double loss = 0;         ///< the datagram does not arrive
  double duplication = 0;  ///< the datagram arrives twice
  double reordering = 0;   ///< the datagram overtakes the one before, if that was not received
  double truncation = 0;   ///< the datagram arrives with fewer bytes
  /// The seed of the random choices, which are the same on all machines.
  std::uint64_t seed = 1;
};

/// Options of memory_datagram_pair().
struct memory_datagram_options {
  /// The number of datagrams that may wait to be received on each side, at least 1. A send waits while the
  /// peer has as many.
  std::size_t room = 100;
  /// The size of the largest datagram in bytes; a send of a larger one fails with message_size.
  std::size_t largest = 65507;
  datagram_faults faults = {};
};

/// One of two connected datagram sockets in memory. Uses no descriptor and no system call. A send
/// allocates memory for the datagram.
///
/// Belongs to one loop. May be moved while operations are pending.
class COSOCK_API memory_datagram_socket final : public custom_datagram_socket<endpoint> {
 public:
  memory_datagram_socket(memory_datagram_socket&& other) noexcept;
  /// Closes this socket first.
  memory_datagram_socket& operator=(memory_datagram_socket&& other) noexcept;
  ~memory_datagram_socket() override;

  /// The addresses of this socket and of its peer: 192.0.2.1:1 for the first of a pair, 192.0.2.2:2 for the
  /// second (RFC 5737). A send_to() to an address that is not the peer's fails with network_unreachable.
  [[nodiscard]] endpoint local_endpoint() const;
  [[nodiscard]] endpoint remote_endpoint() const;

 private:
  friend class detail::memory_link;
  memory_datagram_socket(std::shared_ptr<detail::memory_link> link, int side);
  std::size_t do_receive(std::span<const mutable_buffer> into, endpoint& from, packet_info& info,
                         boost::system::error_code& error) noexcept override;
  void do_send(std::span<const const_buffer> from, const endpoint* to, const packet_info* source,
               boost::system::error_code& error) noexcept override;
  void on_close() noexcept override;

  std::shared_ptr<detail::memory_link> link_;  // null: moved from
  int side_;
};

/// Returns two connected datagram sockets on the running loop. A datagram for a closed peer is lost, as
/// in a network. Throws std::invalid_argument for a `room` of 0 and a probability that is not from 0 to 1;
/// std::logic_error if no loop runs on this thread; std::bad_alloc.
[[nodiscard]] COSOCK_API std::pair<memory_datagram_socket, memory_datagram_socket>
memory_datagram_pair(const memory_datagram_options& options = {});

}  // namespace cosock::testing
