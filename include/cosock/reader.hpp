// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/forwarding_object.hpp>
#include <cosock/frame.hpp>
#include <cosock/stream.hpp>
#include <cosock/unique_descriptor.hpp>

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace cosock {

class buffered_reader;

/// The limits of a buffered_reader.
struct buffered_reader_options {
  std::size_t capacity = 16 << 10;  ///< bytes of the largest block
  std::size_t max_line = 8 << 10;   ///< bytes of a line without its end, or before a delimiter;
                                    ///< SIZE_MAX: no limit
  bool unterminated_line = false;   ///< the bytes after the last LF of the stream are a line too
  std::size_t max_descriptors = 0;  ///< passed descriptors held at once; 0: they are closed
};

namespace detail {

class reader_descriptors;

/// Receives into the buffer of a reader until it holds the wanted item.
class COSOCK_API basic_reader_operation : public stream_operation {
 public:
  bool has_details() const noexcept { return filled_ != 0 || limit() != 0; }
  enum class want : unsigned char { line, skip, until, block, fill, frame };
  void describe_operation(wait_report& to) const override {
    to.operation("a read of a buffered_reader");
  }
  /// Of the bytes that can be received behind those of the buffer, the number that completes the item;
  /// all if they do not complete it; 0, with a failure, if the item can never be complete.
  std::size_t bytes_of_item(std::size_t available);

 protected:
  basic_reader_operation(buffered_reader& reader, want item) noexcept;
  basic_reader_operation(basic_reader_operation&& other) noexcept;
  ~basic_reader_operation() = default;

  step start_read(std::coroutine_handle<> awaiting, cancel_node& parent);
  [[noreturn]] void raise_failure() const;

  buffered_reader& reader_;
  want want_;
  bool end_ = false;            // the orderly end of the stream
  frame_format format_;         // of a frame
  std::string_view delimiter_;  // of read_until; must outlive the operation
  mutable_buffer into_;         // the caller's memory
  std::size_t needed_ = 0;      // bytes of a block
  std::size_t scanned_ = 0;     // bytes in which there is no delimiter
  std::string_view view_;       // the result, or
  std::size_t filled_ = 0;      // bytes in the caller's memory

 private:
  step attempt() override;
  step advance(io_object& from);
  step receive(io_object& from);
  step satisfied();
  step received(std::size_t bytes);
  bool prepare();
  /// If the failure is that something is too long: how many bytes it may have. Otherwise 0.
  std::size_t limit() const noexcept;
  bool is_direct() const noexcept;
  step found(std::size_t at, std::size_t size, std::size_t consumed) noexcept;
  step refused(failure why) noexcept;
  step ended() noexcept;
  step find_line() noexcept;
  step skip_line() noexcept;
  step find_delimiter() noexcept;
  step find_frame() noexcept;
};

/// Returns the item as a view.
class COSOCK_AWAITABLE reader_view_operation final : public awaiter_of<reader_view_operation>,
                                                     public basic_reader_operation {
 public:
  reader_view_operation(buffered_reader& reader, want item) noexcept
      : basic_reader_operation(reader, item) {}
  reader_view_operation(reader_view_operation&& other) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    return start_read(awaiting, parent);
  }
  std::optional<std::string_view> result() {
    if (failure_) raise_failure();
    if (end_) return std::nullopt;
    return view_;
  }
  failure fail() noexcept { return failure_; }

 private:
  friend class cosock::buffered_reader;
};

/// Fills memory of the caller, or skips; false at the end of the stream.
class COSOCK_AWAITABLE reader_fill_operation final : public awaiter_of<reader_fill_operation>,
                                                     public basic_reader_operation {
 public:
  reader_fill_operation(buffered_reader& reader, want item, mutable_buffer into) noexcept
      : basic_reader_operation(reader, item) {
    into_ = into;
  }
  reader_fill_operation(reader_fill_operation&& other) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    return start_read(awaiting, parent);
  }
  bool result() {
    if (failure_) raise_failure();
    return !end_;
  }
  failure fail() noexcept { return failure_; }
};

