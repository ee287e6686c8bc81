// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Addresses, address ranges, endpoints and ports: what is parsed is what inet_pton(3) takes, and its text is parsed
// to the same again.

#include "input.hpp"

#include <cosock/address.hpp>
#include <cosock/address_range.hpp>

#include <arpa/inet.h>

#include <algorithm>

using cosock::address;
using cosock::address_range;
using cosock::endpoint;

namespace {

bool system_parses(const std::string& text) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, text.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

void check_address(std::string_view text) {
  address parsed;
  const bool good = address::try_parse(text, parsed);
  if (text.find('%') == text.npos && text.find('\0') == text.npos)
    REQUIRE(good == system_parses(std::string(text)));
  const auto error = fuzz::error_of([&] { REQUIRE(address::parse(text) == parsed); });
  REQUIRE(good ? !error : error == cosock::error::invalid_address);
  if (!good) return;
  REQUIRE(address::parse(parsed.to_string()) == parsed);
  REQUIRE(parsed.unmapped().bytes().size() == 16);
}

void check_range(std::string_view text) {
  address_range parsed;
  const auto error = fuzz::error_of([&] { parsed = address_range::parse(text); });
  REQUIRE(!error || error == cosock::error::invalid_address);
  if (error) return;
  REQUIRE(address_range::parse(parsed.to_string()) == parsed);
  REQUIRE(address_range(parsed.network(), parsed.prefix_length()) == parsed);
  REQUIRE(parsed.contains(parsed.network()));
}

/// A range that is made from an address contains it.
void check_contains(const address& a, unsigned prefix_length) {
  const address plain = a.unmapped();
  const unsigned bits = plain.is_v6() ? 128 : 32;
  REQUIRE(address_range(plain, bits).contains(a));
  address_range range;
  const auto error = fuzz::error_of([&] { range = address_range(plain, prefix_length); });
  if (!error) {
    cosock::address_filter filter;
    filter.deny = {&range, 1};
    REQUIRE(range.contains(a));
    REQUIRE(!filter.permits(a));
  }
  REQUIRE(prefix_length <= bits || error == cosock::error::invalid_address);
}

void check_endpoint(std::string_view text) {
  endpoint parsed;
  const auto error = fuzz::error_of([&] { parsed = endpoint::parse(text); });
  REQUIRE(!error || error == cosock::error::invalid_address ||
          error == cosock::error::service_not_found);
  if (!error) REQUIRE(endpoint::parse(parsed.to_string()) == parsed);
}

void check_port(std::string_view text) {
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  unsigned long value = 0;
  for (std::size_t i = 0; digits && i != text.size() && value < 65536; ++i)
    value = value * 10 + static_cast<unsigned long>(text[i] - '0');
  std::uint16_t port = 0;
  const auto error = fuzz::error_of([&] { port = cosock::endpoint::parse_port(text); });
  const bool good = digits && value < 65536;
  REQUIRE(good ? !error && port == value : error == cosock::error::service_not_found);
}

}  // namespace

void fuzz_one(fuzz::input in) {
  const std::size_t kind = in.below(7);
  if (kind == 0) return check_address(in.rest());
  if (kind == 1) return check_endpoint(in.rest());
  if (kind == 2) return check_port(in.rest());
  if (kind == 5) return check_range(in.rest());
  address::v6_bytes v6;
  for (unsigned char& each : v6) each = in.byte();
  const auto scope = static_cast<std::uint32_t>(in.number());
  if (kind == 6) return check_contains(address(v6), static_cast<unsigned>(in.number()) % 200);
  const address made =
      kind == 3 ? address(v6, scope) : address(address::v4_bytes{v6[0], v6[1], v6[2], v6[3]});
  REQUIRE(address::parse(made.to_string()) == made);
  const endpoint with_port(made, static_cast<std::uint16_t>(in.number()));
  REQUIRE(endpoint::parse(with_port.to_string()) == with_port);
}
