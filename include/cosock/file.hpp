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
  write,   ///< created if it does not exist, otherwise truncated
  create,  ///< for writing; must not exist
  update,  ///< for reading and writing; must exist
  append,  ///< for writing; created if it does not exist; all writes go to its end
};

/// Options of open_file().
struct file_options {
  /// The permission bits of a file that is created, without those of umask(2). At most 07777.
  unsigned permissions = 0666;
};

/// A regular file as a byte stream. Its reads and writes are calls on threads of the library
/// (threads.hpp), so a slow disk never blocks the loop. Made by open_file(). Belongs to one loop;
/// may be moved while operations are pending.
///
/// The stream has one position, as a descriptor has: receive() and send() begin there, and move it by
/// the bytes that they transfer. With file_mode::append, sends go to the end of the file, and the
/// position stays. Receiving returns 0 at the end of the file, and bytes again if the file has grown.
/// The stream reads up to 256 KiB ahead, so receive() may return bytes that another process has
/// overwritten since.
///
/// send() completes when its bytes are in a buffer of the stream, which a thread writes to the file; it
/// waits while the buffer holds 256 KiB. A receive waits until the sent bytes are written. If a write
/// fails, the file is incomplete, and later sends, size(), resize(), sync() and finish() throw the
/// error, such as no_space_on_device. A cancelled operation has transferred only the bytes that it
/// reports (transfer_error). close() does not wait: a thread writes the rest of the sent bytes, and
/// errors are not reported; use finish() or sync() before. A process that ends does not wait for it.
///
/// No half close: shutdown_send() fails with operation_not_supported. Sending fails with
/// bad_file_descriptor with file_mode::read, and receiving with file_mode::write, create and append.
class COSOCK_API file_stream final : public custom_stream {
 public:
  file_stream(file_stream&&) noexcept;
  file_stream& operator=(file_stream&&) noexcept;
  ~file_stream() override;

  /// The position, in bytes from the beginning of the file.
  [[nodiscard]] std::uint64_t position() const noexcept;
  /// Sets the position, which may be beyond the end of the file, and discards the bytes that were read
  /// ahead. Errors: `error::busy` while an operation is pending; `error::closed`; invalid_argument for
  /// more than 2^63 - 1.
  void seek(std::uint64_t position);

  // Each of the following functions first waits until the sent bytes are written. Errors: `error::busy`
  // while a send is pending; `error::closed`; the error of a write that failed; those of the system
  // call. Cancelled before a thread has taken the call: no effect; later: waits for the call, and ends
  // with its result. The stream must outlive the `co_await`.

  /// Returns the size of the file in bytes (fstat(2)).
  [[nodiscard]] task<std::uint64_t> size();
  /// Truncates the file, or extends it with zeros, to `size` bytes (ftruncate(2)), and discards the
  /// bytes that were read ahead. The position stays.
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

/// Opens a regular file (open(2)), on a thread. Errors, with the path in what(): those of the system,
/// such as no_such_file_or_directory; file_exists for file_mode::create; operation_not_supported if it
/// is not a regular file (use descriptor_stream for pipes and terminals); invalid_argument for a path
/// with a NUL, or permissions above 07777. Cancelled: throws at once; the thread may still create or
/// truncate the file.
COSOCK_API task<file_stream> open_file(std::string path, file_mode mode = file_mode::read,
                                       file_options options = {});

/// Options of read_file().
struct read_file_options {
  std::size_t max_bytes = std::size_t{64} << 20;  ///< a larger file is an error
};

/// Reads a whole file, or a pipe to its end, on a thread. Returns its bytes. Errors, with the path
/// in what(): those of the system; file_too_large if there are more than `max_bytes`;
/// invalid_argument for a path with a NUL. Cancelled: throws at once; the thread stops after its current
/// read(2), and the bytes are discarded.
COSOCK_API task<std::string> read_file(std::string path, read_file_options options = {});

/// Options of write_file().
struct write_file_options {
  /// The permission bits of the new file, without those of umask(2). Not set: the permissions of the
  /// file that it replaces, or else 0666 without those of umask(2).
  std::optional<unsigned> permissions = std::nullopt;
  /// Whether to wait until the data and the name are on the disk (fsync(2)): then the file has either
  /// the old bytes or the new ones even after a power failure.
  bool sync = true;
};

/// Replaces a whole file, on a thread: writes the bytes to a new file in the same folder, and renames
/// it (rename(2)). Readers see the old bytes or the new ones, never a part. A symbolic link is
/// replaced, not followed. Errors, with the path in what(): those of the system, after which the old
/// file is unchanged, unless only the fsync(2) of the folder failed; invalid_argument for a path with
/// a NUL, or permissions above 07777. Cancelled before a thread has taken the call: no effect; later:
/// waits for the call, and ends with its result. `data` must outlive the `co_await`.
COSOCK_API task<> write_file(std::string path, const_buffer data, write_file_options options = {});

}  // namespace cosock