/// The object of a reader, for its operations as a byte_stream.
class COSOCK_API reader_object final : public forwarding_object {
 public:
  explicit reader_object(buffered_reader& reader) noexcept;
  step transfer(stream_operation&) override;
  step transfer_with_descriptors(stream_operation&, passed_descriptors&) override;
  bool is_ready(io_direction) noexcept override;
  using forwarding_object::end;

 private:
  io_object* below(io_direction) const noexcept override;
  step take(stream_operation&) noexcept;
  step take_buffered(stream_operation&) noexcept;
  buffered_reader& reader_;
};

}  // namespace detail

/// Reads lines, frames and blocks from a stream, through a buffer. Does not own the stream, and
/// belongs to its loop. While a reader is used, only the reader receives from the stream, because its
/// buffer may hold bytes that were received ahead. A reader is a byte_stream itself, so that these
/// bytes reach whatever continues with the connection: copy_both(), a protocol after an upgrade. Close
/// and finish the reader then, not the stream.
///
/// Buffered data is returned without suspending, copying or allocating. Each call is a cancellation
/// point. Errors: `error::cancelled`, `error::closed`, those of byte_stream::receive, and
/// `error::busy` while another task reads. A call that was cancelled or has failed consumes
/// nothing, unless its comment says otherwise: the bytes stay in the buffer, and the next call
/// continues with them.
///
/// Over a local socket, a reader with `max_descriptors` collects the descriptors that a peer passes
/// with its lines, frames and blocks: see take_descriptors().
///
/// A view points into the buffer, and is valid until the next call. Functions that return a view
/// return it in an optional, which is empty at the orderly end of the stream: `while (auto line =
/// co_await reader.read_line())`. If the stream ends inside of an item, they throw
/// `error::end_of_stream`, and buffered() returns the incomplete item.
class COSOCK_API buffered_reader final : public byte_stream {
 public:
  /// Allocates the buffer: room for a block of `capacity` bytes, and for a line of `max_line` or of
  /// 64 KiB, whichever is less. For a longer line or a larger frame it is doubled while the bytes
  /// arrive, up to `max_line` or the maximum of the format, and it is not reduced again. If there
  /// is no memory, the read fails with not_enough_memory and consumes nothing. Throws
  /// std::invalid_argument for a capacity of more than PTRDIFF_MAX; std::bad_alloc. The stream must
  /// outlive the reader.
  explicit buffered_reader(byte_stream& stream, const buffered_reader_options& options = {});
  buffered_reader(const buffered_reader&) = delete;
  buffered_reader& operator=(const buffered_reader&) = delete;
  /// Leaves the stream open. No read_line() and the like may be pending; operations as a byte_stream
  /// continue on the stream.
  ~buffered_reader() override;

  /// Reads a line. Returns it without its LF, and without a CR before that. Errors:
  /// `error::line_too_long` for more than `max_line` bytes, also in every later read_line(): nothing
  /// more is received until receive() takes the bytes, or skip_line() discards them.
  detail::reader_view_operation read_line() { return {*this, want::line}; }

  /// Discards everything up to and including the next LF, however long the line is. Returns false if
  /// the stream ended before. Cancelled or failed: the bytes that were received are discarded, and the
  /// next call continues with the rest of the line.
  detail::reader_fill_operation skip_line() { return {*this, want::skip, {}}; }

  /// Reads up to a delimiter of one or more bytes. Returns the bytes before it, and consumes the
  /// delimiter. Errors: `error::line_too_long` for more than `max_line` bytes, as in read_line().
  /// `delimiter` must outlive the `co_await`, and must not be empty (std::invalid_argument).
  detail::reader_view_operation read_until(std::string_view delimiter);

  /// Reads this number of bytes. Returns them. Errors: `error::frame_too_long` for more than the
  /// capacity of the reader.
  detail::reader_view_operation read_exactly(std::size_t bytes);

  /// Fills `into`. Returns false at the orderly end of the stream; then nothing was read. If `into`
  /// is larger than the capacity of the reader, a call that was cancelled or has failed may have
  /// consumed bytes: it throws transfer_error with the number of bytes in `into`.
  detail::reader_fill_operation read_exactly(mutable_buffer into) {
    return {*this, want::fill, into};
  }

