// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/stream_operation.hpp>
#include <cosock/task.hpp>

#include <optional>

namespace cosock {

struct finish_options;

namespace detail {
struct stream_access;
}

/// The interface of all streams of bytes in two directions: TCP, local sockets, TLS, pipes and
/// others. A stream belongs to the loop on which it was made, and only tasks of that
/// loop may use it. One task may receive while another sends; a second one in the
/// same direction fails with `error::busy`, and the first is not affected.
///
/// Every function that returns an awaitable is a cancellation point: inside a cancelled scope it
/// ends with `error::cancelled`, even if it could complete at once. close() ends pending operations
/// with `error::closed`, and so do later ones. Buffers, and sequences of them, must outlive the
/// `co_await`. Errors are thrown as boost::system::system_error (error.hpp).
class COSOCK_API byte_stream {
 public:
  virtual ~byte_stream();

  /// Waits for bytes, and receives those that are available and fit, as recv(2) does. Returns their
  /// number: at least 1, or 0 at the orderly end of the stream, or at once for an empty buffer.
  /// Errors: the system's, such as connection_reset. Cancelled: no byte was taken.
  detail::stream_transfer_operation receive(mutable_buffer into) {
    return {kind::receive, object_, into.data(), into.size()};
  }
  /// Receives into several buffers, which are filled one after the other.
  template <detail::not_one_mutable_buffer Buffers>
  detail::stream_transfer_operation receive(Buffers&& into) {
    detail::check_receives_into<Buffers>();
    return {kind::receive, object_, &into,
            &detail::gather<mutable_buffer, std::remove_cvref_t<Buffers>>};
  }

  /// Receives until the buffer is full. Returns its size. Errors: `error::end_of_stream` if the
  /// stream ends before; those of receive(). After an error or a cancellation in the middle, throws
  /// transfer_error with that code and the number of bytes in the buffer; they are no longer in the
  /// stream.
  detail::stream_transfer_operation receive_exactly(mutable_buffer into) {
    return {kind::receive_exactly, object_, into.data(), into.size()};
  }
  template <detail::not_one_mutable_buffer Buffers>
  detail::stream_transfer_operation receive_exactly(Buffers&& into) {
    detail::check_receives_into<Buffers>();
    return {kind::receive_exactly, object_, &into,
            &detail::gather<mutable_buffer, std::remove_cvref_t<Buffers>>};
  }

  /// Sends all bytes. Returns their number. Errors: the system's; if the peer is gone, broken_pipe
  /// or connection_reset (there is no SIGPIPE). After an error or a cancellation in the middle,
  /// throws transfer_error with that code and the number of bytes that were sent; the peer may read
  /// them.
  detail::stream_transfer_operation send(const_buffer from COSOCK_LIFETIMEBOUND) {
    return {kind::send, object_, from.data(), from.size()};
  }
  /// Sends several buffers one after the other, with as few system calls as possible.
  template <detail::not_one_const_buffer Buffers>
  detail::stream_transfer_operation send(const Buffers& from) {
    detail::check_sends_from<Buffers>();
    return {kind::send, object_, &from, &detail::gather<const_buffer, Buffers>};
  }

  /// Waits for room, and sends the bytes that fit, as send(2) does. Returns their number: at least
  /// 1, unless there are none. Errors as for send(). Cancelled: nothing was sent, except by a
  /// descriptor_stream.
  detail::stream_transfer_operation send_some(const_buffer from COSOCK_LIFETIMEBOUND) {
    return {kind::send_some, object_, from.data(), from.size()};
  }
  template <detail::not_one_const_buffer Buffers>
  detail::stream_transfer_operation send_some(const Buffers& from) {
    detail::check_sends_from<Buffers>();
    return {kind::send_some, object_, &from, &detail::gather<const_buffer, Buffers>};
  }

  /// Waits until receive() would complete at once: bytes, the end of the stream, or an error. May wake
  /// early. Counts as a receive: a second one fails with `error::busy`. Cancelled: no effect.
  detail::stream_ready_operation wait_readable() { return {object_, detail::reading}; }
  /// Waits until send_some() would complete at once. May wake early. Counts as a send.
  detail::stream_ready_operation wait_writable() { return {object_, detail::writing}; }

