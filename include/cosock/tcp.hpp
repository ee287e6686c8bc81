// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/accept.hpp>
#include <cosock/stream.hpp>

namespace cosock {

class loop;
class tcp_socket;

namespace detail {
class descriptor;
class tcp_accept_operation;
class tcp_connect_operation;
}  // namespace detail

/// Keep-alive probes of an idle connection (tcp(7)). Zero leaves the current value. Values outside
/// of the ranges below fail with invalid_argument.
struct keep_alive {
  bool enabled = true;       ///< send probes
  int idle_seconds = 0;      ///< silence before the first probe; 1 to 32767
  int interval_seconds = 0;  ///< between probes; 1 to 32767
  int count = 0;             ///< unanswered probes after which the connection fails; 1 to 127
};

/// How an acceptor is opened. The defaults suit a server. A negative number fails with
/// invalid_argument; the system reduces numbers that are too large.
struct acceptor_options {
  int backlog = 4096;  ///< connections that may wait to be accepted; the system may reduce it
  bool reuse_address = true;  ///< bind although old connections linger (SO_REUSEADDR)
  bool reuse_port = false;    ///< let several acceptors share the port (SO_REUSEPORT)
  bool v6_only = false;       ///< an IPv6 acceptor takes no IPv4 connections
  int fast_open = 0;          ///< pending TCP Fast Open requests (RFC 7413); 0: off
  int receive_buffer = 0;     ///< bytes, for each accepted connection; 0: the system's default
  int send_buffer = 0;        ///< bytes, for each accepted connection; 0: the system's default
};

/// A connected TCP socket; closed when destroyed. Made by connect() or by a tcp_acceptor; a default
/// constructed socket is closed. May be moved while operations are pending. Nagle's algorithm is
/// off, unless connect_options::no_delay is false; the options of an adopted descriptor stay as
/// they are. The descriptor is close-on-exec.
///
/// The options are those of tcp(7) and socket(7). Setters throw system_error with the system's code,
/// or `error::closed`.
class COSOCK_API tcp_socket final : public byte_stream {
 public:
  tcp_socket() noexcept = default;
  tcp_socket(tcp_socket&& other) noexcept : byte_stream(other.object_) { other.object_ = nullptr; }
  tcp_socket& operator=(tcp_socket&& other) noexcept;
  ~tcp_socket() override;

  /// Takes over a connected descriptor, for the running loop: makes it non-blocking and
  /// close-on-exec, and owns it, also if this throws.
  [[nodiscard]] static tcp_socket adopt(int descriptor);
  /// Returns the descriptor, open and non-blocking, to the caller, who owns it from then on; -1 if
  /// the socket was closed before. The option that the library uses itself (TCP_INQ) is reset.
  /// Pending operations end with `error::closed`.
  [[nodiscard]] int release() noexcept;

  void shutdown_send() override;
  void close() noexcept override;
  /// Closes with a reset: data that was not delivered is lost, and the next operation of the peer
  /// fails.
  void abort() noexcept;

  /// The local address and port, and those of the peer. For a socket that this library accepted or
  /// connected, those of the peer are available after a reset too. For an adopted one, the first call
  /// asks the system, and throws not_connected if the connection was lost before.
  [[nodiscard]] endpoint local_endpoint() const;
  [[nodiscard]] endpoint remote_endpoint() const;

  /// Whether small pieces are sent at once, without Nagle's algorithm (TCP_NODELAY).
  void set_no_delay(bool enabled);
  [[nodiscard]] bool no_delay() const;
  /// Keep-alive probes.
  void set_keep_alive(const keep_alive& probes);
  [[nodiscard]] keep_alive get_keep_alive() const;
  /// The size of the buffer in bytes. The kernel doubles the value, up to a limit, and the getter
  /// returns the doubled one. Errors: invalid_argument for a negative number.
  void set_receive_buffer(int bytes);
  [[nodiscard]] int receive_buffer() const;
  void set_send_buffer(int bytes);
  [[nodiscard]] int send_buffer() const;
  /// Seconds for which close() waits until the data is delivered, and blocks the thread (socket(7)).
  /// 0: close() resets the connection. Negative (default): close() returns at once, and the kernel
  /// delivers in the background.
  void set_linger(int seconds);
  [[nodiscard]] int linger() const;
  /// Milliseconds for which sent data may be unacknowledged before the connection fails with
  /// timed_out (TCP_USER_TIMEOUT); 0: the system's default. Errors: invalid_argument for a negative
  /// number.
  void set_user_timeout(int milliseconds);
  [[nodiscard]] int user_timeout() const;

