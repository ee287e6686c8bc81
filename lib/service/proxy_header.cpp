// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The parser of PROXY headers, of both versions. It works on whole headers in memory, and is called by
// behind_proxy() and by programs.

#include <cosock/proxy_header.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"
#include "service/proxy_header.hpp"

#include <cosock/connection.hpp>

#include <utility>

namespace cosock {

using detail::in_quotes;

namespace {

[[noreturn]] void refuse(const std::string& why) {
  detail::raise_as(detail::own_failure(error::malformed_proxy_header), "PROXY header: " + why);
}

std::string hex(unsigned value) {
  constexpr char digits[] = "0123456789abcdef";
  return {'0', 'x', digits[value >> 4 & 15], digits[value & 15]};
}

/// Takes the fields of a line of version 1, which are separated by one space each.
class fields {
 public:
  explicit fields(std::string_view line) noexcept : rest_(line) {}
  std::string_view next(const char* name) {
    if (ended_) refuse(std::string("there is no ") + name + " in the line");
    const std::size_t space = rest_.find(' ');
    const std::string_view field = rest_.substr(0, space);
    ended_ = space == rest_.npos;
    rest_.remove_prefix(ended_ ? rest_.size() : space + 1);
    return field;
  }
  void end() const {
    if (!ended_) refuse(in_quotes(rest_) + " is behind the destination port, where the line ends");
  }

