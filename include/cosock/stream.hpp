// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/stream_operation.hpp>
#include <cosock/task.hpp>

namespace cosock {

struct finish_options;

namespace detail {
struct stream_access;
}

/// A two-way stream of bytes: TCP, local, or any other kind, through one interface. It does not own
/// the loop, and belongs to the loop it was made on: only tasks of that loop may use it. One task
/// may receive while another sends; a second one in the same direction gets `error::busy`, and
/// nothing is mixed up.
///
/// Every function that returns an awaitable is a cancellation point, also where it could complete at
/// once: inside a cancelled scope it ends with `error::cancelled`. After close() each gives
/// `error::closed`; an operation that is pending then ends with it. Buffers, and sequences of them,
/// outlive the `co_await`. All errors are thrown as boost::system::system_error (error.hpp).
class COSOCK_API byte_stream {
 public:
  virtual ~byte_stream();

  /// Waits for bytes and receives what is there, as recv(2) does: at least 1 byte, or 0 at the
  /// orderly end of the stream. An empty buffer gives 0 at once. Errors: the system's, such as
  /// connection_reset. Cancelled: no byte was taken.
  detail::stream_transfer_operation receive(mutable_buffer into) {
    return {kind::receive, object_, into.data(), into.size()};
  }
  /// The same into several buffers, filled one after the other.
  template <detail::not_one_mutable_buffer Buffers>
  detail::stream_transfer_operation receive(Buffers&& into) {
    detail::check_receives_into<Buffers>();
    return {kind::receive, object_, &into,
            &detail::gather<mutable_buffer, std::remove_cvref_t<Buffers>>};
  }

  /// Receives until the buffer is full. The end of the stream before that is
  /// `error::end_of_stream`. Cancelled or failed after a part: throws transfer_error, which says how
  /// many bytes are in the buffer; those are gone from the stream.
  detail::stream_transfer_operation receive_exactly(mutable_buffer into) {
    return {kind::receive_exactly, object_, into.data(), into.size()};
  }
  template <detail::not_one_mutable_buffer Buffers>
  detail::stream_transfer_operation receive_exactly(Buffers&& into) {
    detail::check_receives_into<Buffers>();
    return {kind::receive_exactly, object_, &into,
            &detail::gather<mutable_buffer, std::remove_cvref_t<Buffers>>};
  }

  /// Sends all of it, and gives its size. That the peer has gone is an error (broken_pipe,
  /// connection_reset), never a signal. Cancelled or failed after a part: throws transfer_error,
  /// which says how many bytes have gone; the peer will read those.
  detail::stream_transfer_operation send(const_buffer from COSOCK_LIFETIMEBOUND) {
    return {kind::send, object_, from.data(), from.size()};
  }
  /// The same from several buffers, one after the other, with as few system calls as can be.
  template <detail::not_one_const_buffer Buffers>
  detail::stream_transfer_operation send(const Buffers& from) {
    detail::check_sends_from<Buffers>();
    return {kind::send, object_, &from, &detail::gather<const_buffer, Buffers>};
  }

  /// Waits for room and sends what fits, as send(2) does: at least 1 byte of what is not empty.
  /// Cancelled: nothing was sent.
  detail::stream_transfer_operation send_some(const_buffer from COSOCK_LIFETIMEBOUND) {
    return {kind::send_some, object_, from.data(), from.size()};
  }
  template <detail::not_one_const_buffer Buffers>
  detail::stream_transfer_operation send_some(const Buffers& from) {
    detail::check_sends_from<Buffers>();
    return {kind::send_some, object_, &from, &detail::gather<const_buffer, Buffers>};
  }

  /// Waits until receive would not have to wait: bytes, end of stream or error. May wake early.
  /// Takes the place of a receiver while it waits. Cancelled: nothing has happened.
  detail::stream_ready_operation wait_readable() { return {object_, detail::reading}; }
  /// Waits until send_some would not have to wait. May wake early. Takes the place of a sender.
  detail::stream_ready_operation wait_writable() { return {object_, detail::writing}; }

  /// Ends the sending direction: the peer reads what was sent, then the end of the stream; receiving
  /// goes on. Later sends fail. Does not wait. Idempotent. While a send is pending: `error::busy`.
  virtual void shutdown_send() = 0;

  /// Ends the connection in order, and closes the stream. Sends what the stream still holds (an
  /// asio_stream has a buffer of its own), and the end, as shutdown_send() does. Unless receive() has
  /// returned 0 before, it then discards what arrives until the end of the peer: a connection that is
  /// closed with unread input is reset (RFC 1122, section 4.2.2.13), which destroys what the peer has
  /// not read yet. Where the end was received, it costs no system call more than close(). By default
  /// it waits for 2 s at most, and discards up to 256 KiB.
  ///
  /// Returns whether the end of the peer was received; false where one of the limits ended the wait.
  /// Errors: `error::timed_out` if the limit passes before everything is sent; what send(),
  /// shutdown_send() and receive() throw; in these cases the stream is closed. `error::busy` while an
  /// operation is pending: the stream stays open. `error::closed`. Cancelled: closed at once; the rest
  /// is up to the system, as after close(). The stream outlives the `co_await`.
  ///
  /// A stream without half close (descriptor_stream) is closed when it is sent; a connection that
  /// close() would reset (tcp_socket::set_linger(0)), at once.
  task<bool> finish();
  /// The same with other limits, or another limit of time (finish.hpp).
  task<bool> finish(finish_options how);
  template <class Limit>
  requires requires { typename Limit::period; }
  task<bool> finish(Limit timeout) { return finish_within(*this, timeout); }

  /// Closes the stream both ways: pending operations end with `error::closed`. What was sent and is
  /// still in the system's buffer is delivered, unless input was not received yet: see finish().
  /// Idempotent.
  virtual void close() noexcept = 0;
  /// Whether it can be used: not closed, not moved from, nor made by default.
  [[nodiscard]] bool is_open() const noexcept { return object_ && object_->loop; }

 protected:
  /// For those who implement a stream: what its operations work on, or null when closed. Does not
  /// own it.
  explicit byte_stream(detail::io_object* object = nullptr) noexcept : object_(object) {}
  byte_stream(const byte_stream&) = default;
  byte_stream& operator=(const byte_stream&) = default;
  detail::io_object* object_;

 private:
  friend struct detail::stream_access;
  using kind = detail::stream_operation::kind;
};

/// For operations of the library that work on any stream.
struct detail::stream_access {
  static io_object* const& object_of(const byte_stream& s) noexcept { return s.object_; }
};

}  // namespace cosock
