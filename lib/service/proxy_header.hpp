// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The numbers of version 2 of the PROXY protocol (section 2.2 of its specification), and its checksum:
// for the parser and the writer of headers, which know nothing of sockets.

#include <cosock/proxy_header.hpp>

#include <array>
#include <cstdint>
#include <string_view>

namespace cosock::detail {

namespace proxy_type {
constexpr std::uint8_t alpn = 0x01;
constexpr std::uint8_t authority = 0x02;
constexpr std::uint8_t crc32c = 0x03;
constexpr std::uint8_t noop = 0x04;
constexpr std::uint8_t unique_id = 0x05;
constexpr std::uint8_t tls = 0x20;
constexpr std::uint8_t tls_version = 0x21;
constexpr std::uint8_t tls_common_name = 0x22;
constexpr std::uint8_t tls_cipher = 0x23;
constexpr std::uint8_t tls_signature_algorithm = 0x24;
constexpr std::uint8_t tls_key_algorithm = 0x25;
constexpr std::uint8_t netns = 0x30;
}  // namespace proxy_type

enum proxy_family : unsigned char { unspec, inet, inet6, local };

/// The bytes of both addresses of a family, by its number.
constexpr std::size_t proxy_addresses_size[] = {0, 12, 36, 216};
constexpr std::size_t proxy_path_size = 108;
constexpr std::size_t proxy_max_unique_id = 128;

constexpr std::array<std::uint32_t, 256> crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i != table.size(); ++i) {
    std::uint32_t rest = i;
    for (int bit = 0; bit != 8; ++bit) rest = rest >> 1 ^ ((rest & 1) != 0 ? 0x82f63b78u : 0);
    table[i] = rest;
  }
  return table;
}();

/// CRC-32C (RFC 4960, appendix B); `before`: the result for the bytes before these.
constexpr std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0) noexcept {
  std::uint32_t rest = ~before;
  for (const char c : bytes)
    rest = crc32c_table[(rest ^ static_cast<unsigned char>(c)) & 0xff] ^ rest >> 8;
  return ~rest;
}
static_assert(crc32c("123456789") == 0xe3069283);

}  // namespace cosock::detail