 private:
  std::string_view rest_;
  bool ended_ = false;
};

address read_address(std::string_view text, const char* name, bool v6) {
  address read;
  if (text.find('%') != text.npos || !address::try_parse(text, read) || read.is_v6() != v6)
    refuse(std::string("the ") + name + " is " + in_quotes(text) + ", and not an " +
           (v6 ? "IPv6 address" : "IPv4 address"));
  return read;
}

std::uint16_t read_port(std::string_view text, const char* name) {
  unsigned port = 0;
  bool good = !text.empty() && text.size() <= 5 && (text.size() == 1 || text.front() != '0');
  for (const char c : text.substr(0, 5)) {
    good = good && c >= '0' && c <= '9';
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  if (!good || port > 65535)
    refuse(std::string("the ") + name + " is " + in_quotes(text) +
           ", and not a number from 0 to 65535 without leading zeros");
  return static_cast<std::uint16_t>(port);
}

proxy_header parse_v1(std::string_view line) {
  line.remove_prefix(detail::proxy_v1_signature.size());
  line.remove_suffix(2);
  proxy_header header;
  header.version = proxy_version::v1;
  fields left(line);
  const std::string_view family = left.next("protocol");
  if (family == "UNKNOWN") return header;  // whatever follows
  if (family != "TCP4" && family != "TCP6")
    refuse("the protocol is " + in_quotes(family) + ", where TCP4, TCP6 and UNKNOWN are accepted");
  const bool v6 = family == "TCP6";
  const address source = read_address(left.next("source address"), "source address", v6);
  const address destination =
      read_address(left.next("destination address"), "destination address", v6);
  const std::uint16_t source_port = read_port(left.next("source port"), "source port");
  const std::uint16_t destination_port =
      read_port(left.next("destination port"), "destination port");
  left.end();
  header.source.emplace(source, source_port);
  header.destination.emplace(destination, destination_port);
  return header;
}

unsigned byte_at(std::string_view bytes, std::size_t i) noexcept {
  return static_cast<unsigned char>(bytes[i]);
}
unsigned number_at(std::string_view bytes, std::size_t i) noexcept {
  return byte_at(bytes, i) << 8 | byte_at(bytes, i + 1);
}

template <class Bytes>
endpoint endpoint_at(std::string_view block, std::size_t at, std::size_t port) {
  Bytes bytes;
  for (std::size_t i = 0; i != bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>(block[at + i]);
  return {address(bytes), static_cast<std::uint16_t>(number_at(block, port))};
}

/// A path ends at its first NUL; a name of the abstract namespace begins with one, and its length is not sent.
local_endpoint local_at(std::string_view field, const char* name) {
  const std::size_t last = field.find_last_not_of('\0');
  if (last == field.npos) return {};
  if (field.front() == '\0') return local_endpoint::abstract(field.substr(1, last));
  const std::string_view path = field.substr(0, field.find('\0'));
  if (path.size() > local_endpoint::max_size)
    refuse(std::string("the ") + name + " is a path of more than " +
           std::to_string(local_endpoint::max_size) + " bytes");
  return local_endpoint::path(path);
}

/// Calls `f` with the type, the value and its offset, for each TLV of the block.
template <class F>
void for_each_tlv(std::string_view block, const char* where, F f) {
  for (std::size_t at = 0; at != block.size();) {
    if (block.size() - at < 3)
      refuse(std::string("the last TLV") + where + " has " + std::to_string(block.size() - at) +
             " bytes, where its type and length need 3");
    const unsigned type = byte_at(block, at);
    const std::size_t size = number_at(block, at + 1);
    at += 3;
    if (size > block.size() - at)
      refuse("the TLV of type " + hex(type) + where + " has a length of " + std::to_string(size) +
             ", where " + std::to_string(block.size() - at) + " bytes are left");
    f(static_cast<std::uint8_t>(type), block.substr(at, size), at);
    at += size;
  }
}

proxy_tls read_tls(std::string_view value) {
  if (value.size() < 5)
    refuse("the TLV of type 0x20 (TLS) has " + std::to_string(value.size()) +
           " bytes, where at least 5 are needed");
  proxy_tls tls;
  const unsigned flags = byte_at(value, 0);
  tls.is_tls = (flags & 1) != 0;
  tls.has_certificate = (flags & 2) != 0;
  tls.had_certificate = (flags & 4) != 0;
  // Zero is also sent if there was no certificate to verify.
  tls.is_verified = (flags & 6) != 0 && number_at(value, 1) == 0 && number_at(value, 3) == 0;
  for_each_tlv(value.substr(5), " in that of TLS",
               [&tls](std::uint8_t type, std::string_view text, std::size_t) {
                 namespace t = detail::proxy_type;
                 switch (type) {
                   case t::tls_version: tls.version = text; break;
                   case t::tls_common_name: tls.common_name = text; break;
                   case t::tls_cipher: tls.cipher = text; break;
                   case t::tls_signature_algorithm: tls.signature_algorithm = text; break;
                   case t::tls_key_algorithm: tls.key_algorithm = text; break;
                   default: tls.others.push_back({type, std::string(text)});
                 }
               });
  return tls;
}

/// `at`: where the checksum is.
void verify_checksum(std::string_view bytes, std::size_t at) {
  const std::uint32_t sent = std::uint32_t{number_at(bytes, at)} << 16 | number_at(bytes, at + 2);
  std::uint32_t computed = detail::crc32c(bytes.substr(0, at));
  computed = detail::crc32c(std::string_view("\0\0\0\0", 4), computed);
  computed = detail::crc32c(bytes.substr(at + 4), computed);
  if (sent != computed) refuse("the checksum (CRC-32C) does not match");
}

void read_tlvs(std::string_view bytes, std::size_t begin, proxy_header& header) {
  bool has_checksum = false;
  for_each_tlv(bytes.substr(begin), "",
               [&](std::uint8_t type, std::string_view value, std::size_t at) {
                 namespace t = detail::proxy_type;
                 switch (type) {
                   case t::alpn: header.protocol = value; break;
                   case t::authority: header.authority = value; break;
                   case t::noop: break;
                   case t::netns: header.netns = value; break;
                   case t::tls: header.tls = read_tls(value); break;
                   case t::crc32c:
                     if (std::exchange(has_checksum, true)) refuse("there are two checksums");
                     if (value.size() != 4)
                       refuse("the TLV of type 0x03 (CRC-32C) has " + std::to_string(value.size()) +
                              " bytes, where 4 are needed");
                     verify_checksum(bytes, begin + at);
                     break;
                   case t::unique_id:
                     if (value.size() > detail::proxy_max_unique_id)
                       refuse("the unique id has " + std::to_string(value.size()) +
                              " bytes, where 128 are accepted");
                     header.unique_id = value;
                     break;
                   default: header.tlvs.push_back({type, std::string(value)});
                 }
               });
}

proxy_header parse_v2(std::string_view bytes) {
  proxy_header header;
  if ((byte_at(bytes, 12) & 15) == 0) {
    header.is_local = true;
    return header;
  }
  const unsigned family = byte_at(bytes, 13) >> 4;
  const unsigned transport = byte_at(bytes, 13) & 15;
  if (family > 3)
    refuse("the address family is " + std::to_string(family) +
           ", where 0 (UNSPEC), 1 (IPv4), 2 (IPv6) and 3 (UNIX) are accepted");
  if (transport > 2)
    refuse("the transport is " + std::to_string(transport) +
           ", where 0 (UNSPEC), 1 (STREAM) and 2 (DGRAM) are accepted");
  std::string_view block = bytes.substr(detail::proxy_v2_fixed_size);
  const std::size_t size = detail::proxy_addresses_size[family];
  if (block.size() < size)
    refuse("the length is " + std::to_string(block.size()) + ", where the addresses of family " +
           std::to_string(family) + " need " + std::to_string(size) + " bytes");
  // An unspecified transport has no ports that mean something: its addresses are ignored.
  if (transport != 0) {
    header.is_datagram = family != detail::unspec && transport == 2;
    if (family == detail::inet) {
      header.source = endpoint_at<address::v4_bytes>(block, 0, 8);
      header.destination = endpoint_at<address::v4_bytes>(block, 4, 10);
    } else if (family == detail::inet6) {
      header.source = endpoint_at<address::v6_bytes>(block, 0, 32);
      header.destination = endpoint_at<address::v6_bytes>(block, 16, 34);
    } else if (family == detail::local) {
      header.local_source = local_at(block.substr(0, detail::proxy_path_size), "source");
      header.local_destination =
          local_at(block.substr(detail::proxy_path_size, detail::proxy_path_size), "destination");
    }
  }
  read_tlvs(bytes, detail::proxy_v2_fixed_size + size, header);
  return header;
}

}  // namespace

proxy_header::proxy_header() = default;
proxy_header::proxy_header(const endpoint& from, const endpoint& to)
    : source(from), destination(to) {}
proxy_header::proxy_header(const local_endpoint& from, const local_endpoint& to)
    : local_source(from), local_destination(to) {}
proxy_header::proxy_header(const proxy_header&) = default;
proxy_header::proxy_header(proxy_header&&) noexcept = default;
proxy_header& proxy_header::operator=(const proxy_header&) = default;
proxy_header& proxy_header::operator=(proxy_header&&) noexcept = default;
proxy_header::~proxy_header() = default;

bool operator==(const proxy_header& a, const proxy_header& b) {
  return a.version == b.version && a.is_local == b.is_local && a.is_datagram == b.is_datagram &&
         a.source == b.source && a.destination == b.destination &&
         a.local_source == b.local_source && a.local_destination == b.local_destination &&
         a.protocol == b.protocol && a.authority == b.authority && a.unique_id == b.unique_id &&
         a.netns == b.netns && a.tls == b.tls && a.tlvs == b.tlvs;
}

proxy_header proxy_header::parse(std::string_view bytes) {
  const proxy_extent extent = measure(bytes);
  switch (extent.found) {
    case proxy_extent::state::none:
      refuse("the bytes begin with " + in_quotes(bytes.substr(0, 16)) +
             ", where \"PROXY \" or the signature of version 2 is expected");
    case proxy_extent::state::malformed: refuse(extent.fault);
    case proxy_extent::state::incomplete:
      refuse("there are " + std::to_string(bytes.size()) + " bytes, and at least " +
             std::to_string(extent.size) + " belong to the header");
    case proxy_extent::state::complete: break;
  }
  if (extent.size != bytes.size())
    refuse(std::to_string(bytes.size() - extent.size) + " bytes are behind the header");
  return bytes.front() == 'P' ? parse_v1(bytes) : parse_v2(bytes);
}

namespace detail {

const endpoint* proxied_source(const proxy_header* header) noexcept {
  return header && header->source ? &*header->source : nullptr;
}
const endpoint* proxied_destination(const proxy_header* header) noexcept {
  return header && header->destination ? &*header->destination : nullptr;
}

}  // namespace detail
}  // namespace cosock
