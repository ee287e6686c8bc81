// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/buffer.hpp>
#include <cosock/custom_stream.hpp>
#include <cosock/task.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace cosock {

namespace detail {
class file_state;
}

/// How open_file() opens a file.
enum class file_mode : unsigned char {
  read,    ///< must exist
  write,   ///< created, or emptied
  create,  ///< created; must not exist
  update,  ///< read and write; must exist
  append,  ///< created if it does not exist; all writes go to its end
};

/// Options of open_file().
struct file_options {
  /// The permission bits of a file that is created, less those of umask(2).
  unsigned permissions = 0666;
};

/// A regular file as a byte stream. Its reads and writes are calls on threads of the library
/// (threads.hpp), so a slow disk never blocks the loop. Made by open_file(). Belongs to one loop;
/// may be moved while operations are pending.
///
/// There is one position, as in a descriptor: receive() and send() begin there, and move it by the
/// bytes that they transfer. Receiving returns 0 at the end of the file, and bytes again if the
/// file has grown. It reads up to 256 KiB ahead, so it may miss what others write there in the
/// meantime.
///
/// send() copies up to 256 KiB into a buffer of the stream, and completes; a thread writes them,
/// and the next send waits for it. If the write fails, later sends, sync(), and finish() throw its
/// error, such as no_space_on_device: the file is incomplete then. A cancelled operation has no
/// effect on the file beyond what it reports. close() does not wait, and a thread still writes what
/// was sent, without a report of errors; use finish() or sync() to learn of them. The end of the
/// process does not wait for that.
///
/// No half close: shutdown_send() fails with operation_not_supported. Sending to a file that was
/// opened to be read fails with bad_file_descriptor, and so does receiving from one that was opened
/// to be written.
class COSOCK_API file_stream final : public custom_stream {
 public:
  file_stream(file_stream&&) noexcept;
  file_stream& operator=(file_stream&&) noexcept;
  ~file_stream() override;

  /// The position, in bytes from the beginning of the file.
  [[nodiscard]] std::uint64_t position() const noexcept;
  /// Moves the position, also beyond the end, and forgets what was read ahead. Sends of a file that
  /// is opened to append go to its end nevertheless. Errors: `error::busy` while an operation is
  /// pending; `error::closed`; invalid_argument for more than 2^63 - 1.
  void seek(std::uint64_t position);

  // The following wait until what was sent is written, and count as a send: `error::busy`. Errors:
  // `error::closed`; that of a write that failed; those of the call. Cancelled before a thread has
  // taken the call: no effect; later, the call is waited for, and its result counts. The stream must
  // outlive the `co_await`.

  /// Returns the size of the file in bytes (fstat(2)).
  [[nodiscard]] task<std::uint64_t> size();
  /// Cuts the file, or extends it with zeros (ftruncate(2)), and forgets what was read ahead. The
  /// position stays.
  [[nodiscard]] task<> resize(std::uint64_t size);
  /// Waits until the data is on the disk (fdatasync(2)).
  [[nodiscard]] task<> sync();

 private:
  friend class detail::file_state;
  friend task<file_stream> open_file(std::string path, file_mode mode, file_options options);
  explicit file_stream(std::unique_ptr<detail::file_state> state) noexcept;

  std::size_t do_receive(std::span<const mutable_buffer> into,
                         boost::system::error_code& error) noexcept override;
  std::size_t do_send(std::span<const const_buffer> from,
                      boost::system::error_code& error) noexcept override;
  void do_shutdown_send(boost::system::error_code& error) noexcept override;
  bool can_receive() noexcept override;
  bool can_send() noexcept override;
  bool do_flush(boost::system::error_code& error) noexcept override;
  void on_close() noexcept override;

  std::unique_ptr<detail::file_state> state_;
};

/// Opens a regular file (open(2)), on a thread. Errors, with the path in what(): those of the
/// system, such as no_such_file_or_directory; file_exists for file_mode::create;
/// operation_not_supported for what is not a regular file: see descriptor_stream for pipes and
/// terminals; invalid_argument for a path with a NUL. Cancelled: ends at once; the call on the
/// thread goes on, and may create the file or empty it.
COSOCK_API task<file_stream> open_file(std::string path, file_mode mode = file_mode::read,
                                       file_options options = {});

/// Options of read_file().
struct read_file_options {
  std::size_t max_bytes = std::size_t{64} << 20;  ///< more is an error
};

/// Reads a whole file, or a pipe to its end, on a thread. Returns its bytes. Errors, with the path
/// in what(): those of the system; file_too_large if there are more than `max_bytes`;
/// invalid_argument for a path with a NUL. Cancelled: ends at once, and reads no more than what the
/// thread had begun to read.
COSOCK_API task<std::string> read_file(std::string path, read_file_options options = {});

/// Options of write_file().
struct write_file_options {
  /// Of the new file, less those of umask(2). Not set: those of the file that it replaces, or else
  /// 0666 less umask(2).
  std::optional<unsigned> permissions = std::nullopt;
  /// Waits until the data, and the name, are on the disk: after a failure of the machine the file
  /// has either the old bytes or the new ones.
  bool sync = true;
};

/// Writes a whole file, on a thread, or leaves it as it was: the bytes go to a new file in the same
/// folder, which then takes the name (rename(2)). Readers see the old bytes or the new ones, never
/// a part. A symbolic link is replaced, not followed. Errors, with the path in what(): those of the
/// system; the new file is removed then; invalid_argument for a path with a NUL, or permissions
/// above 07777. `data` must outlive the `co_await`. Cancelled before a thread has taken the call:
/// no effect; later, the call is waited for, and its result counts.
COSOCK_API task<> write_file(std::string path, const_buffer data, write_file_options options = {});

}  // namespace cosock