  /// Receives without waiting. Returns the number of bytes, 0 at the end of the stream or for an empty
  /// buffer; empty if receive() would wait. Throws the errors of receive(); `error::busy` while a
  /// receive is pending; `error::closed`. No cancellation point.
  [[nodiscard]] std::optional<std::size_t> try_receive(mutable_buffer into) {
    return now(detail::transfer_now(kind::receive, object_, into.data(), into.size()));
  }
  /// Sends the bytes that fit without waiting. Returns their number; empty if send_some() would wait.
  /// Throws the errors of send_some(); `error::busy` while a send is pending; `error::closed`. No
  /// cancellation point.
  [[nodiscard]] std::optional<std::size_t> try_send_some(const_buffer from) {
    return now(detail::transfer_now(kind::send_some, object_, from.data(), from.size()));
  }

  /// Waits until the peer has ended its direction, or the connection is lost, also while received data
  /// waits to be read: `co_await when_any(work(), client.wait_peer_closed())`. A peer that only ended
  /// its sending direction may still read. Counts as a receive: a second one fails with `error::busy`.
  /// Errors: operation_not_supported for a stream that cannot tell, such as a regular file, an
  /// asio_stream or a custom_stream. Cancelled: no effect.
  detail::stream_peer_closed_operation wait_peer_closed() {
    return detail::stream_peer_closed_operation(object_);
  }

  /// Ends the sending direction: the peer receives the data that was sent, then the end of the
  /// stream. Receiving goes on; later sends fail. Does not wait. Idempotent. Errors: `error::busy`
  /// while a send is pending; `error::closed`; operation_not_supported on a stream without half
  /// close (descriptor_stream).
  virtual void shutdown_send() = 0;

  /// Ends the connection in order, and closes the stream. Sends the data that the stream still
  /// buffers (an asio_stream has a buffer), and the end, as shutdown_send() does. Then, unless
  /// receive() has already returned 0, it discards input until the end of the stream, because a
  /// connection that is closed with unread input is reset (RFC 1122, section 4.2.2.13), and the
  /// peer may lose data that it has not read. If the end was received before, finish() needs no
  /// more system calls than close(). By default it waits for at most 2 s, and discards at most 256
  /// KiB.
  ///
  /// Returns true if the end of the stream was received; false if a limit passed, or if the stream
  /// was closed without waiting for it (see below). Errors: `error::timed_out` if the limit passes
  /// before all data is sent; those of send(), shutdown_send() and receive(). The stream is closed
  /// then. `error::busy` while an operation is pending, and the stream stays open; `error::closed`;
  /// both come before a cancellation. A tls_stream returns false if the peer has gone, instead of
  /// the errors of the operations. Cancelled: closed at once, as by close(). The stream must outlive
  /// the `co_await`.
  ///
  /// A stream without half close (descriptor_stream) is closed when its data is sent. A connection
  /// that close() would reset (tcp_socket::set_linger() of zero) is closed at once.
  task<bool> finish();
  /// Like finish(), with other limits, or another time limit. Needs <cosock/finish.hpp>.
  task<bool> finish(finish_options how);
  template <class Limit>
    requires requires { typename Limit::period; }
  task<bool> finish(Limit timeout) {
    return finish_within(*this, timeout);
  }

  /// Closes both directions: pending operations end with `error::closed`. The system still delivers
  /// data that was sent, unless input is unread: see finish(). Idempotent.
  virtual void close() noexcept = 0;
  /// False if it was closed, moved from, or default constructed.
  [[nodiscard]] bool is_open() const noexcept { return object_ && object_->loop; }

 protected:
  /// For the library: the object that the operations work on, which this does not own; null: closed.
  /// A program derives its streams from custom_stream.
  explicit byte_stream(detail::io_object* object = nullptr) noexcept : object_(object) {}
  byte_stream(const byte_stream&) = default;
  byte_stream& operator=(const byte_stream&) = default;
  detail::io_object* object_;

 private:
  friend struct detail::stream_access;
  static std::optional<std::size_t> now(std::ptrdiff_t moved) noexcept {
    if (moved < 0) return std::nullopt;
    return static_cast<std::size_t>(moved);
  }
  using kind = detail::stream_operation::kind;
};

/// Access to the object of a stream, for operations of the library.
struct detail::stream_access {
  static io_object* const& object_of(const byte_stream& s) noexcept { return s.object_; }
};

}  // namespace cosock
