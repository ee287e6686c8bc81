// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/descriptors.hpp>
#include <cosock/detail/local.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/stream.hpp>

namespace cosock {

class loop;

/// Who is at the other end of a local socket, as the kernel knows it: nobody can pretend.
struct credentials {
  int pid = 0;       ///< of the process, which may have ended since; 0 in another PID namespace
  unsigned uid = 0;  ///< its effective user
  unsigned gid = 0;  ///< its effective group
  friend bool operator==(const credentials&, const credentials&) noexcept = default;
};

/// What connected local (Unix domain) sockets have in common; closed when destroyed. Made by
/// connect(), by an acceptor, or in pairs by local_pair(); one made by default is closed. May be
/// moved while operations are pending on it. The descriptor is close-on-exec.
///
/// Descriptors that a peer sends along are closed unless they are asked for. The options throw
/// system_error with the system's code, or `error::closed`.
class COSOCK_API local_socket : public byte_stream {
 public:
  ~local_socket() override;

  /// Gives up the descriptor, open and non-blocking, to the caller, without the options that the
  /// library has set for itself (SO_TIMESTAMPNS). Pending operations end with
  /// `error::closed`; the socket is closed for this library. Gives -1 if it was closed before.
  [[nodiscard]] int release() noexcept;

  void shutdown_send() override;
  void close() noexcept override;

  /// The name of this side. Clients have none: unnamed.
  [[nodiscard]] cosock::local_endpoint local_endpoint() const;
  /// Where it is connected to: for a client the name of the server, for a server mostly unnamed.
  [[nodiscard]] cosock::local_endpoint remote_endpoint() const;

  /// The process that connected, or that listened, at the time when it did (SO_PEERCRED); for a
  /// pair, the one that made it.
  [[nodiscard]] credentials peer_credentials() const;

  /// Bytes. The kernel doubles the value, up to a limit of its own, and returns the doubled one.
  /// Negative: invalid_argument. The send buffer bounds what is on the way, and the size of a message.
  void set_receive_buffer(int bytes);
  [[nodiscard]] int receive_buffer() const;
  void set_send_buffer(int bytes);
  [[nodiscard]] int send_buffer() const;

  /// Sends all of `data`, and with its first byte duplicates of the descriptors; gives the number of
  /// bytes. The caller keeps its own, and may close them when this has ended; sockets of this library
  /// are passed by their native_handle(). `data` and
  /// `descriptors` outlive the `co_await`. On a stream, `data` is not empty. Takes the place of a
  /// sender.
  ///
  /// Errors: invalid_argument for more than `max_descriptors`, and for no data; bad_file_descriptor;
  /// too_many_references (ETOOMANYREFS) if too many are on the way; those of send(). Cancelled or
  /// failed after a part: transfer_error; the descriptors have gone with the part. Otherwise nothing
  /// has gone.
  detail::descriptor_send_operation send_with_descriptors(const_buffer data,
                                                std::span<const int> descriptors) {
    return {object_, data, descriptors};
  }

  /// Waits for bytes or a message, as receive() does, and takes the descriptors that were sent with
  /// them, `most` of them at the most; what comes above that is closed and counted. All of one
  /// message's come together; on a stream, those of one send come with its first byte, which later
  /// bytes may follow and earlier ones precede.
  ///
  /// The end of the stream, and a message that did not fit, are reported, not thrown, and an empty
  /// message is given. An empty buffer gives nothing at once on a stream. Errors: the system's;
  /// not_enough_memory, before anything is taken. Cancelled: nothing was taken. Takes the place of a
  /// receiver.
  detail::descriptor_receive_operation receive_with_descriptors(mutable_buffer into,
                                                                std::size_t most) {
    return {object_, into, most};
  }

  /// The descriptor, for options this class does not have, or -1. It stays the socket's own.
  ///
  /// On a seqpacket socket SO_TIMESTAMPNS, which tells the library an empty message from the end, is
  /// taken back, so that others may receive from the descriptor too; each receive then takes one more
  /// system call. An adopted socket never has it.
  [[nodiscard]] int native_handle() const noexcept;

