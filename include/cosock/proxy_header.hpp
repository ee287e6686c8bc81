// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/stream.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cosock {

/// The two formats of the PROXY protocol: a line of text, and a binary one.
enum class proxy_version : unsigned char { v1 = 1, v2 };

/// A type-length-value of version 2 (section 2.2).
struct proxy_tlv {
  std::uint8_t type = 0;  ///< the number of the type
  std::string value;      ///< the bytes
  friend bool operator==(const proxy_tlv&, const proxy_tlv&) = default;
};

/// The facts of the TLS connection between a client and the proxy (section 2.2.6). A text that the proxy
/// does not send is empty.
struct proxy_tls {
  bool is_tls = false;           ///< the client has connected over TLS
  bool has_certificate = false;  ///< the client has sent a certificate in this connection
  bool had_certificate = false;  ///< the client has sent one in this TLS session, perhaps before
  bool is_verified = false;  ///< the client has sent a certificate, and the proxy has verified it
  std::string version;       ///< such as TLSv1.3
  std::string common_name;   ///< of the certificate of the client
  std::string cipher;        ///< such as TLS_AES_128_GCM_SHA256
  std::string signature_algorithm;  ///< of the certificate of the proxy, and its key
  std::string key_algorithm;        ///< such as RSA2048
  std::vector<proxy_tlv> others;    ///< TLVs of other types inside the one for TLS
  friend bool operator==(const proxy_tls&, const proxy_tls&) = default;
};

/// The result of proxy_header::measure().
struct proxy_extent {
  /// Whether the bytes begin with a header.
  enum class state : unsigned char {
    complete,    ///< with a whole header of `size` bytes
    incomplete,  ///< perhaps, or with a part of a header, which has at least `size` bytes
    none,        ///< not with a header
    malformed    ///< with a header that is refused; see `fault`
  };
  state found = state::none;    ///< see above
  std::size_t size = 0;         ///< the size of the header in bytes; 0 if none or malformed
  const char* fault = nullptr;  ///< the error in the header; null unless malformed
};

/// Options of send_proxy_header() and proxy_header::to_bytes().
struct proxy_format {
  proxy_version version = proxy_version::v2;  ///< of the header
  /// Whether a header of version 2 has a CRC-32C checksum, which receivers verify.
  bool checksum = false;
};

/// A header of the PROXY protocol, with which a proxy or a load balancer sends the addresses of its client
/// to a server. Sections are those of https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. A value;
/// the default has no addresses: `PROXY UNKNOWN`, or the family UNSPEC.
class COSOCK_API proxy_header {
 public:
  proxy_header();
  /// The client of a TCP connection, and the address to which it has connected.
  proxy_header(const endpoint& source, const endpoint& destination);
  proxy_header(const local_endpoint& source, const local_endpoint& destination);
  proxy_header(const proxy_header&);
  proxy_header(proxy_header&&) noexcept;
  proxy_header& operator=(const proxy_header&);
  proxy_header& operator=(proxy_header&&) noexcept;
  ~proxy_header();

  /// The maximum sizes of a line of version 1, and of a header of version 2, in bytes.
  static constexpr std::size_t max_v1_size = 107;
  static constexpr std::size_t max_v2_size = 16 + 65535;

  /// Returns whether the first bytes of a connection begin a header, and its size, which is known when 16
  /// bytes of version 2, or the line of version 1, have arrived. The first byte that differs from both
  /// signatures decides that there is no header.
  [[nodiscard]] static constexpr proxy_extent measure(std::string_view first) noexcept;
  /// Parses a whole header, without bytes behind it. Verifies the checksum, if there is one. Ignores the
  /// addresses and TLVs of a LOCAL header (section 2.2). Throws system_error with
  /// `error::malformed_proxy_header`, and the wrong and the accepted values in what().
  [[nodiscard]] static proxy_header parse(std::string_view bytes);
  /// Returns the bytes of the header. In version 1 there are only the addresses, and local sockets and UDP
  /// are UNKNOWN. If one address is IPv4 and the other IPv6, the former is written as IPv4-mapped. Throws
  /// std::invalid_argument if the header is larger than max_v2_size, if a value does not fit into its TLV,
  /// for a unique id of more than 128 bytes, and if only one of source and destination is set.
  [[nodiscard]] std::string to_bytes(proxy_format format = {}) const;

