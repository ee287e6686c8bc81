// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/frame.hpp>
#include <cosock/stream.hpp>

#include <memory>
#include <optional>
#include <string_view>

namespace cosock {

class buffered_reader;

/// The limits of a buffered_reader.
struct reader_options {
  std::size_t capacity = 16 << 10;  ///< bytes of the buffer, and of a block that is given as a view
  std::size_t max_line = 8 << 10;   ///< bytes of a line or of what precedes a delimiter, without it;
                                    ///< SIZE_MAX: as many as there is memory for
  bool unterminated_line = false;   ///< what follows the last LF of the stream is a line too
};

namespace detail {

/// Receives into the buffer of a reader until what is wanted is there.
class COSOCK_API basic_reader_operation : public stream_operation {
 public:
  bool has_details() const noexcept { return filled_ != 0; }
  enum class want : unsigned char { line, skip, until, block, fill, frame, some };

 protected:
  basic_reader_operation(buffered_reader& from, want what) noexcept;
  basic_reader_operation(basic_reader_operation&& other) noexcept;
  ~basic_reader_operation() = default;

  step start_read(std::coroutine_handle<> awaiting, cancel_node& parent);
  [[noreturn]] void raise_failure() const;

  buffered_reader& reader_;
  want want_;
  bool end_ = false;            // of the stream, where it may be
  frame_format format_;         // of a frame
  std::string_view delimiter_;  // of what is read until one; outlives the operation
  mutable_buffer into_;         // the caller's memory
  std::size_t needed_ = 0;      // bytes of a block
  std::size_t scanned_ = 0;     // bytes in which there is no delimiter
  std::string_view view_;       // the result, or
  std::size_t filled_ = 0;      // bytes in the caller's memory

 private:
  step attempt() override;
  step advance(io_object& from);
  step satisfied();
  step received(std::size_t bytes);
  bool prepare();
  bool is_direct() const noexcept;
  step found(std::size_t at, std::size_t size, std::size_t consumed) noexcept;
  step refused(failure why) noexcept;
  step ended() noexcept;
  step find_line() noexcept;
  step skip_line() noexcept;
  step find_delimiter() noexcept;
  step find_frame() noexcept;
};

/// Gives what was read as a view.
class COSOCK_AWAITABLE reader_view_operation final : public awaiter_of<reader_view_operation>,
                                              public basic_reader_operation {
 public:
  reader_view_operation(buffered_reader& from, want what) noexcept
      : basic_reader_operation(from, what) {}
  reader_view_operation(reader_view_operation&& other) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) { return start_read(awaiting, parent); }
  std::optional<std::string_view> result() {
    if (failure_) raise_failure();
    if (end_) return std::nullopt;
    return view_;
  }
  failure fail() noexcept { return failure_; }

 private:
  friend class cosock::buffered_reader;
};

/// Fills memory of the caller's, in full (gives whether) or in part (gives how many bytes).
template <class Result>
class COSOCK_AWAITABLE reader_fill_operation final
    : public awaiter_of<reader_fill_operation<Result>>,
      public basic_reader_operation {
 public:
  reader_fill_operation(buffered_reader& from, want what, mutable_buffer into) noexcept
      : basic_reader_operation(from, what) {
    into_ = into;
  }
  reader_fill_operation(reader_fill_operation&& other) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) { return start_read(awaiting, parent); }
  Result result() {
    if (failure_) raise_failure();
    if constexpr (std::is_same_v<Result, bool>)
      return !end_;
    else
      return filled_;
  }
  failure fail() noexcept { return failure_; }
};

}  // namespace detail

