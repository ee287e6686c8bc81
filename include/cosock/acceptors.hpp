// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/shared_acceptor.hpp>
#include <cosock/local.hpp>
#include <cosock/loops.hpp>
#include <cosock/tcp.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace cosock {

class passed_sockets;

namespace detail {
class spread_group;
}

/// How the connections of one TCP port are distributed over loops.
enum class spread : unsigned char {
  /// To the loop with the fewest open connections, among the loops that accept. A connection counts until
  /// it is closed or released.
  even,
  /// By a hash of the addresses and ports, in the kernel (SO_REUSEPORT). The loops share no state.
  kernel,
  /// To the loop of the processor on which the connection arrives (SO_ATTACH_REUSEPORT_CBPF), for
  /// run_loops_options::pin. The processors in the affinity mask of the thread that makes the acceptors are
  /// assigned to the loops in turn; the connections of other processors by the number of the processor.
  cpu
};

/// Listens on one TCP port for several loops (loops.hpp): each loop has its own socket
/// (SO_REUSEPORT). Belongs to no loop; any thread may take its acceptors.
///
/// All sockets listen from the start. Connections to a socket whose acceptor is never taken wait until
/// this object is destroyed. No other socket can share the port, unless the option reuse_port is set.
///
/// With spread::even, a loop that has more connections than another passes a new connection to it before
/// a byte is read: the accept() of the other loop returns it. If two loops accept at the same moment, the
/// numbers may differ by one connection. A loop that does not accept, for example because it has reached
/// serve_options::max_connections, gets no connections: those in its backlog go to other loops, or wait if
/// no loop accepts. The same happens to the backlog of an acceptor that is closed, or whose loop ends. The
/// cost is an atomic operation when a connection is opened and when it is closed.
///
/// With the other kinds of spread, the connections in the backlog of a loop wait while the loop does not
/// accept, and are reset when its acceptor is closed.
///
/// When the last acceptor is closed, connections may be left. Those that one loop has passed to another are
/// closed, unless they are accepted before, with tcp_acceptor::accept_rest(), which serve() calls. Those in
/// the backlog are reset, unless another process has the same sockets, for example after hand_over(): then
/// they wait for that process. So hand_over() loses no connection if each loop uses serve() or calls
/// accept_rest().
class COSOCK_API tcp_acceptors {
 public:
  /// Binds `n` sockets, by default usable_cores(), and listens. With port 0 the system picks one port
  /// for all; see local_endpoint(). The hook `configure` is called for each socket. Throws as
  /// tcp_acceptor does; std::invalid_argument if `n` is 0, or more than max_loops; system_error if the
  /// system cannot attach the program of spread::cpu.
  explicit tcp_acceptors(const endpoint& at, std::optional<unsigned> n = std::nullopt,
                         const tcp_acceptor_options& options = {}, spread how = spread::even);
  tcp_acceptors(tcp_acceptors&&) noexcept;
  tcp_acceptors& operator=(tcp_acceptors&&) noexcept;
  ~tcp_acceptors();

  /// Takes over descriptors that listen on one port, for example inherited ones (inherited.hpp), for `n`
  /// loops, by default usable_cores(), but at least the number of sockets. If there are more loops than
  /// sockets, loops share a socket. Owns the descriptors, even if it throws, and makes them non-blocking
  /// and close-on-exec. Throws as tcp_acceptor::adopt() does; std::invalid_argument if there is no socket,
  /// for fewer loops than sockets, or more than max_loops; system_error as the constructor.
  [[nodiscard]] static tcp_acceptors adopt(std::vector<unique_descriptor> sockets,
                                           std::optional<unsigned> n = std::nullopt,
                                           spread how = spread::even);

  /// Returns the acceptor with this index, for the loop that runs on this thread. Each can be taken
  /// once. Throws std::logic_error if no loop runs, or if `index` is not below size() or was taken
  /// before; system_error if it cannot be added to the loop (the socket is closed then).
  [[nodiscard]] tcp_acceptor acceptor(unsigned index);

  /// The number of acceptors.
  [[nodiscard]] unsigned size() const noexcept { return static_cast<unsigned>(sockets_.size()); }
  /// The address on which all of them listen, with the port that the system has picked.
  [[nodiscard]] endpoint local_endpoint() const noexcept { return local_endpoint_; }

