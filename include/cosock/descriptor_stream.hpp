// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/stream.hpp>

namespace cosock {

/// A byte_stream over a descriptor that is no socket: a pipe, a terminal, a regular file. Belongs to
/// the loop that runs where it is made. A regular file never waits: it blocks the loop for as long
/// as the disk takes.
///
/// The descriptor may stay in blocking mode, since standard input and output are shared with other
/// processes: each call asks first, and writes no more than fits for sure. A pipe nobody reads is an
/// error (broken_pipe), never a signal.
class COSOCK_API descriptor_stream final : public byte_stream {
 public:
  /// Closed.
  descriptor_stream() noexcept = default;
  descriptor_stream(descriptor_stream&& other) noexcept;
  descriptor_stream& operator=(descriptor_stream&& other) noexcept;
  ~descriptor_stream() override;

  /// Takes over a descriptor, makes it close-on-exec, and closes it in the end, also if this throws.
  [[nodiscard]] static descriptor_stream adopt(int descriptor);
  /// Works on a duplicate of the descriptor (dup(2)): the caller keeps and closes its own.
  [[nodiscard]] static descriptor_stream duplicate(int descriptor);

  /// Not possible for half of one descriptor: throws operation_not_supported. Use close().
  void shutdown_send() override;
  void close() noexcept override;
  /// The descriptor, or -1. It stays the stream's own.
  [[nodiscard]] int native_handle() const noexcept;

 private:
  explicit descriptor_stream(detail::source* of) noexcept : byte_stream(of) {}
};

/// The standard streams of the process, as duplicates of descriptors 0 and 1. Throws
/// bad_file_descriptor for a stream that is closed. A process may be started without some of them: no
/// descriptor that the library opens or receives has the number of a standard stream.
[[nodiscard]] COSOCK_API descriptor_stream standard_input();
[[nodiscard]] COSOCK_API descriptor_stream standard_output();

}  // namespace cosock
