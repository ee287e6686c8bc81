// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>

namespace cosock {

/// A network: the addresses of one family that begin with the same bits (RFC 4632, section 3.1; RFC
/// 4291, section 2.3). A value; the default is 0.0.0.0/32, the default address alone.
///
/// IPv4-mapped IPv6 addresses count as IPv4 addresses. So ::ffff:10.0.0.0/104 is the range 10.0.0.0/8,
/// and ::ffff:0:0/96 contains all IPv4 addresses. No IPv6 range contains an IPv4-mapped address, not
/// even ::/0.
class COSOCK_API address_range {
 public:
  constexpr address_range() noexcept = default;
  /// The addresses whose first `prefix_length` bits are those of `network`. Throws system_error with
  /// `error::invalid_address`, and the network in what(), if the length is more than 32 for IPv4 or
  /// 128 for IPv6, if the bits of `network` after it are not zero, and for an address with a scope id.
  constexpr address_range(const address& network, unsigned prefix_length)
      : network_(network), prefix_length_(prefix_length) {
    if (network.scope_id() != 0 || prefix_length > max_prefix_length(network) ||
        !is_zero_after(network, prefix_length))
      refuse(network, prefix_length);
    if (network.is_v6() && prefix_length >= 96 && is_v4_mapped(network.bytes())) {
      const address::v6_bytes& b = network.bytes();
      network_ = address(address::v4_bytes{b[12], b[13], b[14], b[15]});
      prefix_length_ = prefix_length - 96;
    }
  }

  /// Parses a network in CIDR notation, `10.0.0.0/8` or `fe80::/10`, or a single address,
  /// `192.0.2.1` or `2001:db8::1`. Throws system_error with `error::invalid_address`, which equals
  /// invalid_argument, for any other text, and if the constructor refuses the network: an address
  /// behind the prefix, as in `10.0.0.1/8`, a prefix length that is too large, a scope id. what() has
  /// the text and the reason, and if bits after the prefix are set, the network with these bits zero.
  [[nodiscard]] static address_range parse(std::string_view text);

  /// The networks whose addresses are not those of hosts on the Internet: for address_filter::deny in
  /// a program that connects to where others ask it to.
  ///
  /// IPv4: the networks that the IANA special-purpose address registry (RFC 6890) lists as not
  /// globally reachable, and multicast. These are loopback, link-local, private (RFC 1918) and shared
  /// addresses, addresses for documentation and for tests, and reserved ones.
  ///
  /// IPv6: all addresses outside of 2000::/3, because IANA assigns global unicast addresses only
  /// there. These include loopback, unique local (RFC 4193), link-local, multicast and NAT64 (RFC
  /// 6052) addresses. And inside of 2000::/3: protocol assignments (RFC 2928), documentation (RFC
  /// 3849, RFC 9637) and 6to4 (RFC 3056). A host that reaches IPv4 only through NAT64 needs a list of
  /// its own.
  [[nodiscard]] static std::span<const address_range> non_global_networks() noexcept;

  /// Whether the address is in the network. The scope id of the address does not matter. An
  /// IPv4-mapped address is in the ranges that its IPv4 address is in, and in no others.
  [[nodiscard]] bool contains(const address& a) const noexcept;

  /// The first address of the network.
  [[nodiscard]] constexpr const address& network() const noexcept { return network_; }
  /// The number of bits that all addresses of the network share.
  [[nodiscard]] constexpr unsigned prefix_length() const noexcept { return prefix_length_; }

  /// `10.0.0.0/8`; for a single address `192.0.2.1/32`.
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(const address_range&, const address_range&) noexcept = default;
  friend COSOCK_API std::ostream& operator<<(std::ostream&, const address_range&);

 private:
  static constexpr unsigned max_prefix_length(const address& a) noexcept {
    return a.is_v6() ? 128 : 32;
  }
  static constexpr bool is_zero_after(const address& a, unsigned prefix_length) noexcept {
    for (unsigned bit = prefix_length; bit != max_prefix_length(a); ++bit)
      if ((a.bytes()[bit / 8] >> (7 - bit % 8) & 1) != 0) return false;
    return true;
  }
  static constexpr bool is_v4_mapped(const address::v6_bytes& bytes) noexcept {
    for (unsigned i = 0; i != 12; ++i)
      if (bytes[i] != (i < 10 ? 0 : 0xff)) return false;
    return true;
  }
  [[noreturn]] static void refuse(const address& network, unsigned prefix_length);

  address network_;
  unsigned prefix_length_ = 32;
};

/// Which addresses a socket may communicate with: a list of networks that are allowed, and one of
/// networks that are denied. The default permits all. The arrays that the spans refer to outlive every
/// use of the filter; the options that have one say how long that is. A check compares the address
/// with one range after the other, so it takes time in proportion to the length of the lists.
struct address_filter {
  /// Only addresses in one of these are permitted; empty: all.
  std::span<const address_range> allow = {};
  /// Addresses in one of these are not permitted, even if `allow` contains them.
  std::span<const address_range> deny = {};

  /// Whether the address is permitted. IPv4-mapped addresses count as IPv4 addresses. 0.0.0.0 and ::
  /// are permitted only if the loopback address of their family is permitted too, because the system
  /// takes them for it in a destination.
  [[nodiscard]] COSOCK_API bool permits(const address& a) const noexcept;
  /// Whether all addresses are permitted because both lists are empty.
  [[nodiscard]] bool is_empty() const noexcept { return allow.empty() && deny.empty(); }
};

}  // namespace cosock
