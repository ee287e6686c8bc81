// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/accept.hpp>
#include <cosock/socket.hpp>
#include <cosock/stream.hpp>

#include <optional>

namespace cosock {

class loop;
class tcp_acceptors;
class time_span;
struct keep_alive_options;

/// How an acceptor is opened. The defaults suit a server. A negative number fails with
/// invalid_argument; the system reduces numbers that are too large.
struct tcp_acceptor_options {
  int backlog = 4096;  ///< connections that may wait to be accepted; the system may reduce it
  bool reuse_address = true;  ///< bind although old connections linger (SO_REUSEADDR)
  bool reuse_port = false;    ///< let several acceptors share the port (SO_REUSEPORT)
  bool v6_only = false;       ///< an IPv6 acceptor takes no IPv4 connections
  int fast_open = 0;          ///< pending TCP Fast Open requests (RFC 7413); 0: off
  std::optional<int> receive_buffer =
      std::nullopt;  ///< bytes, for each accepted connection; negative: invalid_argument
  std::optional<int> send_buffer =
      std::nullopt;  ///< bytes, for each accepted connection; negative: invalid_argument
  /// Called before bind(2); see socket_hook. It is not called for accepted connections.
  socket_hook configure = {};
};

/// A connected TCP socket. Made by connect() or by a tcp_acceptor. Nagle's algorithm is off, unless
/// connect_options::no_delay is false; the options of an adopted descriptor stay as they are. The
/// options are those of tcp(7) and socket(7).
class COSOCK_API tcp_socket final : public basic_socket<byte_stream, endpoint> {
 public:
  tcp_socket() noexcept = default;
  tcp_socket(tcp_socket&&) noexcept = default;
  tcp_socket& operator=(tcp_socket&&) noexcept = default;
  ~tcp_socket() override;

  /// Takes over a connected descriptor, for the running loop: makes it non-blocking and
  /// close-on-exec, and owns it, also if this throws.
  [[nodiscard]] static tcp_socket adopt(int descriptor);

  void shutdown_send() override;
  /// Closes with a reset: data that was not delivered is lost, and the next operation of the peer
  /// fails.
  void abort() noexcept;

  /// The address of the peer. For a socket that this library accepted or connected, it is available
  /// after a reset too. For an adopted one, the first call asks the system, and throws not_connected
  /// if the connection was lost before.
  [[nodiscard]] endpoint remote_endpoint() const;

  /// Whether small pieces are sent at once, without Nagle's algorithm (TCP_NODELAY).
  void set_no_delay(bool enabled);
  [[nodiscard]] bool no_delay() const;

  // The functions for these three options need <cosock/tcp_options.hpp>, for their times.

  /// Keep-alive probes of an idle connection. Errors: invalid_argument, with the member and its value
  /// in what().
  void set_keep_alive(const keep_alive_options& probes);
  [[nodiscard]] keep_alive_options keep_alive() const;
  /// The time for which close() waits until the data is delivered, and blocks the thread (socket(7)).
  /// Rounded up to seconds. Zero: close() resets the connection. nullopt (default): close() returns at
  /// once, and the kernel delivers in the background. Errors: invalid_argument for a negative time.
  void set_linger(std::optional<time_span> limit);
  [[nodiscard]] std::optional<time_span> linger() const;
  /// The time for which sent data may be unacknowledged before the connection fails with timed_out
  /// (TCP_USER_TIMEOUT). Rounded up to milliseconds. nullopt: the system's default. Errors:
  /// invalid_argument for zero or less.
  void set_user_timeout(std::optional<time_span> limit);
  [[nodiscard]] std::optional<time_span> user_timeout() const;

 private:
  friend struct detail::socket_access;
  using basic_socket::basic_socket;
  static constexpr auto kind = detail::fd_kind::tcp;
};

/// Listens for TCP connections.
class COSOCK_API tcp_acceptor final : public basic_acceptor<endpoint> {
 public:
  tcp_acceptor() noexcept = default;
  /// Binds and listens, on the running loop. Port 0 lets the system pick one; see local_endpoint().
  /// With a scope id, only connections over this interface are accepted. An IPv4-mapped address opens
  /// an IPv4 socket; a socket at [::] accepts IPv4 too, and shows mapped addresses. Throws system_error with the
  /// address in what(): address_in_use, permission_denied, no_such_device for a scope id that names
  /// no interface, and so on.
  explicit tcp_acceptor(const endpoint& at, const tcp_acceptor_options& options = {});
  /// Binds and listens on this loop, which need not be running.
  tcp_acceptor(loop& loop, const endpoint& at, const tcp_acceptor_options& options = {});
  tcp_acceptor(tcp_acceptor&&) noexcept = default;
  tcp_acceptor& operator=(tcp_acceptor&&) noexcept = default;
  ~tcp_acceptor() override;

  /// Takes over a descriptor that listens, for example that of a service manager, for the running
  /// loop: makes it non-blocking and close-on-exec, and owns it, also if this throws. Errors:
  /// wrong_protocol_type if it is not a stream socket; invalid_argument if it does not listen;
  /// not_a_socket; bad_file_descriptor.
  [[nodiscard]] static tcp_acceptor adopt(int descriptor);

  /// Waits for a connection, and returns its socket. A connection that was aborted before is
  /// skipped. Errors: the system's, such as too_many_files_open, after which it may be called
  /// again; `error::busy` while another accept is pending; `error::closed`. Cancelled: no
  /// connection is lost; the next accept returns it.
  detail::accept_operation<tcp_socket> accept() {
    return detail::accept_operation<tcp_socket>(object_);
  }
  /// Also stores the address of the peer. `peer` must outlive the `co_await`.
  detail::accept_operation<tcp_socket> accept(endpoint& peer) {
    return detail::accept_operation<tcp_socket>(object_, &peer);
  }

  /// Accepts without waiting. Returns the socket of a connection; empty if no connection waits. Throws the
  /// errors of accept(). No cancellation point.
  [[nodiscard]] std::optional<tcp_socket> try_accept() {
    return detail::try_accept<tcp_socket>(object_);
  }

  /// Ends accepting in order, before the acceptor is closed: returns a connection that other loops have
  /// passed to this one (tcp_acceptors, spread::even) and no accept() has returned; empty if there is no
  /// other. Takes none from the queue of the system. From the first call on, until accept() or try_accept() is
  /// called, other loops pass no connection to this one. So a program calls it until it is empty, and serves
  /// what it returns: serve() does. For other acceptors it is always empty. Errors as for
  /// try_accept(). No cancellation point.
  [[nodiscard]] std::optional<tcp_socket> accept_rest() {
    detail::accept_operation<tcp_socket> op(object_);
    if (!op.accept_rest()) return std::nullopt;
    return op.result();
  }

 private:
  friend class tcp_acceptors;
  using basic_acceptor::basic_acceptor;
};

extern template class descriptor_handle<byte_stream>;
extern template class basic_socket<byte_stream, endpoint>;
extern template class basic_acceptor<endpoint>;

}  // namespace cosock
