// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Frames: read_frame reads what send_frame writes, and of hostile prefixes the canonical ones only.

#include "input.hpp"
#include "support/scripted_stream.hpp"

#include <cosock/reader.hpp>

#include <algorithm>
#include <vector>

using cosock::frame_format;
using cosock::frame_prefix;

namespace {

constexpr frame_prefix prefixes[] = {frame_prefix::varint, frame_prefix::one_byte,
                                     frame_prefix::two_bytes, frame_prefix::four_bytes,
                                     frame_prefix::eight_bytes};

frame_format format_of(fuzz::input& in) {
  frame_format format;
  format.prefix = prefixes[in.below(5)];
  format.order = in.flag() ? std::endian::big : std::endian::little;
  constexpr std::size_t maxima[] = {0, 1, 127, 128, 300, 1 << 20, SIZE_MAX - 1, SIZE_MAX};
  format.max_size = maxima[in.below(8)];
  return format;
}

/// How many bytes the length of a frame takes; 0 if it does not fit.
std::size_t size_of_prefix(const frame_format& format, std::uint64_t length) {
  if (format.prefix == frame_prefix::varint) {
    std::size_t n = 1;
    while (length >>= 7) ++n;
    return n;
  }
  const auto n = static_cast<std::size_t>(format.prefix);
  return n == 8 || length >> (8 * n) == 0 ? n : 0;
}

void check_prefix(fuzz::input in) {
  const frame_format format = format_of(in);
  const std::string bytes(in.rest());
  const auto* const data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto head = cosock::detail::read_prefix(format, data, bytes.size());
  // What the bytes behind the prefix are makes no difference.
  for (std::size_t n = head.size; head.size != 0 && n != bytes.size(); ++n) {
    const auto less = cosock::detail::read_prefix(format, data, n);
    REQUIRE(less.size == head.size && less.length == head.length);
  }
  if (head.size == 0) {
    REQUIRE(head.why || bytes.size() < 10);
    return;
  }
  REQUIRE(head.size == size_of_prefix(format, head.length) ||
          format.prefix != frame_prefix::varint);
  unsigned char again[cosock::detail::max_prefix];
  const std::size_t size = cosock::detail::write_prefix(format, head.length, again);
  REQUIRE(size == head.size && std::equal(again, again + size, data));
  REQUIRE(static_cast<bool>(head.why) ==
          (head.length > format.max_size || head.length > cosock::detail::max_frame));
}

cosock::task<> send_and_read(fuzz::input in) {
  const frame_format format = format_of(in);
  const auto out = co_await test::make_scripted_stream();
  std::vector<std::string> sent;
  const std::size_t count = in.below(6);
  const std::size_t split = in.byte() + std::size_t{1};
  for (std::size_t i = 0; i != count; ++i) {
    const std::size_t size = in.byte() * (in.flag() ? std::size_t{1} : std::size_t{64});
    std::string payload(in.text(size / 4));
    payload.resize(size, 'x');
    const auto result = co_await cosock::as_result(cosock::send_frame(*out, payload, format));
    const bool fits = size <= format.max_size && size_of_prefix(format, size) != 0;
    REQUIRE(result.has_value() == fits);
    if (fits)
      sent.push_back(payload);
    else
      REQUIRE(result.error() == cosock::error::frame_too_long);
  }
  const auto back = co_await test::make_scripted_stream();
  const std::string_view bytes = out->sent();
  for (std::size_t i = 0; i < bytes.size(); i += split)
    back->push(std::string(bytes.substr(i, split)));
  back->end();
  cosock::buffered_reader reader(*back, {.capacity = split, .max_line = 0});
  for (const std::string& each : sent) {
    const auto got = co_await reader.read_frame(format);
    REQUIRE(got && *got == each);
  }
  REQUIRE(!co_await reader.read_frame(format));
}

}  // namespace

void fuzz_one(fuzz::input in) {
  if (in.flag()) return check_prefix(in);
  fuzz::run(send_and_read(in));
}
