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
  /// To the loop with the fewest connections, among the loops that accept. Connections that are closed,
  /// or released, do not count.
  even,
  /// As the system does it: by a hash of the addresses and ports (SO_REUSEPORT). The loops share
  /// nothing.
  kernel,
  /// To the loop of the processor on which the connection arrives (SO_ATTACH_REUSEPORT_CBPF), for
  /// run_loops_options::pin: loop `i` is that of the processor `i` in the affinity mask of the thread that
  /// makes the acceptors, and so on in turn if there are fewer processors than loops. The connections
  /// of other processors are distributed by their numbers.
  cpu
};

/// Listens on one TCP port for several loops (loops.hpp): each loop has its own socket
/// (SO_REUSEPORT). Belongs to no loop; any thread may take its acceptors.
///
/// All sockets listen from the start. Connections to a socket whose acceptor is never taken wait until
/// this object is destroyed. No other socket can share the port, unless the option reuse_port is set.
///
/// With spread::even, a loop that has more connections than another passes a new one on, before a byte
/// of it is read: the accept() of the other loop returns it. This takes one atomic operation when a
/// connection is opened, and one when it is closed; nothing for a message. Two loops that accept
/// at the same moment may decide by numbers that are old by one connection. A loop that does
/// not accept, for example because it serves serve_options::max_connections, gets no connections: those at
/// its socket go to the others, and if no loop accepts, they wait. The same happens to the connections that
/// wait at an acceptor when it closes, or when its loop ends. With the other kinds of spread, a loop that does not
/// accept keeps its connections waiting, and those that wait at an acceptor when it closes are reset.
///
/// When the last acceptor closes, two kinds of connections may be left. Those that a loop has passed to
/// another one are closed, unless they are accepted before: tcp_acceptor::accept_rest(), which serve()
/// calls. Those in the queues of the system are reset, unless another process has the sockets, for example after
/// hand_over(): they stay for it. So a hand-over to a new process loses no connection if each loop serves with
/// serve(), or calls accept_rest().
class COSOCK_API tcp_acceptors {
 public:
  /// Binds `n` sockets; without `n`, as many as usable_cores(). With port 0 the system picks one port
  /// for all; see local_endpoint(). The hook `configure` is called for each socket. Throws as
  /// tcp_acceptor does; std::invalid_argument for 0, or more than max_loops; system_error if the system
  /// cannot attach the program of spread::cpu.
  explicit tcp_acceptors(const endpoint& at, std::optional<unsigned> n = std::nullopt,
                         const tcp_acceptor_options& options = {}, spread how = spread::even);
  tcp_acceptors(tcp_acceptors&&) noexcept;
  tcp_acceptors& operator=(tcp_acceptors&&) noexcept;
  ~tcp_acceptors();

  /// Takes over descriptors that listen on one port, for example inherited ones (inherited.hpp), for `n`
  /// loops; without `n`, for as many as usable_cores(), and at least one for each socket. Loops for which
  /// there is no socket share one. Owns the descriptors, also if this throws, and makes them non-blocking
  /// and close-on-exec. Throws as tcp_acceptor::adopt() does; std::invalid_argument for no socket, for
  /// fewer loops than sockets, or for more than max_loops; system_error as the constructor.
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

  /// With spread::even, the number of connections of this loop that are open, or on their way to it.
  /// Otherwise 0. Any thread may call it. Throws std::logic_error if `index` is not below size().
  [[nodiscard]] std::size_t connections(unsigned index) const;

  /// Passes a connection to the loop of another acceptor, whose accept() returns it: by hand, what
  /// spread::even does with new connections. Call it on the loop of `socket`, which need not come from
  /// these acceptors. Bytes that were received before, by a buffered_reader for example, do not
  /// move. Pending operations of the socket end with `error::closed`. If the other loop does
  /// not accept, one of the others does.
  ///
  /// Returns true if the connection is on its way; false, and leaves the socket unchanged, if it is closed or
  /// if that acceptor is closed, ends (tcp_acceptor::accept_rest()), or was not taken. Throws
  /// std::logic_error if `index` is not below size(), or if the spread is not spread::even; system_error
  /// for a socket whose peer is not known.
  [[nodiscard]] bool move_to(unsigned index, tcp_socket& socket);

