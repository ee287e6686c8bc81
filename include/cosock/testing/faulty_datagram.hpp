// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/custom_datagram_socket.hpp>
#include <cosock/duration.hpp>
#include <cosock/local_endpoint.hpp>

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

/// What happens to one datagram. The default: nothing.
struct datagram_fault {
  /// The number of the datagram in its direction; 0 is the first one.
  std::uint64_t at = 0;
  bool dropped = false;       ///< it does not arrive
  unsigned duplicates = 0;    ///< it arrives so many times more
  std::size_t held_back = 0;  ///< it arrives after so many of those behind it
  /// It arrives with its first bytes only, at most so many. std::nullopt: with all.
  std::optional<std::size_t> cut_to = std::nullopt;
  /// It arrives so much later, by the clock of the loop; those behind it do not wait for it.
  time_span delay = {};
};

/// The faults of one direction of a datagram socket. Probabilities are from 0 to 1. The default: nothing.
struct datagram_direction_faults {
  /// Faults of single datagrams, in any order, each number once. Copied by the socket. For these
  /// datagrams no other fault is chosen, but `delay` and `jitter` are added.
  std::span<const datagram_fault> list = {};

  double loss = 0;         ///< the probability that a datagram is dropped
  double duplication = 0;  ///< that it arrives twice
  double reordering = 0;   ///< that it is held back
  double truncation = 0;   ///< that it arrives without its end
  /// A datagram that `reordering` chooses arrives after 1 to so many of those behind it. At least 1.
  std::size_t max_held_back = 3;
  /// A datagram that is held back arrives at the latest after this time.
  time_span hold_limit = std::chrono::seconds(1);
  /// How much later each datagram arrives.
  time_span delay = {};
  /// A time from 0 to this is added, for each datagram, so that others may overtake it.
  time_span jitter = {};

  /// The operation for the datagram of this number fails with `error`, once, and moves no datagram. The
  /// next operation is that of the next number. std::nullopt: never.
  std::optional<std::uint64_t> error_at = std::nullopt;
  boost::system::error_code error = {ECONNREFUSED, boost::system::system_category()};

  /// Datagrams that may be late at the same time, at least 1. A transfer waits for more room.
  std::size_t room = 1000;
};

/// The faults of a faulty datagram socket.
struct datagram_fault_plan {
  datagram_direction_faults receive = {};  ///< of datagrams that are received
  datagram_direction_faults send = {};     ///< of datagrams that are sent
  /// Of the random choices, which are the same on all machines.
  std::uint64_t seed = 1;
};

/// Returns a plan that the seed chooses: in each direction one or several of loss, duplication and
/// reordering of up to 30 %, jitter of up to 10 ms in one of four, and in one of four plans an error in
/// one direction, at a number below `datagrams`. Datagrams are not truncated. The same on all machines.
/// Throws std::invalid_argument for 0 datagrams.
[[nodiscard]] COSOCK_API datagram_fault_plan random_datagram_faults(std::uint64_t seed,
                                                                    std::uint64_t datagrams = 100);

/// A datagram socket with faults over another one, which it owns or refers to: a udp_socket, a
/// local_datagram_socket, any socket with these endpoints. Each datagram that is moved has a number in its
/// direction, by which its fate is chosen. Operations keep all promises of basic_datagram_socket, and
/// those of custom_datagram_socket for batches.
///
/// A send completes when the fate of its datagram is known. If that leaves later and the socket below
/// fails, the next send fails with that error. A datagram on its way is lost when this socket is closed or
/// destroyed. Datagrams are taken from the socket below while a receive waits; their delays begin then.
/// Of a received datagram with a fault, the first 256 KiB are kept. The traffic class of an outgoing
/// datagram is not passed on. A late datagram takes memory; if there is no more, a send fails with
/// no_buffer_space, and a received datagram is lost.
///
/// Belongs to the loop of the socket below, on which nothing else may be pending in the same direction
/// (`error::busy`). May be moved while operations are pending.
template <class Endpoint>
class COSOCK_API faulty_datagram_socket final : public custom_datagram_socket<Endpoint> {
 public:
  /// The interface of the socket below.
  using below_type = basic_datagram_socket<Endpoint>;

  /// Refers to a socket that outlives this one; close() closes it. Throws std::invalid_argument for a
  /// number that is not a probability, a `room` or `max_held_back` of 0, and a number that is twice
  /// in a list; system_error with `error::closed` if the socket is closed, and with `error::wrong_loop` if
  /// it does not belong to the running loop; std::bad_alloc.
  explicit faulty_datagram_socket(below_type& below, const datagram_fault_plan& plan = {});
  /// Owns the socket.
  explicit faulty_datagram_socket(std::unique_ptr<below_type> below,
                                  const datagram_fault_plan& plan = {});
  template <std::derived_from<below_type> Socket>
    requires(!std::is_abstract_v<Socket>)
  explicit faulty_datagram_socket(Socket&& below, const datagram_fault_plan& plan = {})
      : faulty_datagram_socket(
            std::unique_ptr<below_type>(std::make_unique<Socket>(std::move(below))), plan) {}
  faulty_datagram_socket(faulty_datagram_socket&& other) noexcept;
  /// Closes this socket before.
  faulty_datagram_socket& operator=(faulty_datagram_socket&& other) noexcept;
  ~faulty_datagram_socket() override;

  /// Datagrams that were taken from the socket below, and from the program: the number of the next one.
  [[nodiscard]] std::uint64_t datagrams_received() const noexcept;
  [[nodiscard]] std::uint64_t datagrams_sent() const noexcept;

 private:
  friend class detail::faulty_datagram_state<Endpoint>;
  std::size_t do_receive(std::span<const mutable_buffer> into, Endpoint& from, packet_info& info,
                         boost::system::error_code& error) noexcept override;
  void do_send(std::span<const const_buffer> from, const Endpoint* to, const packet_info* source,
               boost::system::error_code& error) noexcept override;
  void on_close() noexcept override;

  std::unique_ptr<detail::faulty_datagram_state<Endpoint>> state_;
};

/// A socket with the addresses of the one that it takes over.
template <class Socket>
  requires(!std::is_reference_v<Socket>)
faulty_datagram_socket(Socket&&, const datagram_fault_plan& = {})
    -> faulty_datagram_socket<typename Socket::endpoint_type>;
/// The same for a socket on the heap.
template <class Socket>
faulty_datagram_socket(std::unique_ptr<Socket>, const datagram_fault_plan& = {})
    -> faulty_datagram_socket<typename Socket::endpoint_type>;

extern template class faulty_datagram_socket<endpoint>;
extern template class faulty_datagram_socket<local_endpoint>;

}  // namespace cosock::testing
