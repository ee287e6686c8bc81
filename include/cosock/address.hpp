// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

namespace cosock {

/// Which addresses a look-up wants.
enum class family : unsigned char { any, v4, v6 };

/// An IPv4 or IPv6 address. An IPv6 address may have a scope id, the index of an interface, and a
/// link-local address must have one to be used (RFC 4007); sockets use this interface, and refuse an
/// index that no interface has with no_such_device. A value; the default is 0.0.0.0.
class COSOCK_API address {
 public:
  /// The bytes of an address, in network order.
  using v4_bytes = std::array<unsigned char, 4>;
  using v6_bytes = std::array<unsigned char, 16>;

  constexpr address() noexcept = default;
  /// Made from its bytes and, for IPv6, the index of an interface (0: no scope id).
  constexpr explicit address(const v4_bytes& bytes) noexcept {
    for (std::size_t i = 0; i != 4; ++i) bytes_[i] = bytes[i];
  }
  constexpr explicit address(const v6_bytes& bytes, std::uint32_t scope_id = 0) noexcept
      : bytes_(bytes), scope_id_(scope_id), v6_(true) {}

  /// Parses `192.0.2.1`, `2001:db8::1`, `fe80::1%eth0` or `fe80::1%2`. Throws system_error with
  /// `error::invalid_address`, with the text in what(), for anything else: host names, ports, short
  /// and octal forms, and the name of an interface that does not exist. A scope id that is a number
  /// is not checked.
  [[nodiscard]] static address parse(std::string_view text);
  /// Like parse(), but returns false and leaves `into` unchanged if the text is not an address.
  [[nodiscard]] static bool try_parse(std::string_view text, address& into) noexcept;

  /// The loopback addresses 127.0.0.1 and ::1, and the unspecified addresses 0.0.0.0 and ::, which
  /// stand for all interfaces.
  [[nodiscard]] static constexpr address loopback_v4() noexcept {
    return address(v4_bytes{127, 0, 0, 1});
  }
  [[nodiscard]] static constexpr address loopback_v6() noexcept {
    return address(v6_bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  }
  [[nodiscard]] static constexpr address any_v4() noexcept { return address(v4_bytes{}); }
  [[nodiscard]] static constexpr address any_v6() noexcept { return address(v6_bytes{}); }

  /// The address family. An IPv4-mapped address is an IPv6 address.
  [[nodiscard]] constexpr bool is_v4() const noexcept { return !v6_; }
  [[nodiscard]] constexpr bool is_v6() const noexcept { return v6_; }
  /// 127.0.0.0/8 or ::1.
  [[nodiscard]] bool is_loopback() const noexcept;
  /// 0.0.0.0 or ::.
  [[nodiscard]] bool is_any() const noexcept;
  /// 224.0.0.0/4 or ff00::/8.
  [[nodiscard]] bool is_multicast() const noexcept;
  /// ::ffff:0:0/96: an IPv4 address as an IPv6 socket shows it.
  [[nodiscard]] bool is_v4_mapped() const noexcept;
  /// The IPv4 address inside an IPv4-mapped one, without its scope id; any other unchanged.
  [[nodiscard]] address unmapped() const noexcept;

  /// The bytes in network order. An IPv4 address uses the first four.
  [[nodiscard]] constexpr const v6_bytes& bytes() const noexcept { return bytes_; }
  /// The index of the interface of an IPv6 address; 0: no scope id.
  [[nodiscard]] constexpr std::uint32_t scope_id() const noexcept { return scope_id_; }

  /// The usual text, for IPv6 that of RFC 5952. A scope id is shown as the name of its interface, or
  /// as a number if no interface has it.
  [[nodiscard]] std::string to_string() const;

  /// IPv4 before IPv6, then by bytes, then by scope id.
  friend constexpr bool operator==(const address&, const address&) noexcept = default;
  friend constexpr std::strong_ordering operator<=>(const address& a, const address& b) noexcept {
    if (auto c = a.v6_ <=> b.v6_; std::is_neq(c)) return c;
    if (auto c = a.bytes_ <=> b.bytes_; std::is_neq(c)) return c;
    return a.scope_id_ <=> b.scope_id_;
  }
  friend COSOCK_API std::ostream& operator<<(std::ostream&, const address&);

 private:
  v6_bytes bytes_{};
  std::uint32_t scope_id_ = 0;
  bool v6_ = false;
};

/// An address and a port. A value; the default is 0.0.0.0:0.
class COSOCK_API endpoint {
 public:
  constexpr endpoint() noexcept = default;
  /// The port is in host byte order, here and in port().
  constexpr endpoint(const cosock::address& address, std::uint16_t port) noexcept
      : address_(address), port_(port) {}

  /// Parses `192.0.2.1:80`, `[2001:db8::1]:80` or `[fe80::1%eth0]:80`. Throws system_error with the
  /// text in what() for anything else: `error::service_not_found` if only the port is wrong,
  /// `error::invalid_address` otherwise.
  [[nodiscard]] static endpoint parse(std::string_view text);
  /// Parses a decimal port from 0 to 65535. Throws system_error with `error::service_not_found`, and
  /// the text in what(), for anything else, such as service names, signs and spaces.
  [[nodiscard]] static std::uint16_t parse_port(std::string_view text);

  /// The address and the port.
  [[nodiscard]] constexpr const cosock::address& address() const noexcept { return address_; }
  [[nodiscard]] constexpr std::uint16_t port() const noexcept { return port_; }

  /// `192.0.2.1:80`, or `[2001:db8::1]:80`.
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(const endpoint&, const endpoint&) noexcept = default;
  friend constexpr auto operator<=>(const endpoint&, const endpoint&) noexcept = default;
  friend COSOCK_API std::ostream& operator<<(std::ostream&, const endpoint&);

 private:
  cosock::address address_;
  std::uint16_t port_ = 0;
};

}  // namespace cosock
