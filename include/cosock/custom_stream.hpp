// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/error.hpp>
#include <cosock/stream.hpp>

#include <memory>
#include <span>

namespace cosock {

class loop;

namespace detail {
class custom_object;
}

/// Base class for byte streams that a program implements: data in memory, a simulated network, a
/// protocol over another transport. The derived class implements do_receive(), do_send() and
/// do_shutdown_send(), which never wait; this class makes the operations of byte_stream from them,
/// with cancellation, deadlines, `error::busy` and everything else that byte_stream promises.
///
/// Belongs to one loop, and only its thread may call the functions. May be moved while operations are
/// pending. The virtual functions must not destroy or move the stream. They may call notify_readable() and
/// notify_writable(); do_receive(), do_send() and do_shutdown_send() may also close the stream.
class COSOCK_API custom_stream : public byte_stream {
 public:
  /// Pending operations end with `error::closed`. Does not call on_close(): the derived class is
  /// destroyed already.
  ~custom_stream() override;

  /// Ends the sending direction, as byte_stream::shutdown_send(). Calls do_shutdown_send() the first
  /// time, and throws its error. Later sends fail with broken_pipe.
  void shutdown_send() final;
  /// Closes the stream, as byte_stream::close(), and calls on_close() the first time.
  void close() noexcept final;

 protected:
  /// An open stream on the running loop. Throws std::logic_error if no loop runs on this thread.
  custom_stream();
  /// An open stream on this loop, which need not be running.
  explicit custom_stream(loop&);
  custom_stream(custom_stream&& other) noexcept;
  /// Closes this stream first.
  custom_stream& operator=(custom_stream&& other) noexcept;

  /// Receives without waiting, into the buffers one after the other; they are not all empty. Returns the
  /// number of bytes, or 0 at the end of the stream, which later calls must report again. On an error,
  /// sets `error` and returns 0. The error errc::operation_would_block means that no bytes have arrived:
  /// the derived class must call notify_readable() when bytes have arrived, or when the stream has ended
  /// or failed. A number larger than the buffers fails the operation with io_error.
  virtual std::size_t do_receive(std::span<const mutable_buffer> into,
                                 boost::system::error_code& error) noexcept = 0;
  /// Sends without waiting, from the buffers one after the other; they are not all empty. Returns the
  /// number of bytes, at least 1. On an error, sets `error` and returns 0. The error
  /// errc::operation_would_block means that there is no room: the derived class must call
  /// notify_writable() when there is room, or when the stream has failed. A wrong number fails the
  /// operation with io_error.
  virtual std::size_t do_send(std::span<const const_buffer> from,
                              boost::system::error_code& error) noexcept = 0;
  /// Sends the end of the stream to the peer. Sets `error` if that fails: operation_not_supported for a
  /// stream without half close.
  virtual void do_shutdown_send(boost::system::error_code& error) noexcept = 0;
  /// For wait_readable() and wait_writable(): returns whether do_receive(), or do_send(), would do more
  /// than fail with operation_would_block. Called only after a call without that error, or after a
  /// notification. After false, the derived class must notify. The default returns true: then the waits
  /// may end early.
  virtual bool can_receive() noexcept;
  virtual bool can_send() noexcept;
  /// For a stream with a buffer of its own: returns whether all sent bytes have left the buffer, for
  /// which finish() waits. After false, the derived class must call notify_writable(). If the bytes
  /// cannot be sent any more, sets `error` and returns true.
  virtual bool do_flush(boost::system::error_code& error) noexcept;
  /// Called when the stream is closed, by close() or because its loop is destroyed.
  virtual void on_close() noexcept;

  /// Reports that do_receive(), or do_send(), can be called again. May be called at any time, also when
  /// no operation waits. Operations continue later, not inside the call.
  void notify_readable() noexcept;
  void notify_writable() noexcept;

 private:
  friend class detail::custom_object;
  std::unique_ptr<detail::custom_object> custom_;
};

}  // namespace cosock
