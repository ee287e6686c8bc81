// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// PROXY headers: any bytes are measured as each of their beginnings says, and what is parsed is written
// and read again.

#include "input.hpp"

#include <cosock/proxy_header.hpp>

namespace {

using cosock::proxy_extent;
using cosock::proxy_header;
using state = proxy_extent::state;

/// Each beginning agrees with the whole. Returns the measure of the whole.
proxy_extent measure_each(std::string_view bytes) {
  const proxy_extent whole = proxy_header::measure(bytes);
  for (std::size_t n = 0; n < std::min<std::size_t>(bytes.size(), 300); ++n) {
    const proxy_extent begin = proxy_header::measure(bytes.substr(0, n));
    if (begin.found == state::incomplete) {
      REQUIRE(begin.size > n);
      if (whole.found == state::complete) REQUIRE(begin.size <= whole.size);
    } else {
      REQUIRE(begin.found == whole.found);
      REQUIRE(begin.size == whole.size);
    }
  }
  REQUIRE(whole.found == state::malformed ? whole.fault != nullptr : whole.fault == nullptr);
  return whole;
}

void read_and_write(std::string_view bytes) {
  const proxy_header header = proxy_header::parse(bytes);
  REQUIRE(header.source.has_value() == header.destination.has_value());
  REQUIRE(!header.is_local || !header.source);
  const std::string again = header.to_bytes();
  proxy_header read = proxy_header::parse(again);
  read.version = header.version;
  REQUIRE(read == header);
  const std::string line = header.to_bytes({.version = cosock::proxy_version::v1});
  REQUIRE(line.size() <= proxy_header::max_v1_size);
  REQUIRE(proxy_header::parse(line).source.has_value() ==
          (header.source.has_value() && !header.is_datagram));
}

void parse(std::string_view bytes) {
  const proxy_extent extent = measure_each(bytes);
  if (extent.found == state::complete) bytes = bytes.substr(0, extent.size);
  const auto code = fuzz::error_of([&] { read_and_write(bytes); });
  REQUIRE(!code || code == cosock::error::malformed_proxy_header);
  REQUIRE(code || extent.found == state::complete);
}

}  // namespace

void fuzz_one(fuzz::input in) {
  if (!in.flag()) return parse(in.rest());
  // A binary header whose length is right, so that the block is reached.
  const std::string_view begin = in.text(2);
  const std::string_view block = in.rest();
  std::string bytes("\r\n\r\n\0\r\nQUIT\n", 12);
  bytes += begin;
  bytes.resize(14);
  bytes += static_cast<char>(block.size() >> 8);
  bytes += static_cast<char>(block.size() & 0xff);
  bytes += block;
  parse(bytes);
}