  proxy_version version = proxy_version::v2;  ///< of the parsed header
  /// The connection is the proxy's own, for example a health check of the server (LOCAL). There are no
  /// addresses then.
  bool is_local = false;
  bool is_datagram = false;  ///< the client uses UDP, or a local datagram socket
  /// The address of the client, and the address to which it has connected. Both are set, or neither if
  /// the proxy does not know them, or if its client uses a local socket.
  std::optional<endpoint> source;
  std::optional<endpoint> destination;
  /// The same for a client of a local socket on the machine of the proxy.
  std::optional<local_endpoint> local_source;
  std::optional<local_endpoint> local_destination;
  std::string protocol;          ///< the application protocol (ALPN), such as h2
  std::string authority;         ///< the host that the client has requested (SNI)
  std::string unique_id;         ///< of the connection, at most 128 bytes of any value
  std::string netns;             ///< the name of the network namespace
  std::optional<proxy_tls> tls;  ///< the facts of TLS, if the proxy has sent them
  std::vector<proxy_tlv> tlvs;   ///< the TLVs of other types, in their order

  friend COSOCK_API bool operator==(const proxy_header&, const proxy_header&);
};

/// Sends a header, which must be the first bytes of a connection. A proxy calls it for a client:
/// `co_await send_proxy_header(server, proxy_header(client.remote_endpoint(), client.local_endpoint()))`.
/// Errors: those of byte_stream::send(); std::invalid_argument as for to_bytes(), before a byte is sent.
/// Cancelled: if a part was sent (transfer_error), close the connection. `to` and `header` must outlive
/// the `co_await`.
COSOCK_API task<> send_proxy_header(byte_stream& to, const proxy_header& header,
                                    proxy_format format = {});

// Implementation.

namespace detail {

inline constexpr std::string_view proxy_v1_signature = "PROXY ";
inline constexpr std::string_view proxy_v2_signature("\r\n\r\n\0\r\nQUIT\n", 12);
inline constexpr std::size_t proxy_v2_fixed_size = 16;

constexpr bool agree(std::string_view first, std::string_view signature) noexcept {
  const std::size_t n = first.size() < signature.size() ? first.size() : signature.size();
  return first.substr(0, n) == signature.substr(0, n);
}

constexpr proxy_extent measure_v1(std::string_view first) noexcept {
  using state = proxy_extent::state;
  const std::string_view line = first.substr(0, proxy_header::max_v1_size);
  for (std::size_t i = proxy_v1_signature.size(); i < line.size(); ++i) {
    if (line[i] == '\n') return {state::malformed, 0, "a LF without a CR before it"};
    if (line[i] != '\r') continue;
    if (i + 1 == proxy_header::max_v1_size) break;
    if (i + 1 == line.size()) return {state::incomplete, i + 2, nullptr};
    if (line[i + 1] != '\n') return {state::malformed, 0, "a CR without a LF behind it"};
    return {state::complete, i + 2, nullptr};
  }
  if (line.size() < proxy_header::max_v1_size) {
    // The signature with CR LF is the shortest line, although parse() refuses it.
    const std::size_t least = line.size() + 2 < 8 ? 8 : line.size() + 2;
    return {state::incomplete, least, nullptr};
  }
  return {state::malformed, 0, "a line of version 1 ends with CR LF within 107 bytes"};
}

constexpr proxy_extent measure_v2(std::string_view first) noexcept {
  using state = proxy_extent::state;
  const auto byte = [first](std::size_t i) { return static_cast<unsigned char>(first[i]); };
  if (first.size() > 12 && byte(12) >> 4 != 2)
    return {state::malformed, 0, "the version of a binary header is 2"};
  if (first.size() > 12 && (byte(12) & 15) > 1)
    return {state::malformed, 0, "the command is 0 (LOCAL) or 1 (PROXY)"};
  if (first.size() < proxy_v2_fixed_size) return {state::incomplete, proxy_v2_fixed_size, nullptr};
  const std::size_t size = proxy_v2_fixed_size + std::size_t{byte(14)} * 256 + byte(15);
  return {first.size() < size ? state::incomplete : state::complete, size, nullptr};
}

}  // namespace detail

constexpr proxy_extent proxy_header::measure(std::string_view first) noexcept {
  using state = proxy_extent::state;
  if (first.empty()) return {state::incomplete, 8, nullptr};
  if (detail::agree(first, detail::proxy_v2_signature)) {
    if (first.size() >= detail::proxy_v2_signature.size()) return detail::measure_v2(first);
    return {state::incomplete, detail::proxy_v2_fixed_size, nullptr};
  }
  if (!detail::agree(first, detail::proxy_v1_signature)) return {state::none, 0, nullptr};
  return detail::measure_v1(first);
}

}  // namespace cosock
