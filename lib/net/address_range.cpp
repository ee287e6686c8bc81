// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/address_range.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"

#include <endian.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <ostream>

namespace cosock {

namespace {

using v4_bytes = address::v4_bytes;
using v6_bytes = address::v6_bytes;

constexpr address_range non_global[] = {
    {address(v4_bytes{0}), 8},                        // "this network", RFC 791
    {address(v4_bytes{10}), 8},                       // private, RFC 1918
    {address(v4_bytes{100, 64}), 10},                 // shared, RFC 6598
    {address(v4_bytes{127}), 8},                      // loopback, RFC 1122
    {address(v4_bytes{169, 254}), 16},                // link-local, RFC 3927
    {address(v4_bytes{172, 16}), 12},                 // private, RFC 1918
    {address(v4_bytes{192, 0, 0}), 24},               // protocol assignments, RFC 6890
    {address(v4_bytes{192, 0, 2}), 24},               // documentation, RFC 5737
    {address(v4_bytes{192, 168}), 16},                // private, RFC 1918
    {address(v4_bytes{198, 18}), 15},                 // benchmarks, RFC 2544
    {address(v4_bytes{198, 51, 100}), 24},            // documentation, RFC 5737
    {address(v4_bytes{203, 0, 113}), 24},             // documentation, RFC 5737
    {address(v4_bytes{224}), 4},                      // multicast, RFC 5771
    {address(v4_bytes{240}), 4},                      // reserved, RFC 1112; broadcast, RFC 919
    {address(v6_bytes{}), 3},                         // ::, ::1, NAT64; all before global unicast
    {address(v6_bytes{0x40}), 2},                     // behind it, RFC 4291
    {address(v6_bytes{0x80}), 1},                     // unique local, link-local, multicast
    {address(v6_bytes{0x20, 0x01}), 23},              // protocol assignments, RFC 2928
    {address(v6_bytes{0x20, 0x01, 0x0d, 0xb8}), 32},  // documentation, RFC 3849
    {address(v6_bytes{0x20, 0x02}), 16},              // 6to4, RFC 3056
    {address(v6_bytes{0x3f, 0xff}), 20},              // documentation, RFC 9637
};

/// An address as numbers, which are compared faster than bytes. An IPv4-mapped one is IPv4.
struct address_bits {
  explicit address_bits(const address& a) noexcept {
    const address plain = a.unmapped();
    v6 = plain.is_v6();
    std::memcpy(words, plain.bytes().data(), sizeof words);
    for (std::uint64_t& word : words) word = be64toh(word);
  }
  bool is_in(const address_range& range) const noexcept {
    if (v6 != range.network().is_v6()) return false;
    std::uint64_t network[2];
    std::memcpy(network, range.network().bytes().data(), sizeof network);
    const unsigned bits = range.prefix_length();
    if (bits == 0) return true;
    const std::uint64_t high = words[0] ^ be64toh(network[0]);
    if (bits <= 64) return high >> (64 - bits) == 0;
    return high == 0 && (words[1] ^ be64toh(network[1])) >> (128 - bits) == 0;
  }
  bool is_in_any(std::span<const address_range> ranges) const noexcept {
    return std::any_of(ranges.begin(), ranges.end(),
                       [this](const address_range& range) { return is_in(range); });
  }

  std::uint64_t words[2];
  bool v6;
};

/// The address with the bits after the prefix set to zero.
address first_address(const address& a, unsigned prefix_length) noexcept {
  v6_bytes bytes = a.bytes();
  for (unsigned bit = prefix_length; bit < bytes.size() * 8; ++bit)
    bytes[bit / 8] &= static_cast<unsigned char>(~(0x80u >> bit % 8));
  if (a.is_v6()) return address(bytes);
  return address(v4_bytes{bytes[0], bytes[1], bytes[2], bytes[3]});
}

[[noreturn]] void raise_invalid(const std::string& text) {
  detail::raise_as(detail::own_failure(error::invalid_address), text);
}

/// `shown` is the range as the message quotes it.
[[noreturn]] void raise_prefix_length(const std::string& shown, const address& network) {
  raise_invalid(shown + (network.is_v6()
                             ? ": the prefix length of an IPv6 network is a number from 0 to 128"
                             : ": the prefix length of an IPv4 network is a number from 0 to 32"));
}
[[noreturn]] void raise_scope_id(const std::string& shown, const std::string& without) {
  raise_invalid(shown + ": a range of addresses has no scope id: " + without + " has none");
}
[[noreturn]] void raise_bits_set(const std::string& shown, const address& network,
                                 unsigned prefix_length) {
  const address_range meant(first_address(network, prefix_length), prefix_length);
  raise_invalid(shown + ": bits after the prefix are set: the network is " + meant.to_string());
}

address without_scope_id(const address& a) noexcept { return a.is_v6() ? address(a.bytes()) : a; }

}  // namespace

void address_range::refuse(const address& network, unsigned prefix_length) {
  const std::string length = '/' + std::to_string(prefix_length);
  const std::string shown = detail::in_quotes(network.to_string() + length);
  if (network.scope_id() != 0)
    raise_scope_id(shown, without_scope_id(network).to_string() + length);
  if (prefix_length > max_prefix_length(network)) raise_prefix_length(shown, network);
  raise_bits_set(shown, network, prefix_length);
}

address_range address_range::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  address network;
  if (!address::try_parse(host.substr(0, host.find('%')), network) ||
      (network.is_v4() && host.find('%') != host.npos))
    raise_invalid(detail::in_quotes(text) +
                  ": not a network or an address, as 10.0.0.0/8, fe80::/10 or 192.0.2.1");
  if (const std::size_t percent = host.find('%'); percent != host.npos) {
    std::string without(host.substr(0, percent));
    if (slash != text.npos) without += text.substr(slash);
    raise_scope_id(detail::in_quotes(text), detail::printable(without));
  }
  unsigned prefix_length = max_prefix_length(network);
  if (slash != text.npos) {
    const std::string_view digits = text.substr(slash + 1);
    const char* const end = digits.data() + digits.size();
    const auto [stop, failed] = std::from_chars(digits.data(), end, prefix_length);
    const bool leading_zero = digits.size() > 1 && digits.front() == '0';
    if (failed != std::errc() || stop != end || leading_zero ||
        prefix_length > max_prefix_length(network))
      raise_prefix_length(detail::in_quotes(text), network);
  }
  if (!is_zero_after(network, prefix_length))
    raise_bits_set(detail::in_quotes(text), network, prefix_length);
  return {network, prefix_length};
}

std::span<const address_range> address_range::non_global_networks() noexcept { return non_global; }

bool address_range::contains(const address& a) const noexcept {
  return address_bits(a).is_in(*this);
}

std::string address_range::to_string() const {
  return network_.to_string() + '/' + std::to_string(prefix_length_);
}

std::ostream& operator<<(std::ostream& out, const address_range& r) { return out << r.to_string(); }

bool address_filter::permits(const address& a) const noexcept {
  const address_bits bits(a);
  if (!allow.empty() && !bits.is_in_any(allow)) return false;
  if (bits.is_in_any(deny)) return false;
  const bool unspecified = (bits.words[0] | bits.words[1]) == 0;
  return !unspecified || permits(bits.v6 ? address::loopback_v6() : address::loopback_v4());
}

}  // namespace cosock
