// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/shared_acceptor.hpp>
#include <cosock/local.hpp>
#include <cosock/loops.hpp>
#include <cosock/tcp.hpp>

#include <vector>

namespace cosock {

/// Listens on one TCP port for several loops (loops.hpp): a socket for each, among which the system
/// spreads the connections (SO_REUSEPORT), so that the loops share nothing. It belongs to no loop, and
/// any thread may take its acceptors.
///
/// All of them listen from the start. Connections to one whose acceptor nobody takes wait until this
/// object is destroyed; those that wait at an acceptor when it closes are reset. They share the port
/// with no other socket, unless the options say reuse_port.
class COSOCK_API tcp_listeners {
 public:
  /// Binds `n` sockets, for 0 usable_cores(). Port 0 lets the system pick one for all; see
  /// local_endpoint(). Throws as tcp_acceptor does; std::invalid_argument for more than max_loops.
  explicit tcp_listeners(const endpoint& at, unsigned n = 0, const acceptor_options& options = {});

  /// The acceptor for the loop that runs on this thread. Throws std::logic_error if none does, and
  /// unless `index` is below size() and asked for the first time; system_error if the loop cannot
  /// take it, which then has closed.
  [[nodiscard]] tcp_acceptor acceptor(unsigned index);

  /// How many acceptors it has to give.
  [[nodiscard]] unsigned size() const noexcept { return static_cast<unsigned>(sockets_.size()); }
  /// Where all of them listen, with the port that was picked.
  [[nodiscard]] endpoint local_endpoint() const noexcept { return at_; }

 private:
  std::vector<unique_descriptor> sockets_;
  endpoint at_;
};

/// Accepts, in turn with those of other loops, the connections to one local socket. Belongs to one
/// loop.
template <class Socket>
class basic_shared_acceptor final : public detail::shared_acceptor_base {
 public:
  /// Closed.
  basic_shared_acceptor() noexcept = default;

  /// Waits for its turn, and then for a connection. Throws what basic_local_acceptor::accept() does.
  /// Cancelled: no connection is lost, the next accept of any loop gets it.
  task<Socket> accept() { return accept_in_turn(part_); }

 private:
  template <class>
  friend class basic_local_listeners;
  using shared_acceptor_base::shared_acceptor_base;
  static task<Socket> accept_in_turn(std::shared_ptr<detail::shared_acceptor_part> part) {
    detail::accept_turn turn(std::move(part));
    co_await turn.wait();
    co_return co_await detail::local_accept_operation<Socket>(turn.listening());
  }
};
/// The acceptors for streams, and for sequenced packets.
using shared_local_acceptor = basic_shared_acceptor<local_stream_socket>;
using shared_local_seqpacket_acceptor = basic_shared_acceptor<local_seqpacket_socket>;

/// Listens on one local socket for several loops (loops.hpp), among which the connections are dealt
/// round robin: to those that wait in accept(), so that one that has no room is passed over. One that
/// waits there, but computes when its turn comes, keeps the others waiting until it looks.
///
/// It belongs to no loop, and any thread may take its acceptors. It listens until every acceptor that
/// was taken is closed, and this object destroyed or all of them taken; then its file is removed.
template <class Socket>
class basic_local_listeners final : public detail::shared_listeners_base {
 public:
  /// Binds and listens, for `n` loops, for 0 usable_cores(). Throws as basic_local_acceptor does.
  explicit basic_local_listeners(const cosock::local_endpoint& at, unsigned n = 0,
                                 const local_acceptor_options& options = {})
      : shared_listeners_base(detail::local_access::kind<Socket>(), at, n, options.backlog,
                          options.mode, options.replace_stale) {}

  /// The acceptor for the loop that runs on this thread. Throws as tcp_listeners::acceptor() does.
  [[nodiscard]] basic_shared_acceptor<Socket> acceptor(unsigned index) {
    return basic_shared_acceptor<Socket>(take(index));
  }
};
/// The listeners for streams, and for sequenced packets.
using local_listeners = basic_local_listeners<local_stream_socket>;
using local_seqpacket_listeners = basic_local_listeners<local_seqpacket_socket>;

}  // namespace cosock
