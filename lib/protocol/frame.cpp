// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The length in front of a frame: reading, writing and its limits. Used by the reader of
// reader.cpp, and by send_frame(). It does no input or output, except through operations.

#include <cosock/frame.hpp>
#include <cosock/local.hpp>

#include "core/failure.hpp"

#include <cstring>
#include <vector>

namespace cosock {

task<> send_frame_with_descriptors(local_socket& to, const_buffer payload,
                                   std::span<const int> descriptors, frame_format format) {
  unsigned char prefix[detail::max_prefix];
  const std::size_t length = payload.size();
  const std::size_t size =
      length > format.max_size ? 0 : detail::write_prefix(format, length, prefix);
  if (size == 0) detail::raise(detail::own_failure(error::frame_too_long));
  std::vector<unsigned char> frame(size + length);
  std::memcpy(frame.data(), prefix, size);
  if (length != 0) std::memcpy(frame.data() + size, payload.data(), length);
  co_await to.send_with_descriptors(frame, descriptors);
}

namespace detail {

namespace {

frame_head read_varint(const unsigned char* from, std::size_t size) noexcept {
  frame_head head;
  for (std::size_t i = 0; i != size && i != max_prefix; ++i) {
    const unsigned char byte = from[i];
    const bool last = byte < 0x80;
    // The tenth byte holds the highest bit only. A last byte of zero would be redundant: each
    // length has exactly one encoding.
    if ((i == max_prefix - 1 && byte > 1) || (last && byte == 0 && i != 0)) {
      head.why = own_failure(error::malformed_frame);
      return head;
    }
    head.length |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if (last) {
      head.size = i + 1;
      return head;
    }
  }
  return head;
}

/// Reads a number of 1 to 8 bytes. `size` is the number of available bytes, which may be larger:
/// then one load of 8 bytes and a shift replace the loop.
std::uint64_t read_number(const unsigned char* from, std::size_t size, std::size_t bytes,
                          std::endian order) noexcept {
  std::uint64_t number = 0;
  if (size >= sizeof number) [[likely]] {
    std::memcpy(&number, from, sizeof number);
    const std::size_t others = 8 * (sizeof number - bytes);
    if (order != std::endian::native) number = __builtin_bswap64(number);
    return order == std::endian::little ? number << others >> others : number >> others;
  }
  for (std::size_t i = 0; i != bytes; ++i)
    number = number << 8 | from[order == std::endian::little ? bytes - 1 - i : i];
  return number;
}

}  // namespace

frame_head read_prefix(const frame_format& format, const unsigned char* from,
                       std::size_t size) noexcept {
  frame_head head;
  if (format.prefix == frame_prefix::varint) {
    head = read_varint(from, size);
  } else {
    const auto bytes = static_cast<std::size_t>(format.prefix);
    if (size < bytes) return head;
    head.length = read_number(from, size, bytes, format.order);
    head.size = bytes;
  }
  // Before any memory is allocated for the frame: the length comes from the peer.
  if (head.size != 0 && (head.length > format.max_size || head.length > max_frame))
    head.why = own_failure(error::frame_too_long);
  return head;
}

std::size_t write_prefix(const frame_format& format, std::uint64_t length,
                         unsigned char* to) noexcept {
  std::size_t size = 0;
  if (format.prefix == frame_prefix::varint) {
    for (; length >= 0x80; length >>= 7) to[size++] = static_cast<unsigned char>(length | 0x80);
    to[size++] = static_cast<unsigned char>(length);
    return size;
  }
  size = static_cast<std::size_t>(format.prefix);
  if (size < 8 && length >> (8 * size) != 0) return 0;
  for (std::size_t i = 0; i != size; ++i, length >>= 8)
    to[format.order == std::endian::little ? i : size - 1 - i] = static_cast<unsigned char>(length);
  return size;
}

step frame_send_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  const std::size_t length = parts_[1].size();
  const std::size_t size = length > format_.max_size ? 0 : write_prefix(format_, length, prefix_);
  if (size == 0) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    failure_ = own_failure(error::frame_too_long);
    return complete_or_yield();
  }
  // Only now: the operation has been moved to its place, and the buffers point into it.
  parts_[0] = const_buffer(prefix_, size);
  memory_ = &parts_;
  gather_ = &gather<const_buffer, std::array<const_buffer, 2>>;
  return start_operation(awaiting, parent);
}

}  // namespace detail
}  // namespace cosock