/// Reads lines, frames and blocks from a stream. It has a buffer of its own, does not own the
/// stream, and belongs to the stream's loop. Read from the stream through the reader only: what it
/// has received ahead is in its buffer.
///
/// What is there already is given without a wait, a copy or an allocation. Each call is a
/// cancellation point, and gives `error::cancelled`, `error::closed` and the errors of
/// byte_stream::receive; a second reader at the same time gets `error::busy`. A call that was
/// cancelled or failed has consumed nothing, except where it says so: the bytes stay in the buffer,
/// and the next call goes on with them.
///
/// Views point into the buffer, and are valid until the next call. They come in an optional, which
/// is empty at the orderly end of the stream: `while (auto line = co_await reader.read_line())`. An
/// end in the middle is `error::end_of_stream`; the bytes before it can still be had from
/// buffered().
class COSOCK_API buffered_reader {
 public:
  /// The buffer is allocated here, large enough for the longest line of up to 64 KiB. For a longer
  /// line, and for a larger frame, it doubles as the bytes arrive, up to `max_line` or to the
  /// format's maximum, and stays that large; not_enough_memory, with nothing consumed, where there is
  /// no memory. Throws std::invalid_argument for a capacity of more than PTRDIFF_MAX, std::bad_alloc.
  /// The stream outlives the reader.
  explicit buffered_reader(byte_stream& from, const reader_options& options = {});
  buffered_reader(const buffered_reader&) = delete;
  buffered_reader& operator=(const buffered_reader&) = delete;
  ~buffered_reader();

  /// Reads up to the next LF, and gives the line without it, and without a CR before it. A line of
  /// more than `max_line` bytes is `error::line_too_long`, now and in every later read_line: no
  /// more is received, and the bytes can be had from receive(), or passed over with skip_line().
  detail::reader_view_operation read_line() { return {*this, want::line}; }

  /// Receives up to the next LF, however far that is, and drops it all; false if the stream ended
  /// before that. Cancelled or failed: what has come of the line is dropped, and the next call goes
  /// on with its rest.
  detail::reader_fill_operation<bool> skip_line() { return {*this, want::skip, {}}; }

  /// Reads up to the delimiter, one byte or several, and gives what precedes it; the delimiter is
  /// consumed. More than `max_line` bytes before it are `error::line_too_long`, as for a line.
  /// `delimiter` outlives the `co_await`, and is not empty (std::invalid_argument).
  detail::reader_view_operation read_until(std::string_view delimiter);

  /// Reads so many bytes and gives them as a view. More than the reader's capacity are
  /// `error::frame_too_long`.
  detail::reader_view_operation read_exactly(std::size_t bytes);

  /// Fills the buffer; false, and nothing was read, at the orderly end of the stream. Only where
  /// the buffer is larger than the reader's capacity can a call that was cancelled or failed have
  /// consumed bytes: it throws transfer_error, which says how many are in the buffer.
  detail::reader_fill_operation<bool> read_exactly(mutable_buffer into) {
    return {*this, want::fill, into};
  }

  /// Reads a frame (frame.hpp) and gives what is in it; an empty frame gives an empty view. One
  /// that is longer than the format's maximum, or than memory can be (PTRDIFF_MAX bytes with its
  /// prefix), is `error::frame_too_long`, as soon as its length is
  /// there; `error::malformed_frame` is a varint that is longer than it need be, or does not fit 64 bits.
  detail::reader_view_operation read_frame(const frame_format& format = {});

  /// Gives what is in the buffer, or else receives as byte_stream::receive does: at least 1 byte,
  /// or 0 at the end of the stream.
  detail::reader_fill_operation<std::size_t> receive(mutable_buffer into) {
    return {*this, want::some, into};
  }

  /// What was received and not given yet. Valid until the next call.
  [[nodiscard]] std::string_view buffered() const noexcept {
    return {buffer_.get() + begin_, end_ - begin_};
  }
  /// How many bytes a block may have.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  friend class detail::basic_reader_operation;
  using want = detail::basic_reader_operation::want;
  byte_stream& stream_;
  std::size_t capacity_;
  std::size_t max_line_;
  bool unterminated_line_;
  std::unique_ptr<char[]> buffer_;
  std::size_t size_;  // of the buffer
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Implementation

inline detail::basic_reader_operation::basic_reader_operation(buffered_reader& from,
                                                              want what) noexcept
    : stream_operation(kind::receive, stream_access::object_of(from.stream_), nullptr,
                       std::size_t{}),
      reader_(from),
      want_(what) {}
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
