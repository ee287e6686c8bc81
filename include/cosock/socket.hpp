// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/descriptor_handle.hpp>
#include <cosock/detail/fd_kind.hpp>
#include <cosock/observer.hpp>

namespace cosock {

/// A function `void(int descriptor)` that is called with a new socket before it is bound or connected,
/// for options that this library does not have: SO_MARK, SO_BINDTODEVICE, IP_FREEBIND, IP_TRANSPARENT
/// and so on. Empty by default. The options of this library are set before, so the function may change
/// them. The library owns the descriptor: the function must not close it or keep it.
///
/// An exception of the function closes the socket, and leaves the function that opens it; from an
/// awaitable, the `co_await` throws it. A lambda with captures must be a named variable (see observer)
/// that outlives the call, and for an awaitable the `co_await`.
using socket_hook = observer<int>;

/// The common part of all sockets. The descriptor is close-on-exec. Setters and getters throw
/// system_error with the system's code, or `error::closed`.
template <class Interface, class Endpoint>
class COSOCK_API basic_socket : public descriptor_handle<Interface> {
 public:
  /// Returns the descriptor, open and non-blocking, to the caller, who owns it and its file from then
  /// on; -1 if the socket was closed before. Options that the library set for itself are reset.
  /// Pending operations end with `error::closed`.
  [[nodiscard]] int release() noexcept;

  /// The local address, with the port or the abstract name that the system has picked.
  [[nodiscard]] Endpoint local_endpoint() const;
  /// The address of the peer. Errors: not_connected.
  [[nodiscard]] Endpoint remote_endpoint() const;

  /// The size of the buffer in bytes (socket(7)). The kernel doubles the value, up to a limit, and
  /// the getter returns the doubled one. The send buffer of a local socket limits the size of a
  /// message. Errors: invalid_argument for a negative number.
  void set_receive_buffer(int bytes);
  [[nodiscard]] int receive_buffer() const;
  void set_send_buffer(int bytes);
  [[nodiscard]] int send_buffer() const;

 protected:
  using descriptor_handle<Interface>::descriptor_handle;
};

/// The interface of acceptors, without the operation accept(), whose result depends on their type.
/// Belongs to one loop. One task at a time may accept.
class COSOCK_API acceptor_interface {
 public:
  virtual ~acceptor_interface();
  /// Stops listening. A pending accept ends with `error::closed`. Idempotent.
  virtual void close() noexcept = 0;
  /// Whether it listens. False if it was closed, moved from, or default constructed.
  [[nodiscard]] bool is_open() const noexcept { return object_ && object_->loop; }

 protected:
  explicit acceptor_interface(detail::io_object* object = nullptr) noexcept : object_(object) {}
  acceptor_interface(const acceptor_interface&) = default;
  acceptor_interface& operator=(const acceptor_interface&) = default;
  detail::io_object* object_;
};

extern template class descriptor_handle<acceptor_interface>;

/// The common part of all acceptors. The descriptor is close-on-exec.
template <class Endpoint>
class COSOCK_API basic_acceptor : public descriptor_handle<acceptor_interface> {
 public:
  /// Returns the descriptor, listening and non-blocking, to the caller, who owns it and its file from
  /// then on; -1 if the acceptor was closed before. A pending accept ends with `error::closed`.
  [[nodiscard]] int release() noexcept { return descriptor_handle::release(); }
  /// The address on which it listens, with the port or the abstract name that the system has picked.
  /// Throws `error::closed`.
  [[nodiscard]] Endpoint local_endpoint() const;
  /// Sets the number of connections that may wait to be accepted; the system may reduce it
  /// (listen(2)). Throws system_error with the system's code, invalid_argument for a negative number,
  /// or `error::closed`.
  void set_backlog(int connections);

 protected:
  using descriptor_handle::descriptor_handle;
};

namespace detail {

/// How operations make a socket of any type, and of which kind its descriptor is.
struct socket_access {
  template <class Socket>
  static constexpr fd_kind kind() noexcept {
    return Socket::kind;
  }
  template <class Socket>
  static Socket make(io_object* object) noexcept {
    return Socket(object);
  }
};

}  // namespace detail
}  // namespace cosock
