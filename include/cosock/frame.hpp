// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/stream.hpp>

#include <array>
#include <bit>
#include <cstdint>

namespace cosock {

/// How the length is written in front of the bytes of a frame.
enum class frame_prefix : unsigned char {
  varint = 0,  ///< LEB128: 7 bits a byte, the lowest first, in no more bytes than needed
  one_byte = 1,
  two_bytes = 2,
  four_bytes = 4,
  eight_bytes = 8,
};

/// Messages in a stream, each behind its length. Read with buffered_reader::read_frame
/// (reader.hpp), sent with send_frame.
struct frame_format {
  frame_prefix prefix = frame_prefix::four_bytes;  ///< in front of each frame
  std::endian order = std::endian::big;  ///< of the bytes of the prefix; a varint has its own
  std::size_t maximum = 1 << 20;  ///< bytes of a frame, its prefix not counted; from 0 to SIZE_MAX
};

namespace detail {

inline constexpr std::size_t most_prefix = 10;
inline constexpr std::uint64_t most_frame = PTRDIFF_MAX - most_prefix;

/// The length in front of a frame, as far as it is there.
struct frame_head {
  std::size_t size = 0;  // of the prefix; 0: it is not complete
  std::uint64_t length = 0;
  failure why;
};
COSOCK_API frame_head read_prefix(const frame_format&, const unsigned char* from,
                                  std::size_t size) noexcept;
/// Gives the size of the prefix, 0 for a length that it cannot hold.
COSOCK_API std::size_t write_prefix(const frame_format&, std::uint64_t length,
                                    unsigned char* to) noexcept;

class COSOCK_AWAITABLE frame_send_operation final : public awaiter_of<frame_send_operation>,
                                               public stream_operation {
 public:
  frame_send_operation(byte_stream& to, const_buffer payload, const frame_format& format) noexcept
      : stream_operation(kind::send, stream_access::object_of(to), nullptr, gather_function{}),
        format_(format) {
    parts_[1] = payload;
  }
  frame_send_operation(frame_send_operation&& other) noexcept
      : stream_operation(std::move(other)), format_(other.format_), parts_(other.parts_) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void result() {
    if (failure_) raise_failure();
  }
  failure fail() noexcept { return failure_; }

 private:
  frame_format format_;
  std::array<const_buffer, 2> parts_;
  unsigned char prefix_[most_prefix];
};

}  // namespace detail

/// Sends a frame, with one system call if there is room for it. An empty one is a frame too.
///
/// Errors: those of byte_stream::send; `error::frame_too_long`, and nothing was sent, for more than
/// the format's maximum, or than its prefix can tell. Cancelled or failed after a part: throws
/// transfer_error, with the bytes of the prefix counted; the stream is then good for nothing but to
/// be closed.
inline detail::frame_send_operation send_frame(byte_stream& to, const_buffer payload,
                                          const frame_format& format = {}) {
  return {to, payload, format};
}

}  // namespace cosock
