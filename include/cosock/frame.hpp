// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/stream.hpp>

#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace cosock {

class local_socket;

/// The encoding of the length in front of a frame.
enum class frame_prefix : unsigned char {
  varint = 0,  ///< LEB128: 7 bits in each byte, the lowest first, in as few bytes as possible
  one_byte = 1,
  two_bytes = 2,
  four_bytes = 4,
  eight_bytes = 8,
};

/// The format of messages in a stream that have their length in front. They are read with
/// buffered_reader::read_frame (reader.hpp), and sent with send_frame.
struct frame_format {
  frame_prefix prefix = frame_prefix::four_bytes;  ///< in front of each frame
  std::endian order = std::endian::big;  ///< byte order of the prefix; not used for a varint
  std::size_t max_size = 1 << 20;  ///< bytes of a frame without its prefix; from 0 to SIZE_MAX
};

namespace detail {

inline constexpr std::size_t max_prefix = 10;
inline constexpr std::uint64_t max_frame = PTRDIFF_MAX - max_prefix;

/// The decoded length in front of a frame.
struct frame_head {
  std::size_t size = 0;  // of the prefix; 0: incomplete
  std::uint64_t length = 0;
  failure why;
};
COSOCK_API frame_head read_prefix(const frame_format&, const unsigned char* from,
                                  std::size_t size) noexcept;
/// Returns the size of the prefix; 0 if it cannot hold the length.
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
  unsigned char prefix_[max_prefix];
};

}  // namespace detail

/// Sends a frame, which may be empty, with one system call if the system has room.
///
/// Errors: `error::frame_too_long` for more than the maximum of the format, or more than its prefix
/// can hold; nothing was sent then. Those of byte_stream::send. After an error or a cancellation in
/// the middle, throws transfer_error with the number of bytes, prefix included; the stream can only
/// be closed then.
inline detail::frame_send_operation send_frame(byte_stream& to, const_buffer payload,
                                               const frame_format& format = {}) {
  return {to, payload, format};
}

/// Sends a frame as send_frame() does, and with its first byte duplicates of the descriptors: see
/// local_socket::send_with_descriptors (local.hpp), whose errors it throws too. Copies the payload, so
/// that prefix and payload are one send. Errors: `error::frame_too_long`; std::bad_alloc. Nothing was
/// sent then. `payload` and `descriptors` must outlive the `co_await`.
COSOCK_API task<> send_frame_with_descriptors(local_socket& to, const_buffer payload,
                                              std::span<const int> descriptors,
                                              frame_format format = {});

}  // namespace cosock
