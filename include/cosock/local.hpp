// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/credentials.hpp>
#include <cosock/descriptors.hpp>
#include <cosock/detail/local.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/socket.hpp>
#include <cosock/stream.hpp>

namespace cosock {

class loop;

/// The base of connected local (Unix domain) sockets (unix(7)). Made by connect(), by an acceptor, or in
/// pairs by local_pair().
///
/// Descriptors that a peer sends are closed, unless they are received with
/// receive_with_descriptors(), or by a buffered_reader with `max_descriptors`. The local endpoint of a
/// client is unnamed, and so is usually the remote endpoint of a server's connection.
class COSOCK_API local_socket : public basic_socket<byte_stream, local_endpoint> {
 public:
  ~local_socket() override;

  void shutdown_send() override;

  /// The process that connected or listened, with its credentials at that time; for a pair, the
  /// process that made it (SO_PEERCRED).
  [[nodiscard]] credentials peer_credentials() const;

  /// Sends `data`, and with its first byte duplicates of the descriptors (SCM_RIGHTS). Returns the
  /// number of bytes. The caller keeps the descriptors, and may close them afterwards; a socket of
  /// this library is passed by its native_handle(). On a stream, descriptors need at least one byte
  /// of data. `data` and `descriptors` must outlive the `co_await`. Counts as a send.
  ///
  /// Errors: invalid_argument for more than `max_descriptors`, or on a stream for descriptors
  /// without data; bad_file_descriptor; ETOOMANYREFS if too many descriptors are in transit; those
  /// of send(). After an error or a cancellation in the middle, throws transfer_error; the
  /// descriptors were sent. Otherwise nothing was sent.
  detail::descriptor_send_operation send_with_descriptors(const_buffer data,
                                                          std::span<const int> descriptors) {
    return {object_, data, descriptors};
  }

  /// Waits for bytes or a message, as receive() does, and takes at most `max_count` of the descriptors
  /// that were sent with them; the others are closed and counted. The descriptors of a message arrive
  /// together. On a stream, those of one send arrive with its first byte; bytes of earlier and later
  /// sends may be received with it.
  ///
  /// Returns a receive_descriptors_result. The end of the stream, and a message that does not fit,
  /// are part of the result, not errors; an empty message is returned. On a stream, an empty buffer
  /// returns at once. Errors: the system's; not_enough_memory, before anything is taken. Cancelled:
  /// nothing was taken. Counts as a receive.
  detail::descriptor_receive_operation receive_with_descriptors(mutable_buffer into,
                                                                std::size_t max_count) {
    return {object_, into, max_count};
  }

 protected:
  using basic_socket::basic_socket;
  local_socket() noexcept = default;
  local_socket(local_socket&&) noexcept = default;
  local_socket& operator=(local_socket&&) noexcept = default;
  static detail::io_object* adopt(int descriptor, detail::fd_kind kind);
};

/// A local stream of bytes.
class COSOCK_API local_stream_socket final : public local_socket {
 public:
  local_stream_socket() noexcept = default;
  local_stream_socket(local_stream_socket&&) noexcept = default;
  local_stream_socket& operator=(local_stream_socket&&) noexcept = default;
  ~local_stream_socket() override;

  /// Takes over a connected descriptor, for the running loop: makes it non-blocking and
  /// close-on-exec, and owns it, also if this throws. Errors:
  /// wrong_protocol_type if it is not a local socket of this type.
  [[nodiscard]] static local_stream_socket adopt(int descriptor);

 private:
  friend struct detail::socket_access;
  using local_socket::local_socket;
  static constexpr auto kind = detail::fd_kind::local;
};

/// A local connection that preserves message boundaries (SOCK_SEQPACKET): each send is one message,
/// never a part of one, and each receive returns one. As a byte_stream, it differs in this: a message
/// that does not fit into the buffer of a receive fails with `error::message_truncated`, thrown as
/// transfer_error with the number of bytes in the buffer, and the rest is lost; a message that is too
/// large to be sent, or has more than 1024 buffers, fails with message_size; an empty send does
/// nothing, and empty messages of the peer are skipped.
class COSOCK_API local_seqpacket_socket final : public local_socket {
 public:
  local_seqpacket_socket() noexcept = default;
  local_seqpacket_socket(local_seqpacket_socket&&) noexcept = default;
  local_seqpacket_socket& operator=(local_seqpacket_socket&&) noexcept = default;
  ~local_seqpacket_socket() override;

  /// As local_stream_socket::adopt.
  [[nodiscard]] static local_seqpacket_socket adopt(int descriptor);

  /// Waits for a message, which may be empty. Returns a receive_result. If the message does not
  /// fit, the rest is lost, and `truncated` is set; at the end of the stream `end` is set. Errors:
  /// the system's. Cancelled: no message was taken. Counts as a receive.
  detail::message_receive_operation receive_message(mutable_buffer into) { return {object_, into}; }
  /// Like send(), except that an empty buffer is sent as an empty message; send() does nothing for
  /// it.
  detail::descriptor_send_operation send_message(const_buffer from) { return {object_, from, {}}; }