  /// With spread::even, the number of connections that this loop has open, or that were passed to it;
  /// otherwise 0. May be called on any thread. Throws std::logic_error if `index` is not below size().
  [[nodiscard]] std::size_t connections(unsigned index) const;

  /// Passes an open connection to the loop of the acceptor `index`, whose accept() returns it; if that loop
  /// does not accept, another one gets it. Call it on the loop of `socket`, which need not come from these
  /// acceptors. Bytes that were received before, for example into a buffered_reader, are not passed on.
  /// Pending operations of the socket end with `error::closed`.
  ///
  /// Returns true if the connection was passed on; false, with the socket unchanged, if the socket is
  /// closed, or if the acceptor is closed, was not taken, or is in accept_rest(). Throws std::logic_error
  /// if `index` is not below size(), or if the spread is not spread::even; the errors of remote_endpoint().
  [[nodiscard]] bool move_to(unsigned index, tcp_socket& socket);

 private:
  friend class passed_sockets;
  tcp_acceptors() noexcept = default;
  std::vector<unique_descriptor> sockets_;
  endpoint local_endpoint_;
  std::shared_ptr<detail::spread_group> group_;  // null: not spread::even
};

/// The acceptor of one loop, of several loops that accept the connections of one local socket in turn.
/// Belongs to that loop.
template <class Socket = local_stream_socket>
class shared_local_acceptor final : public detail::shared_acceptor_base {
 public:
  /// Closed.
  shared_local_acceptor() noexcept = default;

  /// Waits for the turn of this loop, and then for a connection. Returns the socket of the connection.
  /// Errors as for local_acceptor::accept(). Cancelled: no connection is lost; the next accept() of
  /// one of the loops returns it.
  task<Socket> accept() { return accept_in_turn(part_); }

 private:
  template <class>
  friend class local_acceptors;
  using shared_acceptor_base::shared_acceptor_base;
  static task<Socket> accept_in_turn(std::shared_ptr<detail::shared_acceptor_part> part) {
    detail::accept_turn turn(std::move(part));
    co_await turn.wait();
    co_return co_await detail::accept_operation<Socket>(turn.listening());
  }
};
/// An acceptor of streams.
shared_local_acceptor() -> shared_local_acceptor<local_stream_socket>;

/// Listens on one local socket for several loops (loops.hpp), for connections of one type; see
/// local_acceptor. The loops with a pending accept() receive connections in turn (round robin). If a task
/// occupies the loop whose turn it is, the connection waits.
///
/// Belongs to no loop; any thread may take its acceptors. The socket stops listening, and its file is
/// removed, when all taken acceptors are closed, and none is left to take: all were taken, or this object
/// was destroyed.
template <class Socket = local_stream_socket>
class local_acceptors final : public detail::shared_acceptors_base {
 public:
  /// Binds and listens, for `n` loops, by default usable_cores(). Throws as local_acceptor does;
  /// std::invalid_argument if `n` is 0, or more than max_loops.
  explicit local_acceptors(const cosock::local_endpoint& at,
                           std::optional<unsigned> n = std::nullopt,
                           const local_acceptor_options& options = {})
      : shared_acceptors_base(detail::socket_access::kind<Socket>(), at, n, options) {}
  /// Takes over a listening descriptor, for example an inherited one (inherited.hpp), for `n` loops, by
  /// default usable_cores(). Owns the descriptor, even if it throws; does not remove the file. Throws as
  /// local_acceptor::adopt() does; std::invalid_argument if `n` is 0, or more than max_loops.
  [[nodiscard]] static local_acceptors adopt(int descriptor,
                                             std::optional<unsigned> n = std::nullopt) {
    return local_acceptors(descriptor, n);
  }

  /// Like tcp_acceptors::acceptor().
  [[nodiscard]] shared_local_acceptor<Socket> acceptor(unsigned index) {
    return shared_local_acceptor<Socket>(take(index));
  }

 private:
  friend class passed_sockets;
  local_acceptors(int descriptor, std::optional<unsigned> n)
      : shared_acceptors_base(detail::socket_access::kind<Socket>(), descriptor, n) {}
};
/// Acceptors of streams.
local_acceptors(const local_endpoint&) -> local_acceptors<local_stream_socket>;

}  // namespace cosock
