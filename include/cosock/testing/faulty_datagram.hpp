// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/custom_datagram_socket.hpp>
#include <cosock/duration.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/testing/detail/fault_hook.hpp>

#include <boost/system/error_code.hpp>

#include <cerrno>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

namespace cosock::testing {

namespace detail {
template <class Endpoint>
class faulty_datagram_state;
}

/// The faults of one datagram. The default: no faults.
struct datagram_fault {
  /// The number of the datagram in its direction, from 0.
  std::uint64_t at = 0;
  bool dropped = false;       ///< the datagram does not arrive
  unsigned duplicates = 0;    ///< the number of additional copies that arrive
  std::size_t held_back = 0;  ///< the number of following datagrams that arrive before this one
  /// The number of bytes to which the datagram is truncated, if it is larger. std::nullopt: no limit.
  std::optional<std::size_t> cut_to = std::nullopt;
  /// The additional delay, by the clock of the loop; the following datagrams do not wait for this one.
  time_span delay = {};
};

/// The faults of one direction of a datagram socket. Probabilities are from 0 to 1. The default: no faults.
struct datagram_direction_faults {
  /// Faults of single datagrams, in any order, each number once. Copied by the socket. These datagrams
  /// have no random faults, but `delay` and `jitter` are added.
  std::span<const datagram_fault> list = {};

  double loss = 0;         ///< the probability that a datagram is dropped
  double duplication = 0;  ///< the probability that a datagram arrives twice
  double reordering = 0;   ///< the probability that a datagram is held back
  double truncation = 0;   ///< the probability that a datagram is truncated
  /// The largest number of following datagrams for which `reordering` holds a datagram back; at least 1.
  std::size_t max_held_back = 3;
  /// The longest time for which a datagram is held back.
  time_span hold_limit = std::chrono::seconds(1);
  /// The delay of each datagram.
  time_span delay = {};
  /// The maximum of a random additional delay of each datagram, so that others may overtake it.
  time_span jitter = {};

  /// The number at which an operation fails with `error`, once, and transfers no datagram. The next
  /// operation has the next number. std::nullopt: never.
  std::optional<std::uint64_t> error_at = std::nullopt;
  boost::system::error_code error = {ECONNREFUSED, boost::system::system_category()};

  /// The largest number of delayed datagrams, at least 1. A transfer waits while there are as many.
  std::size_t room = 1000;
};

/// The faults of a faulty datagram socket.
struct datagram_fault_plan {
  datagram_direction_faults receive = {};  ///< of received datagrams
  datagram_direction_faults send = {};     ///< of sent datagrams
  /// The seed of the random choices, which are the same on all machines.
  std::uint64_t seed = 1;
};

/// Returns a random plan for this seed, the same on all machines. In each direction: one or several of
/// loss, duplication and reordering of up to 30 %, and with a probability of 1/4 jitter of up to 10 ms.
/// With a probability of 1/4, an error in one direction, at a number below `datagrams`. No truncation.
/// Throws std::invalid_argument if `datagrams` is 0.
[[nodiscard]] COSOCK_API datagram_fault_plan random_datagram_faults(std::uint64_t seed,
                                                                    std::uint64_t datagrams = 100);

/// Adds faults to another datagram socket, which it owns or refers to: a udp_socket, a
/// local_datagram_socket, or any socket with these endpoints. The datagrams of each direction are
/// numbered from 0. Operations keep all promises of datagram_socket, and those of
/// custom_datagram_socket for batches.
///
/// A send completes when its faults are chosen, also if the datagram is delayed. If the socket below fails
/// when it sends a delayed datagram, the next send fails with that error. Datagrams are received from the
/// socket below only while a receive waits; their delays begin then. Delayed datagrams are lost when this
/// socket is closed or destroyed. Of a received datagram with a fault, the first 256 KiB are kept. The
/// traffic class of a sent datagram is not passed on. Without memory for a delayed datagram, a send fails
/// with no_buffer_space, and a received datagram is lost.
///
/// Belongs to the loop of the socket below. An operation fails with `error::busy` if other code has one
/// pending on the socket below in the same direction. May be moved while operations are pending.
template <class Endpoint>
class COSOCK_API faulty_datagram_socket final : public custom_datagram_socket<Endpoint> {
 public:
  /// The interface of the socket below.
  using below_type = datagram_socket<Endpoint>;

  /// Refers to `below`, which must outlive this socket; close() closes both. Throws std::invalid_argument
  /// for a probability that is not from 0 to 1, a `room` or `max_held_back` of 0, and a number that is
  /// twice in a list; system_error with `error::closed` if `below` is closed, and with `error::wrong_loop`
  /// if it does not belong to the running loop; std::bad_alloc.
  explicit faulty_datagram_socket(below_type& below, const datagram_fault_plan& plan = {});
  /// Owns `below`. Throws as above.
  explicit faulty_datagram_socket(std::unique_ptr<below_type> below,
                                  const datagram_fault_plan& plan = {});
  template <std::derived_from<below_type> Socket>
    requires(!std::is_abstract_v<Socket>)
  explicit faulty_datagram_socket(Socket&& below, const datagram_fault_plan& plan = {})
      : faulty_datagram_socket(
            std::unique_ptr<below_type>(std::make_unique<Socket>(std::move(below))), plan) {}
  faulty_datagram_socket(faulty_datagram_socket&& other) noexcept;
  /// Closes this socket first.
  faulty_datagram_socket& operator=(faulty_datagram_socket&& other) noexcept;
  ~faulty_datagram_socket() override;

  /// The number of datagrams that were received from the socket below, and that the program has sent: the
  /// number of the next one.
  [[nodiscard]] std::uint64_t datagrams_received() const noexcept;
  [[nodiscard]] std::uint64_t datagrams_sent() const noexcept;

 private:
  friend class detail::faulty_datagram_state<Endpoint>;
  friend class detail::fault_hook;
  std::size_t do_receive(std::span<const mutable_buffer> into, Endpoint& from, packet_info& info,
                         boost::system::error_code& error) noexcept override;
  void do_send(std::span<const const_buffer> from, const Endpoint* to, const packet_info* source,
               boost::system::error_code& error) noexcept override;
  void on_close() noexcept override;

  std::unique_ptr<detail::faulty_datagram_state<Endpoint>> state_;
};

/// Deduces the type of the endpoints from a socket.
template <class Socket>
  requires(!std::is_reference_v<Socket>)
faulty_datagram_socket(Socket&&, const datagram_fault_plan& = {})
    -> faulty_datagram_socket<typename Socket::endpoint_type>;
/// The same for a std::unique_ptr.
template <class Socket>
faulty_datagram_socket(std::unique_ptr<Socket>, const datagram_fault_plan& = {})
    -> faulty_datagram_socket<typename Socket::endpoint_type>;

extern template class faulty_datagram_socket<endpoint>;
extern template class faulty_datagram_socket<local_endpoint>;

}  // namespace cosock::testing
