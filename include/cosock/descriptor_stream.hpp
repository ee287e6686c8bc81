// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/descriptor_handle.hpp>
#include <cosock/stream.hpp>

namespace cosock {

/// A byte_stream over an existing descriptor: standard input and output, a pipe, a terminal, a serial
/// line, a device, a socket, a regular file. Belongs to the loop that runs on the thread that makes
/// it.
///
/// Other processes may share the open file description, so its flags are not changed: the descriptor
/// may be in blocking mode, and O_NONBLOCK is never set on it. For each kind of descriptor:
///
/// - Pipe, FIFO: never blocks the loop. It is opened again by its name in /proc, in non-blocking
///   mode. If that is not possible (no /proc, the pipe of another user), preadv2 and pwritev2 with
///   RWF_NOWAIT are used, or a thread if the system does not support them. Writing without a reader
///   fails with broken_pipe; there is no SIGPIPE.
/// - Terminal, serial line: never blocks the loop. It is opened again (O_NOCTTY), or a thread is
///   used. After the other side has hung up, receive returns 0, and send fails with broken_pipe.
///   Outside of canonical mode (termios(3)), receive waits for at least 1 byte even if VMIN is 0.
/// - Master of a terminal (posix_openpt, openpty): never blocks the loop. It cannot be opened
///   again. Non-blocking mode is recommended, and faster. In blocking mode a thread reads, and writes
///   in small pieces. receive returns 0 while all slaves are closed, and continues
///   when one is opened again. When the master is closed, the system discards the data that the slave
///   has not read.
/// - Socket: never blocks the loop (MSG_DONTWAIT). shutdown_send() works.
/// - eventfd, timerfd and other descriptors that support poll(2): never block the loop (RWF_NOWAIT;
///   if the system does not support that, O_NONBLOCK if it is already set, or else a thread).
/// - Regular file, block device, /dev/null and other devices without support for poll(2): always
///   ready. They block the loop for as long as the disk or the device takes; time limits have no
///   effect.
///
/// The threads are those of the bounded pool that resolves names: 64 such calls run at a time,
/// others queue. The call of a thread cannot be interrupted, but an operation that is cancelled, or
/// whose limit passes, ends at once. Bytes that the thread has read are kept for the next receive,
/// so none is lost unless the stream is closed. Bytes that the thread has begun to write, at most
/// 4096, count as sent: the thread continues to write them until the terminal hangs up or the pipe
/// has no reader. Closing a stream over a terminal master stops the write. So a cancelled send_some
/// can throw transfer_error here.
///
/// A background job that receives from its controlling terminal, or sends to it in the mode TOSTOP,
/// is stopped by SIGTTIN or SIGTTOU like any other program, until it is in the foreground. If the
/// program blocks, ignores or handles SIGTTIN, receive fails with io_error instead; for SIGTTOU, send
/// succeeds. A handler is not called.
class COSOCK_API descriptor_stream final : public descriptor_handle<byte_stream> {
 public:
  descriptor_stream() noexcept = default;
  descriptor_stream(descriptor_stream&&) noexcept = default;
  descriptor_stream& operator=(descriptor_stream&&) noexcept = default;
  ~descriptor_stream() override;

  /// Takes over a descriptor: makes it close-on-exec, and owns it, also if this throws. A pipe or
  /// terminal that is opened again keeps the number. Errors: bad_file_descriptor; those of
  /// epoll_ctl(2).
  [[nodiscard]] static descriptor_stream adopt(int descriptor);
  /// Uses a duplicate of the descriptor (dup(2)); the caller keeps and closes the original. The number
  /// of the duplicate is 3 or more, even if a standard stream is closed. Errors as for adopt().
  [[nodiscard]] static descriptor_stream duplicate(int descriptor);
  /// Returns a stream over a duplicate of descriptor 0 or 1. Throws bad_file_descriptor if the process
  /// was started without it. No descriptor that the library opens or receives has the number of a
  /// standard stream.
  [[nodiscard]] static descriptor_stream standard_input();
  [[nodiscard]] static descriptor_stream standard_output();

  /// On a socket, as byte_stream::shutdown_send(). Any other descriptor has no half close: throws
  /// operation_not_supported; use close().
  void shutdown_send() override;

 private:
  using descriptor_handle::descriptor_handle;
};

}  // namespace cosock
