// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The writer of PROXY headers. It makes the bytes of a header, which send_proxy_header() sends over any
// stream.

#include <cosock/proxy_header.hpp>
#include <cosock/task.hpp>

#include "service/proxy_header.hpp"

#include <algorithm>
#include <stdexcept>

namespace cosock {

namespace {

/// IPv4 addresses beside IPv6 ones.
address as_v6(const address& a) {
  if (a.is_v6()) return address(a.bytes());  // a scope id means nothing to others
  address::v6_bytes mapped{};
  mapped[10] = mapped[11] = 0xff;
  for (std::size_t i = 0; i != 4; ++i) mapped[12 + i] = a.bytes()[i];
  return address(mapped);
}

void append_bytes(std::string& to, const address& a) {
  to.append(reinterpret_cast<const char*>(a.bytes().data()), a.is_v6() ? 16 : 4);
}
void append_number(std::string& to, std::size_t n) {
  to += static_cast<char>(n >> 8);
  to += static_cast<char>(n & 0xff);
}
void append_tlv(std::string& to, std::uint8_t type, std::string_view value) {
  if (value.size() > 65535)
    throw std::invalid_argument("cosock: a TLV of a PROXY header has at most 65535 bytes");
  to += static_cast<char>(type);
  append_number(to, value.size());
  to += value;
}
/// A text that is empty is not sent.
void append_text(std::string& to, std::uint8_t type, std::string_view value) {
  if (!value.empty()) append_tlv(to, type, value);
}
void append_local(std::string& to, const local_endpoint& e) {
  std::string field(e.is_abstract() ? 1 : 0, '\0');
  field += e.name();
  field.resize(detail::proxy_path_size);
  to += field;
}

std::string tls_value(const proxy_tls& tls) {
  std::string value(1, static_cast<char>((tls.is_tls ? 1 : 0) | (tls.has_certificate ? 2 : 0) |
                                         (tls.had_certificate ? 4 : 0)));
  value.append(3, '\0');
  value += static_cast<char>(tls.is_verified ? 0 : 1);
  namespace t = detail::proxy_type;
  append_text(value, t::tls_version, tls.version);
  append_text(value, t::tls_common_name, tls.common_name);
  append_text(value, t::tls_cipher, tls.cipher);
  append_text(value, t::tls_signature_algorithm, tls.signature_algorithm);
  append_text(value, t::tls_key_algorithm, tls.key_algorithm);
  for (const proxy_tlv& one : tls.others) append_tlv(value, one.type, one.value);
  return value;
}

std::string v1_bytes(const proxy_header& h) {
  if (!h.source || h.is_datagram || h.is_local) return "PROXY UNKNOWN\r\n";
  const bool v6 = h.source->address().is_v6() || h.destination->address().is_v6();
  const auto text = [v6](const address& a) { return (v6 ? as_v6(a) : a).to_string(); };
  return std::string(v6 ? "PROXY TCP6 " : "PROXY TCP4 ") + text(h.source->address()) + ' ' +
         text(h.destination->address()) + ' ' + std::to_string(h.source->port()) + ' ' +
         std::to_string(h.destination->port()) + "\r\n";
}

/// Appends both addresses. Returns the byte of family and transport.
unsigned append_addresses(std::string& to, const proxy_header& h) {
  unsigned family = detail::unspec;
  if (h.source) {
    const bool v6 = h.source->address().is_v6() || h.destination->address().is_v6();
    append_bytes(to, v6 ? as_v6(h.source->address()) : h.source->address());
    append_bytes(to, v6 ? as_v6(h.destination->address()) : h.destination->address());
    append_number(to, h.source->port());
    append_number(to, h.destination->port());
    family = v6 ? detail::inet6 : detail::inet;
  } else if (h.local_source) {
    append_local(to, *h.local_source);
    append_local(to, *h.local_destination);
    family = detail::local;
  }
  return family == detail::unspec ? 0 : family << 4 | (h.is_datagram ? 2 : 1);
}

std::string v2_bytes(const proxy_header& h, bool checksum) {
  std::string bytes(detail::proxy_v2_signature);
  bytes += h.is_local ? '\x20' : '\x21';
  bytes.append(3, '\0');
  if (h.is_local) return bytes;
  bytes[13] = static_cast<char>(append_addresses(bytes, h));
  namespace t = detail::proxy_type;
  append_text(bytes, t::alpn, h.protocol);
  append_text(bytes, t::authority, h.authority);
  append_text(bytes, t::unique_id, h.unique_id);
  if (h.tls) append_tlv(bytes, t::tls, tls_value(*h.tls));
  append_text(bytes, t::netns, h.netns);
  for (const proxy_tlv& one : h.tlvs) append_tlv(bytes, one.type, one.value);
  if (checksum) append_tlv(bytes, t::crc32c, std::string_view("\0\0\0\0", 4));
  if (bytes.size() > proxy_header::max_v2_size)
    throw std::invalid_argument("cosock: a PROXY header has at most 65551 bytes, and this one " +
                                std::to_string(bytes.size()));
  const std::size_t rest = bytes.size() - detail::proxy_v2_fixed_size;
  bytes[14] = static_cast<char>(rest >> 8);
  bytes[15] = static_cast<char>(rest & 0xff);
  if (checksum) {
    const std::uint32_t sum = detail::crc32c(bytes);
    for (std::size_t i = 0; i != 4; ++i)
      bytes[bytes.size() - 4 + i] = static_cast<char>(sum >> (24 - 8 * i) & 0xff);
  }
  return bytes;
}

}  // namespace

std::string proxy_header::to_bytes(proxy_format format) const {
  if (source.has_value() != destination.has_value() ||
      local_source.has_value() != local_destination.has_value())
    throw std::invalid_argument(
        "cosock: a PROXY header has a source and a destination, or neither");
  if (unique_id.size() > detail::proxy_max_unique_id)
    throw std::invalid_argument("cosock: the unique id of a PROXY header has at most 128 bytes");
  return format.version == proxy_version::v1 ? v1_bytes(*this) : v2_bytes(*this, format.checksum);
}

task<> send_proxy_header(byte_stream& to, const proxy_header& header, proxy_format format) {
  const std::string bytes = header.to_bytes(format);
  co_await to.send(bytes);
}

}  // namespace cosock
