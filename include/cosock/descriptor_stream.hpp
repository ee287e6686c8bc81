// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/stream.hpp>

namespace cosock {

/// A byte_stream over a descriptor that was made elsewhere: standard input and output, a pipe, a
/// terminal, a serial line, a device, a socket, a regular file. Belongs to the loop that runs where
/// it is made.
///
/// Other processes may share the open file description, so its flags stay as they are: the
/// descriptor may be in blocking mode, and O_NONBLOCK is never set on it. What is promised for each
/// kind:
///
/// - Pipe, FIFO: never blocks the loop. It is opened again by its name in /proc, in non-blocking
///   mode. Where that is not possible (no /proc, another user's), preadv2 and pwritev2 with
///   RWF_NOWAIT; where the system does not support that, a thread. Writing without a reader is
///   broken_pipe, never SIGPIPE.
/// - Terminal, serial line: never blocks the loop. It is opened again (O_NOCTTY), or a thread is
///   used. When the other side has hung up, receive returns 0 and send fails with broken_pipe.
///   Without canonical mode (termios(3)) and with VMIN 0, receive waits for at least 1 byte, as
///   always.
/// - Master of a terminal (posix_openpt, openpty): never blocks the loop. It cannot be opened
///   again. A thread reads, and writes in small pieces, unless the descriptor was in non-blocking
///   mode when it came here: faster, and recommended. receive returns 0 while all slaves are
///   closed, and goes on when one is opened again. When it is closed, the system discards what the
///   slave has not read.
/// - Socket: never blocks the loop (MSG_DONTWAIT). shutdown_send() works.
/// - eventfd, timerfd and other descriptors that poll(2) knows: never block the loop. RWF_NOWAIT;
///   where the system does not support that, non-blocking mode if they have it, else a thread.
/// - Regular file, block device, /dev/null and other devices that poll(2) does not know: always
///   ready. They block the loop for as long as the disk, or the device, takes; limits have no
///   effect.
///
/// Threads are those of the bounded pool that look-ups use: 64 such calls run at a time, others
/// queue. A call that is made by a thread cannot be interrupted. An operation that is cancelled,
/// or whose limit passes, ends at once nevertheless: what the thread has read is kept for the next
/// receive, so no byte is lost unless the stream is closed; what the thread has begun to write,
/// 4096 bytes at the most, counts as sent, and the thread goes on to write it (not to a master that
/// is closed), until the terminal hangs up or the pipe has no reader. So a cancelled send_some can
/// throw transfer_error here.
///
/// A job in the background that receives from its controlling terminal, or sends to it in the mode
/// TOSTOP, is stopped by SIGTTIN or SIGTTOU as any other program, until it is in the foreground. If
/// the program blocks, ignores or handles SIGTTIN, receive fails with io_error; if SIGTTOU, send
/// succeeds; a handler is not called.
class COSOCK_API descriptor_stream final : public byte_stream {
 public:
  /// Closed.
  descriptor_stream() noexcept = default;
  descriptor_stream(descriptor_stream&& other) noexcept;
  descriptor_stream& operator=(descriptor_stream&& other) noexcept;
  ~descriptor_stream() override;

  /// Takes over a descriptor, makes it close-on-exec, and closes it in the end, also if this
  /// throws. A pipe or terminal that was opened again keeps the number. Errors:
  /// bad_file_descriptor, and what epoll_ctl(2) fails with.
  [[nodiscard]] static descriptor_stream adopt(int descriptor);
  /// Works on a duplicate of the descriptor (dup(2)): the caller keeps and closes its own. The
  /// number of the duplicate is 3 or more, even if one of the standard streams is closed.
  [[nodiscard]] static descriptor_stream duplicate(int descriptor);

  /// On a socket, as byte_stream says. Not possible for half of another descriptor: throws
  /// operation_not_supported. Use close().
  void shutdown_send() override;
  void close() noexcept override;
  /// The descriptor, or -1. It stays the stream's own.
  [[nodiscard]] int native_handle() const noexcept;

 private:
  explicit descriptor_stream(detail::io_object* of) noexcept : byte_stream(of) {}
};

/// The standard streams of the process, as duplicates of descriptors 0 and 1. Throws
/// bad_file_descriptor for a stream that is closed. A process may be started without some of them: no
/// descriptor that the library opens or receives has the number of a standard stream.
[[nodiscard]] COSOCK_API descriptor_stream standard_input();
[[nodiscard]] COSOCK_API descriptor_stream standard_output();

}  // namespace cosock