 protected:
  local_socket() noexcept = default;
  explicit local_socket(detail::descriptor* of) noexcept;
  local_socket(local_socket&& other) noexcept : byte_stream(std::exchange(other.object_, nullptr)) {}
  local_socket& operator=(local_socket&& other) noexcept;
  static detail::descriptor* adopt(int descriptor, detail::fd_kind kind);
};

/// A local stream of bytes.
class COSOCK_API local_stream_socket final : public local_socket {
 public:
  local_stream_socket() noexcept = default;
  local_stream_socket(local_stream_socket&&) noexcept = default;
  local_stream_socket& operator=(local_stream_socket&&) noexcept = default;
  ~local_stream_socket() override;

  /// Takes over a connected descriptor: makes it non-blocking and close-on-exec, and closes it in
  /// the end, also if this throws. It belongs to the running loop. Throws wrong_protocol_type for
  /// what is no local socket of this type.
  [[nodiscard]] static local_stream_socket adopt(int descriptor);

 private:
  friend struct detail::local_access;
  using local_socket::local_socket;
  static constexpr auto kind = detail::fd_kind::socket;
};

/// A local connection that keeps messages apart: each send is one message, never partial, and each
/// receive gives one. As a byte_stream: a message that does not fit into the buffer of a receive is
/// `error::message_truncated`, thrown as a transfer_error with the number of bytes in the buffer; the
/// rest is lost. One that is too large to be sent is message_size; it has at most 1024 buffers. An
/// empty send does nothing, and empty messages of the peer are skipped.
class COSOCK_API local_seqpacket_socket final : public local_socket {
 public:
  local_seqpacket_socket() noexcept = default;
  local_seqpacket_socket(local_seqpacket_socket&&) noexcept = default;
  local_seqpacket_socket& operator=(local_seqpacket_socket&&) noexcept = default;
  ~local_seqpacket_socket() override;

  /// As local_stream_socket::adopt.
  [[nodiscard]] static local_seqpacket_socket adopt(int descriptor);

  /// Waits for a message, empty ones included, and gives its size; one that does not fit is cut,
  /// and the result says so. So is the end of the stream. Errors: the system's. Cancelled: no message
  /// was taken. Takes the place of a receiver.
  detail::message_receive_operation receive_message(mutable_buffer into) { return {object_, into}; }
  /// Sends a message as send() does, also an empty one.
  detail::descriptor_send_operation send_message(const_buffer from) { return {object_, from, {}}; }

 private:
  friend struct detail::local_access;
  using local_socket::local_socket;
  static constexpr auto kind = detail::fd_kind::messages;
};

/// Connects to a local socket; gives a `Socket`: local_stream_socket, or local_seqpacket_socket.
/// While the listener's backlog is full it tries again, after 1 ms at first and 100 ms at last; for a
/// limit, see with_timeout. Throws system_error with the endpoint in what(): connection_refused where
/// nobody listens, no_such_file_or_directory, permission_denied, wrong_protocol_type for a socket of
/// another type, and so on. Cancelled: the connection is closed, whatever it had come to.
template <class Socket = local_stream_socket>
detail::local_connect_operation<Socket> connect(const local_endpoint& to) {
  return detail::local_connect_operation<Socket>(to);
}

/// Makes two sockets of this type that are connected to each other, on the running loop. Throws
/// system_error, with the system's code.
template <class Socket = local_stream_socket>
[[nodiscard]] std::pair<Socket, Socket> local_pair() {
  return detail::local_access::make_pair<Socket>();
}

/// How a local acceptor is opened. The defaults are what a server wants.
struct local_acceptor_options {
  int backlog = 4096;         ///< connections that may wait to be accepted; the system may cut it;
                              ///< negative: invalid_argument
  int mode = 0600;            ///< of the file, exactly: who may write to it may connect; other than
                              ///< 0 to 07777: invalid_argument
  bool replace_stale = true;  ///< replace the file of a socket that is no more
};

/// Listens on a local socket; closed when destroyed. Belongs to one loop. Its file is removed when it
/// closes, or when the loop ends, unless something else has taken its place; a relative path is that
/// of the directory in which the process is then. A child that was forked never removes a file that
/// its parent made, so a parent that leaves its work to a child leaves the file too; the next
/// acceptor replaces it.
class COSOCK_API local_listener {
 public:
  /// Gives up the descriptor, listening and non-blocking, and its file, to the caller. A pending
  /// accept ends with `error::closed`; the acceptor is closed for this library. Gives -1 if it was
  /// closed before.
  [[nodiscard]] int release() noexcept;