  /// The descriptor, for options that this class does not have; -1 if closed. The socket still owns
  /// it. TCP_INQ, which the library uses itself, is reset until the next receive that waits.
  [[nodiscard]] int native_handle() const noexcept;

 private:
  friend class detail::tcp_accept_operation;
  friend class detail::tcp_connect_operation;
  explicit tcp_socket(detail::descriptor* impl) noexcept;
  detail::descriptor* impl() const noexcept;
};

/// Listens for TCP connections; closed when destroyed. Belongs to one loop.
class COSOCK_API tcp_acceptor {
 public:
  /// Closed.
  tcp_acceptor() noexcept = default;
  /// Binds and listens, on the running loop. Port 0 lets the system pick one; see local_endpoint().
  /// With a scope id, only connections over this interface are accepted. Throws system_error with the
  /// address in what(): address_in_use, permission_denied, no_such_device for a scope id that names
  /// no interface, and so on.
  explicit tcp_acceptor(const endpoint& at, const acceptor_options& options = {});
  /// Binds and listens on this loop, which need not be running.
  tcp_acceptor(loop& loop, const endpoint& at, const acceptor_options& options = {});
  tcp_acceptor(tcp_acceptor&& other) noexcept : listener_(other.listener_) {
    other.listener_ = nullptr;
  }
  tcp_acceptor& operator=(tcp_acceptor&& other) noexcept;
  ~tcp_acceptor();

  /// Takes over a descriptor that listens, for example that of a service manager, for the running
  /// loop: makes it non-blocking and close-on-exec, and owns it, also if this throws. Errors:
  /// wrong_protocol_type if it is not a stream socket; invalid_argument if it does not listen;
  /// not_a_socket; bad_file_descriptor.
  [[nodiscard]] static tcp_acceptor adopt(int descriptor);
  /// Returns the descriptor, listening and non-blocking, to the caller, who owns it from then on;
  /// -1 if the acceptor was closed before. A pending accept ends with `error::closed`.
  [[nodiscard]] int release() noexcept;

  /// Waits for a connection, and returns its socket. A connection that was aborted before is
  /// skipped. Errors: the system's, such as too_many_files_open, after which it may be called
  /// again; `error::busy` while another accept is pending; `error::closed`. Cancelled: no
  /// connection is lost; the next accept returns it.
  detail::tcp_accept_operation accept();
  /// Also stores the address of the peer. `peer` outlives the `co_await`.
  detail::tcp_accept_operation accept(endpoint& peer);

  /// Stops listening. A pending accept ends with `error::closed`. Idempotent.
  void close() noexcept;
  /// Whether it listens: not closed, not moved from, nor made by default.
  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }
  /// Where it listens, with the port that the system has picked.
  [[nodiscard]] endpoint local_endpoint() const;
  /// How many connections may wait to be accepted from now on; the system may cut it (listen(2)).
  /// Throws system_error with the system's code, invalid_argument for a negative number, or
  /// `error::closed`.
  void set_backlog(int connections);
  /// The descriptor, or -1. It stays the acceptor's own.
  [[nodiscard]] int native_handle() const noexcept;

 private:
  explicit tcp_acceptor(detail::descriptor* impl) noexcept : listener_(impl) {}
  detail::descriptor* listener_ = nullptr;
};

// Implementation

class COSOCK_AWAITABLE detail::tcp_accept_operation final : public awaiter_of<tcp_accept_operation>,
                                                            public basic_accept_operation {
 public:
  tcp_accept_operation(descriptor* const& target, endpoint* peer) noexcept;
  tcp_accept_operation(tcp_accept_operation&&) noexcept = default;
  tcp_socket result() { return tcp_socket(take()); }
};

inline detail::tcp_accept_operation tcp_acceptor::accept() { return {listener_, nullptr}; }
inline detail::tcp_accept_operation tcp_acceptor::accept(endpoint& peer) {
  return {listener_, &peer};
}

}  // namespace cosock