 private:
  friend class passed_sockets;
  tcp_acceptors() noexcept = default;
  std::vector<unique_descriptor> sockets_;
  endpoint local_endpoint_;
  std::shared_ptr<detail::spread_group> group_;  // null: not spread::even
};

/// One of several acceptors, each of its own loop, that accept the connections of one local socket in
/// turn. Belongs to one loop.
template <class Socket>
class basic_shared_acceptor final : public detail::shared_acceptor_base {
 public:
  /// Closed.
  basic_shared_acceptor() noexcept = default;

  /// Waits for its turn, and then for a connection. Returns its socket. Errors as for
  /// basic_local_acceptor::accept(). Cancelled: no connection is lost; the next accept of any of the
  /// loops returns it.
  task<Socket> accept() { return accept_in_turn(part_); }

 private:
  template <class>
  friend class basic_local_acceptors;
  using shared_acceptor_base::shared_acceptor_base;
  static task<Socket> accept_in_turn(std::shared_ptr<detail::shared_acceptor_part> part) {
    detail::accept_turn turn(std::move(part));
    co_await turn.wait();
    co_return co_await detail::accept_operation<Socket>(turn.listening());
  }
};
/// The shared acceptors of local streams, and of sequenced packets.
using shared_local_acceptor = basic_shared_acceptor<local_stream_socket>;
using shared_local_seqpacket_acceptor = basic_shared_acceptor<local_seqpacket_socket>;

/// Listens on one local socket for several loops (loops.hpp). The loops that wait in accept()
/// receive connections in turn (round robin); a loop without a pending accept() is skipped. If a
/// loop with a pending accept() is occupied by a task at its turn, the connection waits for it.
///
/// Belongs to no loop; any thread may take its acceptors. It stops listening, and its file is
/// removed, when all acceptors that were taken are closed, and no other can be taken any more: all
/// were taken, or this object was destroyed.
template <class Socket>
class basic_local_acceptors final : public detail::shared_acceptors_base {
 public:
  /// Binds and listens for `n` loops; without `n`, for usable_cores() loops. Throws as basic_local_acceptor
  /// does; std::invalid_argument for 0, or more than max_loops.
  explicit basic_local_acceptors(const cosock::local_endpoint& at,
                                 std::optional<unsigned> n = std::nullopt,
                                 const local_acceptor_options& options = {})
      : shared_acceptors_base(detail::socket_access::kind<Socket>(), at, n, options) {}
  /// Takes over a descriptor that listens, for example an inherited one (inherited.hpp), for `n` loops;
  /// without `n`, for usable_cores() loops. Owns it, also if this throws. Its file is not removed. Throws
  /// as basic_local_acceptor::adopt() does; std::invalid_argument for 0, or more than max_loops.
  [[nodiscard]] static basic_local_acceptors adopt(int descriptor,
                                                   std::optional<unsigned> n = std::nullopt) {
    return basic_local_acceptors(descriptor, n);
  }

  /// Returns the acceptor with this index, for the loop that runs on this thread. Throws as
  /// tcp_acceptors::acceptor() does.
  [[nodiscard]] basic_shared_acceptor<Socket> acceptor(unsigned index) {
    return basic_shared_acceptor<Socket>(take(index));
  }

 private:
  friend class passed_sockets;
  basic_local_acceptors(int descriptor, std::optional<unsigned> n)
      : shared_acceptors_base(detail::socket_access::kind<Socket>(), descriptor, n) {}
};
/// The acceptors of local streams, and of sequenced packets.
using local_acceptors = basic_local_acceptors<local_stream_socket>;
using local_seqpacket_acceptors = basic_local_acceptors<local_seqpacket_socket>;

}  // namespace cosock