 private:
  friend struct detail::socket_access;
  using local_socket::local_socket;
  static constexpr auto kind = detail::fd_kind::messages;
};

/// Options of a connection to a local socket.
struct local_connect_options {
  /// Called before connect(2), once; see socket_hook. May bind the socket to a name of its own.
  socket_hook configure = {};
};

/// Connects to a local socket. Returns a `Socket`: local_stream_socket or local_seqpacket_socket.
/// While the backlog of the acceptor is full, it tries again after 1 ms, then after pauses that
/// double up to 100 ms, without a time limit; see with_timeout. Throws system_error with the
/// endpoint in what(): connection_refused if no process listens, no_such_file_or_directory,
/// permission_denied, wrong_protocol_type for a socket of another type, and others of connect(2).
/// Cancelled: the socket is closed, even if the connection was already established.
template <class Socket = local_stream_socket>
detail::local_connect_operation<Socket> connect(const local_endpoint& peer,
                                                const local_connect_options& options = {}) {
  return detail::local_connect_operation<Socket>(peer, options.configure);
}

/// Returns two sockets that are connected to each other, on the running loop (socketpair(2)). Throws
/// system_error with the system's code.
template <class Socket = local_stream_socket>
[[nodiscard]] std::pair<Socket, Socket> local_pair() {
  const detail::object_pair made = detail::make_local_pair(detail::socket_access::kind<Socket>());
  return {detail::socket_access::make<Socket>(made.first),
          detail::socket_access::make<Socket>(made.second)};
}

/// How a local acceptor is opened. The defaults suit a server.
struct local_acceptor_options {
  int backlog = 4096;  ///< connections that may wait to be accepted; the system may reduce it;
                       ///< negative: invalid_argument
  int mode = 0600;     ///< permissions of the file, whatever the umask is; a peer needs write
                       ///< permission to connect; outside of 0 to 07777: invalid_argument
  bool replace_stale = true;   ///< replace the file of a socket that does not exist any more
  socket_hook configure = {};  ///< called before bind(2); see socket_hook
};

namespace detail {
/// A local acceptor, on the running loop where `loop` is null.
COSOCK_API io_object* open_local_acceptor(loop* loop, fd_kind kind, const local_endpoint& at,
                                          const local_acceptor_options& options);
COSOCK_API io_object* adopt_local_acceptor(int descriptor, fd_kind kind);
}  // namespace detail

/// Listens for connections of one type of local socket: local_stream_socket, which is the default, or
/// local_seqpacket_socket. A variable of the default needs no argument, `local_acceptor acceptor(at);`;
/// elsewhere the type is `local_acceptor<>`. Its file is removed when it closes, or when the loop is
/// destroyed, unless the path names another file then; a relative path is looked up in the current
/// directory. A forked child never removes a file that its parent made; the next acceptor replaces it.
template <class Socket = local_stream_socket>
class local_acceptor final : public basic_acceptor<local_endpoint> {
 public:
  local_acceptor() noexcept = default;
  /// Binds and listens, on the running loop. For an unnamed endpoint the system picks an abstract
  /// name; see local_endpoint().
  ///
  /// With `replace_stale`, an existing socket of this user (for root, of any user) that no process
  /// has open is replaced. Throws system_error with the endpoint in what(): address_in_use for any
  /// other existing file; no_such_file_or_directory, permission_denied, and others of bind(2).
  explicit local_acceptor(const cosock::local_endpoint& at,
                          const local_acceptor_options& options = {})
      : basic_acceptor(detail::open_local_acceptor(nullptr, detail::socket_access::kind<Socket>(),
                                                   at, options)) {}
  /// Binds and listens on this loop, which need not be running.
  local_acceptor(loop& loop, const cosock::local_endpoint& at,
                 const local_acceptor_options& options = {})
      : basic_acceptor(detail::open_local_acceptor(&loop, detail::socket_access::kind<Socket>(), at,
                                                   options)) {}

  /// Takes over a descriptor that listens, for example that of a service manager, for the running
  /// loop: makes it non-blocking and close-on-exec, and owns it, also if this throws. Its file is not
  /// removed. Errors: wrong_protocol_type if it is not a local socket of this type; invalid_argument
  /// if it does not listen; not_a_socket; bad_file_descriptor.
  [[nodiscard]] static local_acceptor adopt(int descriptor) {
    return local_acceptor(
        detail::adopt_local_acceptor(descriptor, detail::socket_access::kind<Socket>()));
  }

  /// Waits for a connection, and returns its socket. Errors: the system's, such as
  /// too_many_files_open, after which it may be called again; `error::busy` while another accept is
  /// pending; `error::closed`. Cancelled: no connection is lost; the next accept returns it.
  detail::accept_operation<Socket> accept() { return detail::accept_operation<Socket>(object_); }

  /// Accepts without waiting. Returns the socket of a connection; empty if no connection waits. Throws the
  /// errors of accept(). No cancellation point.
  [[nodiscard]] std::optional<Socket> try_accept() { return detail::try_accept<Socket>(object_); }

 private:
  using basic_acceptor::basic_acceptor;
};
/// An acceptor of streams.
local_acceptor() -> local_acceptor<local_stream_socket>;

extern template class descriptor_handle<byte_stream>;
extern template class basic_socket<byte_stream, local_endpoint>;
extern template class basic_acceptor<local_endpoint>;

}  // namespace cosock