  /// Stops listening, and removes its file. A pending accept ends with `error::closed`. Idempotent.
  void close() noexcept;
  /// Whether it listens: not closed, not moved from, nor made by default.
  [[nodiscard]] bool is_open() const noexcept { return native_handle() >= 0; }
  /// Where it listens, with the abstract name that the system has picked.
  [[nodiscard]] cosock::local_endpoint local_endpoint() const;
  /// How many connections may wait to be accepted from now on; the system may cut it (listen(2)).
  /// Throws system_error with the system's code, or `error::closed`.
  void set_backlog(int connections);
  /// The descriptor, or -1. It stays the acceptor's own.
  [[nodiscard]] int native_handle() const noexcept;

 protected:
  local_listener() noexcept = default;
  explicit local_listener(detail::descriptor* of) noexcept : of_(of) {}
  static detail::descriptor* adopt(int descriptor, detail::fd_kind kind);
  local_listener(loop* loop, detail::fd_kind kind, const cosock::local_endpoint& at,
                 const local_acceptor_options& options);
  local_listener(local_listener&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  local_listener& operator=(local_listener&& other) noexcept;
  ~local_listener();
  detail::descriptor* of_ = nullptr;
};

/// Listens for connections of one type of socket: local_acceptor, or local_seqpacket_acceptor.
template <class Socket>
class basic_local_acceptor final : public local_listener {
 public:
  /// Closed.
  basic_local_acceptor() noexcept = default;
  /// Binds and listens, on the running loop. Unnamed lets the system pick an abstract name; see
  /// local_endpoint().
  ///
  /// A file in the way is replaced if it is a socket of this user (for root, of any) to which nothing
  /// is bound any more. Throws system_error with the endpoint in what(): address_in_use where
  /// somebody listens, or where there is a file that is no socket, which is left alone;
  /// no_such_file_or_directory, permission_denied, and so on.
  explicit basic_local_acceptor(const cosock::local_endpoint& at,
                                const local_acceptor_options& options = {})
      : local_listener(nullptr, detail::local_access::kind<Socket>(), at, options) {}
  /// The same on a loop that need not run yet.
  basic_local_acceptor(loop& loop, const cosock::local_endpoint& at,
                       const local_acceptor_options& options = {})
      : local_listener(&loop, detail::local_access::kind<Socket>(), at, options) {}

  /// Takes over a descriptor that listens, one of the service manager's for instance: makes it
  /// non-blocking and close-on-exec, and closes it in the end, also if this throws; its file is not
  /// removed. It belongs to the running loop. Throws wrong_protocol_type for what is no local socket
  /// of this type, invalid_argument for one that does not listen,
  /// not_a_socket, bad_file_descriptor.
  [[nodiscard]] static basic_local_acceptor adopt(int descriptor) {
    return basic_local_acceptor(
        local_listener::adopt(descriptor, detail::local_access::kind<Socket>()));
  }

  /// Waits for a connection. Throws the system's errors, such as too_many_files_open, after which
  /// accepting can go on; `error::busy` for a second one at the same time; `error::closed`.
  /// Cancelled: no connection is lost, the next accept gets it.
  detail::local_accept_operation<Socket> accept() {
    return detail::local_accept_operation<Socket>(of_);
  }

 private:
  using local_listener::local_listener;
};
/// The acceptors for streams, and for sequenced packets.
using local_acceptor = basic_local_acceptor<local_stream_socket>;
using local_seqpacket_acceptor = basic_local_acceptor<local_seqpacket_socket>;

}  // namespace cosock
