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
  std::uint8_t type = 0;  ///< its number
  std::string value;      ///< its bytes
  friend bool operator==(const proxy_tlv&, const proxy_tlv&) = default;
};

/// What a proxy says about the TLS connection of its client (section 2.2.6). A text that the proxy does
/// not send is empty.
struct proxy_tls {
  bool is_tls = false;           ///< the client has connected over TLS
  bool has_certificate = false;  ///< the client has shown a certificate in this connection
  bool had_certificate =
      false;                 ///< it has done so in the session, perhaps in an earlier connection
  bool is_verified = false;  ///< the proxy has verified the certificate
  std::string version;       ///< such as TLSv1.3
  std::string common_name;   ///< of the certificate of the client
  std::string cipher;        ///< such as TLS_AES_128_GCM_SHA256
  std::string signature_algorithm;  ///< of the certificate of the proxy, and its key
  std::string key_algorithm;        ///< such as RSA2048
  std::vector<proxy_tlv> others;    ///< TLVs of other types inside of this one
  friend bool operator==(const proxy_tls&, const proxy_tls&) = default;
};

/// How first bytes relate to a header; see proxy_header::measure().
struct proxy_extent {
  /// What the bytes are.
  enum class state : unsigned char {
    complete,    ///< a header of `size` bytes begins here, and all of it has arrived
    incomplete,  ///< more bytes decide, or belong to the header, which has at least `size` bytes
    none,        ///< no header begins here
    malformed    ///< one begins here, and is refused because of `fault`
  };
  state found = state::none;    ///< what the bytes are
  std::size_t size = 0;         ///< bytes of the header; see state
  const char* fault = nullptr;  ///< what is wrong; null unless malformed
};

/// How send_proxy_header() writes a header.
struct proxy_format {
  proxy_version version = proxy_version::v2;  ///< of the header
  /// Version 2: add a CRC-32C checksum, which receivers verify.
  bool checksum = false;
};

/// A header of the PROXY protocol, by which a proxy or a load balancer tells a server who its client
/// is: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, whose sections this file names. A
/// value. The default says nothing about the client: `PROXY UNKNOWN`, or the family UNSPEC.
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

  /// The most bytes of a line of version 1, and of a header of version 2.
  static constexpr std::size_t max_v1_size = 107;
  static constexpr std::size_t max_v2_size = 16 + 65535;

  /// Whether a header begins with the first bytes of a connection, and where it ends. The size is known
  /// when 16 bytes of version 2, or the line of version 1, have arrived. Decides as early as possible: a
  /// byte that differs from both signatures is enough.
  [[nodiscard]] static constexpr proxy_extent measure(std::string_view first) noexcept;
  /// Parses a whole header, and nothing else. Throws system_error with
  /// `error::malformed_proxy_header`, and what is wrong and what is accepted in what(). A checksum, if there
  /// is one, is verified. Addresses and TLVs of a LOCAL header are not read (section 2.2).
  [[nodiscard]] static proxy_header parse(std::string_view bytes);
  /// The bytes of the header. Version 1 has the addresses only; local sockets and UDP are UNKNOWN
  /// there. An IPv4 address beside an IPv6 one is written as an IPv4-mapped one. Throws
  /// std::invalid_argument if the header does not fit into max_v2_size, a value into its TLV, for a unique id
  /// of more than 128 bytes, and for one of two addresses.
  [[nodiscard]] std::string to_bytes(proxy_format format = {}) const;

  proxy_version version = proxy_version::v2;  ///< of a header that was parsed
  /// The proxy speaks for itself, for example to check the health of the server (LOCAL). The source is
  /// the peer then.
  bool is_local = false;
  bool is_datagram = false;  ///< the client uses UDP, or a local datagram socket
  /// The client, and the address to which it has connected. Both or neither are set; neither if the
  /// proxy does not know them, or if its client uses a local socket.
  std::optional<endpoint> source;
  std::optional<endpoint> destination;
  /// The same for a client that uses a local socket of the proxy's machine.
  std::optional<local_endpoint> local_source;
  std::optional<local_endpoint> local_destination;
  std::string protocol;          ///< the application protocol (ALPN), such as h2
  std::string authority;         ///< the host that the client asks for (SNI)
  std::string unique_id;         ///< of the connection, at most 128 bytes of any value
  std::string netns;             ///< the name of the network namespace
  std::optional<proxy_tls> tls;  ///< set if the proxy tells about TLS
  std::vector<proxy_tlv> tlvs;   ///< all others, in their order, unread

  friend COSOCK_API bool operator==(const proxy_header&, const proxy_header&);
};

/// Sends a header, as the first bytes of a connection: for a proxy that has accepted a connection,
/// `co_await send_proxy_header(server, proxy_header(client.remote_endpoint(), client.local_endpoint()))`.
/// Errors: those of byte_stream::send(); std::invalid_argument as for to_bytes(), before a byte is sent.
/// Cancelled: the connection is of no use any more if a part was sent (transfer_error). `to` and
/// `header` must outlive the `co_await`.
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