  /// Reads a frame (frame.hpp). Returns its payload, which may be empty. Errors, as soon as the length
  /// is known: `error::frame_too_long` for more than the maximum of the format, or more than
  /// PTRDIFF_MAX bytes with the prefix; `error::malformed_frame` for a varint that is longer than
  /// necessary, or does not fit into 64 bits.
  detail::reader_view_operation read_frame(const frame_format& format = {});

  /// Takes the descriptors that the peer passed with bytes that were consumed, in the order in which
  /// they were sent. Takes at most `max_count` of them; the next call returns the others. Does not
  /// wait. Throws std::bad_alloc; nothing was taken then. Empty without `max_descriptors`, and over a
  /// stream that passes no descriptors.
  ///
  /// Called after each item, it returns the descriptors of this item: those of a send belong to the
  /// item in which the send began. If a peer sends several items at once, all descriptors belong to the
  /// first of these items; then take as many after each item as the item announces.
  /// Likewise the descriptors that a cancelled read has received belong to the first item that is read
  /// from its bytes.
  ///
  /// Bytes count as consumed if they are returned, skipped, or taken from the buffer by receive() or
  /// by a reader over this one. Descriptors of other bytes stay for later calls, also if the read was
  /// cancelled or the stream has ended. The destructor closes the descriptors that were not taken.
  ///
  /// If descriptors are lost, all descriptors of that send are closed, and the stream cannot be read
  /// any further: the read of their item, and every later read, fails with
  /// `error::too_many_descriptors` if the reader would hold more than `max_descriptors`, or with
  /// too_many_files_open if the process has no room for them. Without memory for them, a read fails
  /// with not_enough_memory, and has received nothing.
  ///
  /// A reader with `max_descriptors` makes two system calls where others make one, and receives one
  /// item at a time while descriptors wait in the socket.
  [[nodiscard]] std::vector<unique_descriptor> take_descriptors(std::size_t max_count = SIZE_MAX);

  // As a byte_stream: receive() and the other operations first take the bytes of the buffer, then
  // receive from the stream, directly into the memory of the caller. Sends go to the stream.
  // Descriptors that arrive with bytes which do not pass through the buffer are closed.

  void shutdown_send() override;
  /// Closes the stream below. The bytes of the buffer stay.
  void close() noexcept override;

  /// The bytes that were received and not consumed. Valid until the next call.
  [[nodiscard]] std::string_view buffered() const noexcept {
    return {buffer_.get() + begin_, end_ - begin_};
  }
  /// The largest size of a block, in bytes.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  friend class detail::basic_reader_operation;
  friend class detail::reader_object;
  using want = detail::basic_reader_operation::want;
  byte_stream& stream_;
  std::size_t capacity_;
  std::size_t max_line_;
  bool unterminated_line_;
  std::unique_ptr<char[]> buffer_;
  std::size_t size_;  // of the buffer
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  detail::reader_object object_here_;
  std::unique_ptr<detail::reader_descriptors> descriptors_;  // null: they are closed
};

// Implementation

inline detail::basic_reader_operation::basic_reader_operation(buffered_reader& reader,
                                                              want item) noexcept
    : stream_operation(kind::receive, stream_access::object_of(reader.stream_), nullptr,
                       std::size_t{}),
      reader_(reader),
      want_(item) {}
inline detail::basic_reader_operation::basic_reader_operation(
    basic_reader_operation&& other) noexcept
    : stream_operation(std::move(other)),
      reader_(other.reader_),
      want_(other.want_),
      format_(other.format_),
      delimiter_(other.delimiter_),
      into_(other.into_),
      needed_(other.needed_) {}

inline detail::reader_view_operation buffered_reader::read_exactly(std::size_t bytes) {
  detail::reader_view_operation op(*this, want::block);
  op.needed_ = bytes;
  return op;
}
inline detail::reader_view_operation buffered_reader::read_frame(const frame_format& format) {
  detail::reader_view_operation op(*this, want::frame);
  op.format_ = format;
  return op;
}

}  // namespace cosock
