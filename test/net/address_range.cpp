// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/address_range.hpp>

#define BOOST_TEST_MODULE address_range
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/serve.hpp>
#include <cosock/udp.hpp>

#include <limits>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

using cosock::address;
using cosock::address_filter;
using cosock::address_range;
using cosock::error;

namespace {

address_range range(std::string_view text) { return address_range::parse(text); }

bool contains(std::string_view network, std::string_view a) {
  return range(network).contains(address::parse(a));
}

/// The text of the exception that the function throws.
template <class F>
std::string message_of(F make) {
  try {
    (void)make();
  } catch (const boost::system::system_error& e) {
    BOOST_TEST(test::is(error::invalid_address)(e));
    BOOST_TEST(test::is(boost::system::errc::invalid_argument)(e));
    return e.what();
  }
  return "accepted";
}
std::string refusal_of(const std::string& text) {
  return message_of([&] { return range(text); });
}

const std::string not_a_network =
    ": not a network or an address, as 10.0.0.0/8, fe80::/10 or 192.0.2.1";
const std::string not_v4_length = ": the prefix length of an IPv4 network is a number from 0 to 32";
const std::string not_v6_length =
    ": the prefix length of an IPv6 network is a number from 0 to 128";

}  // namespace

BOOST_AUTO_TEST_CASE(ranges_and_filters_are_plain_values) {
  static_assert(std::is_trivially_copyable_v<address_range>);
  static_assert(
      std::is_trivially_destructible_v<address_filter>);  // safe in option structs: GCC 12
  static_assert(std::is_trivially_destructible_v<cosock::udp_socket_options>);
  static_assert(std::is_aggregate_v<address_filter>);
  constexpr address_range all;
  static_assert(all.network() == address() && all.prefix_length() == 32);
  constexpr address_range ten(address(address::v4_bytes{10}), 8);
  static_assert(ten.network() == address(address::v4_bytes{10}) && ten.prefix_length() == 8);
  static_assert(ten != all);
  BOOST_TEST(ten == range("10.0.0.0/8"));
  BOOST_TEST(ten != range("10.0.0.0/9"));
  std::ostringstream out;
  out << ten;
  BOOST_TEST(out.str() == "10.0.0.0/8");
}

BOOST_AUTO_TEST_CASE(networks_are_parsed_and_printed) {
  for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "192.0.2.1/32",
                           "128.0.0.0/1", "255.255.255.254/31", "::/0", "fe80::/10", "8000::/1",
                           "2001:db8::/32", "::1/128", "2001:db8::8/125"})
    BOOST_TEST(range(text).to_string() == text);
  BOOST_TEST(range("192.0.2.1").to_string() == "192.0.2.1/32");
  BOOST_TEST(range("2001:DB8:0::1").to_string() == "2001:db8::1/128");
  BOOST_TEST(range("FE80::/10") == range("fe80::/10"));
}

BOOST_AUTO_TEST_CASE(ipv4_mapped_networks_are_ipv4_networks) {
  BOOST_TEST(range("::ffff:10.0.0.0/104") == range("10.0.0.0/8"));
  BOOST_TEST(range("::ffff:0:0/96") == range("0.0.0.0/0"));
  BOOST_TEST(range("::ffff:192.0.2.1") == range("192.0.2.1"));
  BOOST_TEST(range("::ffff:192.0.2.1/128").to_string() == "192.0.2.1/32");
  BOOST_TEST(range("::ffff:0:0:0/96").to_string() == "::ffff:0:0:0/96");  // not mapped
  BOOST_TEST(range("::10.0.0.0/104").to_string() == "::10.0.0.0/104");
}

BOOST_AUTO_TEST_CASE(other_text_is_refused_with_the_text_and_the_reason) {
  const std::string nul = "10.0.0.0/8" + std::string(1, '\0');
  const std::pair<std::string, std::string> table[] = {
      {"", not_a_network},
      {"/", not_a_network},
      {"/8", not_a_network},
      {"10", not_a_network},
      {"10/8", not_a_network},
      {"10.0.0/8", not_a_network},
      {"010.0.0.0/8", not_a_network},
      {"0x0a.0.0.0/8", not_a_network},
      {"10.0.0.0 /8", not_a_network},
      {" 10.0.0.0/8", not_a_network},
      {"10.0.0.0:80", not_a_network},
      {"localhost", not_a_network},
      {"localhost/8", not_a_network},
      {"[::1]/128", not_a_network},
      {"10.0.0.0%1/8", not_a_network},
      {"%1/8", not_a_network},
      {"10.0.0.0-10.0.0.9", not_a_network},
      {"10.0.0.0/", not_v4_length},
      {"10.0.0.0/33", not_v4_length},
      {"10.0.0.0/4294967304", not_v4_length},
      {"10.0.0.0/-1", not_v4_length},
      {"10.0.0.0/+8", not_v4_length},
      {"10.0.0.0/ 8", not_v4_length},
      {"10.0.0.0/8 ", not_v4_length},
      {"10.0.0.0/08", not_v4_length},
      {"10.0.0.0/0x8", not_v4_length},
      {"10.0.0.0/8/8", not_v4_length},
      {"10.0.0.0/255.0.0.0", not_v4_length},
      {"::/", not_v6_length},
      {"::/129", not_v6_length},
      {"fe80::/ten", not_v6_length},
      {"fe80::%1/10", ": a range of addresses has no scope id: fe80::/10 has none"},
      {"fe80::1%lo", ": a range of addresses has no scope id: fe80::1 has none"},
      {"fe80::1%nosuch", ": a range of addresses has no scope id: fe80::1 has none"},
      {"10.0.0.1/8", ": bits after the prefix are set: the network is 10.0.0.0/8"},
      {"10.1.2.3/0", ": bits after the prefix are set: the network is 0.0.0.0/0"},
      {"192.0.2.255/31", ": bits after the prefix are set: the network is 192.0.2.254/31"},
      {"192.0.2.129/25", ": bits after the prefix are set: the network is 192.0.2.128/25"},
      {"fe80::1/10", ": bits after the prefix are set: the network is fe80::/10"},
      {"ffff::/9", ": bits after the prefix are set: the network is ff80::/9"},
      {"::ffff:10.0.0.1/104", ": bits after the prefix are set: the network is 10.0.0.0/8"},
      {"::ffff:0:0/95", ": bits after the prefix are set: the network is ::fffe:0:0/95"},
  };
  for (const auto& [text, reason] : table)
    BOOST_TEST(refusal_of(text) == '"' + text + '"' + reason);
  BOOST_TEST(refusal_of(nul) == "\"10.0.0.0/8\\x00\"" + not_v4_length);
  BOOST_TEST(refusal_of("a\nb") == "\"a\\x0ab\"" + not_a_network);
  BOOST_TEST(refusal_of(std::string(100'000, '1')).size() < 1000u);
  BOOST_TEST(refusal_of("fe80::%" + std::string(100'000, '1')).size() < 1000u);
}

BOOST_AUTO_TEST_CASE(the_constructor_refuses_the_same) {
  const auto made = [](const char* network, unsigned length) {
    return message_of([&] { return address_range(address::parse(network), length); });
  };
  constexpr unsigned largest = std::numeric_limits<unsigned>::max();
  BOOST_TEST(made("10.0.0.0", 32) == "accepted");
  BOOST_TEST(made("10.0.0.0", 33) == "\"10.0.0.0/33\"" + not_v4_length);
  BOOST_TEST(made("::", 128) == "accepted");
  BOOST_TEST(made("::", 129) == "\"::/129\"" + not_v6_length);
  BOOST_TEST(made("::", largest) == "\"::/4294967295\"" + not_v6_length);
  BOOST_TEST(made("10.0.0.1", 8) ==
             "\"10.0.0.1/8\": bits after the prefix are set: the network is 10.0.0.0/8");
  BOOST_TEST(made("fe80::%123456", 10) ==
             "\"fe80::%123456/10\": a range of addresses has no scope id: fe80::/10 has none");
}

BOOST_AUTO_TEST_CASE(a_network_contains_what_begins_like_it) {
  BOOST_TEST(contains("10.0.0.0/8", "10.0.0.0"));
  BOOST_TEST(contains("10.0.0.0/8", "10.255.255.255"));
  BOOST_TEST(!contains("10.0.0.0/8", "9.255.255.255"));
  BOOST_TEST(!contains("10.0.0.0/8", "11.0.0.0"));
  BOOST_TEST(contains("172.16.0.0/12", "172.31.255.255"));
  BOOST_TEST(!contains("172.16.0.0/12", "172.32.0.0"));
  BOOST_TEST(!contains("172.16.0.0/12", "172.15.255.255"));
  BOOST_TEST(contains("fe80::/10", "febf:ffff::1"));
  BOOST_TEST(!contains("fe80::/10", "fec0::"));
  BOOST_TEST(!contains("fe80::/10", "fe7f:ffff::"));
  BOOST_TEST(contains("fe80::/10", "fe80::1%1"));  // any scope
  BOOST_TEST(contains("2001:db8::8/125", "2001:db8::f"));
  BOOST_TEST(!contains("2001:db8::8/125", "2001:db8::10"));
}

BOOST_AUTO_TEST_CASE(the_shortest_and_the_longest_prefix) {
  for (const char* a : {"0.0.0.0", "127.0.0.1", "255.255.255.255"}) {
    BOOST_TEST(contains("0.0.0.0/0", a));
    BOOST_TEST(!contains("::/0", a));
  }
  for (const char* a : {"::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    BOOST_TEST(contains("::/0", a));
    BOOST_TEST(!contains("0.0.0.0/0", a));
  }
  BOOST_TEST(contains("192.0.2.1/32", "192.0.2.1"));
  BOOST_TEST(!contains("192.0.2.1/32", "192.0.2.0"));
  BOOST_TEST(contains("192.0.2.0/31", "192.0.2.1"));
  BOOST_TEST(!contains("192.0.2.0/31", "192.0.2.2"));
  BOOST_TEST(contains("::1/128", "::1"));
  BOOST_TEST(!contains("::1/128", "::"));
  BOOST_TEST(contains("::/127", "::1"));
  BOOST_TEST(!contains("::/127", "::2"));
  BOOST_TEST(contains("128.0.0.0/1", "255.0.0.0"));
  BOOST_TEST(!contains("128.0.0.0/1", "127.255.255.255"));
}

BOOST_AUTO_TEST_CASE(an_ipv4_mapped_address_counts_as_its_ipv4_address) {
  BOOST_TEST(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
  BOOST_TEST(!contains("10.0.0.0/8", "::ffff:11.1.2.3"));
  BOOST_TEST(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
  BOOST_TEST(contains("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"));
  BOOST_TEST(contains("0.0.0.0/0", "::ffff:10.1.2.3"));
  BOOST_TEST(!contains("::/0", "::ffff:10.1.2.3"));
  BOOST_TEST(!contains("::/80", "::ffff:10.1.2.3"));
  BOOST_TEST(!contains("10.0.0.0/8", "::10.1.2.3"));  // compatible, not mapped
  BOOST_TEST(contains("10.0.0.0/8", "::ffff:10.1.2.3%1"));
}

BOOST_AUTO_TEST_CASE(networks_that_are_not_global) {
  const address_filter global{.deny = address_range::non_global_networks()};
  for (const char* a : {"0.0.0.0",
                        "0.1.2.3",
                        "10.0.0.1",
                        "100.64.0.1",
                        "100.127.255.255",
                        "127.0.0.1",
                        "127.9.9.9",
                        "169.254.169.254",
                        "172.16.0.1",
                        "172.31.255.255",
                        "192.0.0.1",
                        "192.0.2.1",
                        "192.168.1.1",
                        "198.18.0.1",
                        "198.19.255.255",
                        "198.51.100.1",
                        "203.0.113.1",
                        "224.0.0.1",
                        "239.255.255.250",
                        "240.0.0.1",
                        "255.255.255.255",
                        "::",
                        "::1",
                        "::127.0.0.1",
                        "::ffff:127.0.0.1",
                        "::ffff:169.254.169.254",
                        "64:ff9b::10.0.0.1",
                        "64:ff9b:1::1",
                        "100::1",
                        "1fff::1",
                        "2001::1",
                        "2001:1ff:ffff::1",
                        "2001:db8::1",
                        "2002:a00:1::1",
                        "3fff::1",
                        "4000::1",
                        "5f00::1",
                        "8000::1",
                        "fc00::1",
                        "fd00:ec2::254",
                        "fe80::1",
                        "fe80::1%1",
                        "fec0::1",
                        "ff02::1"})
    BOOST_TEST(!global.permits(address::parse(a)), a);
  for (const char* a : {"1.1.1.1",         "8.8.8.8",     "9.255.255.255",        "11.0.0.0",
                        "100.63.255.255",  "100.128.0.0", "126.255.255.255",      "128.0.0.0",
                        "169.253.255.255", "169.255.0.0", "172.15.255.255",       "172.32.0.0",
                        "192.0.1.0",       "192.0.3.0",   "192.167.255.255",      "192.169.0.0",
                        "198.17.255.255",  "198.20.0.0",  "223.255.255.255",      "::ffff:8.8.8.8",
                        "2000::1",         "2001:200::1", "2001:4860:4860::8888", "2001:db7::1",
                        "2001:db9::1",     "2003::1",     "2606:4700::1111",      "3ffe::1",
                        "3fff:1000::1"})
    BOOST_TEST(global.permits(address::parse(a)), a);
}

BOOST_AUTO_TEST_CASE(a_filter_permits_what_is_allowed_and_not_denied) {
  const auto permits = [](const address_filter& filter, const char* a) {
    return filter.permits(address::parse(a));
  };
  const std::vector<address_range> ten = {range("10.0.0.0/8"), range("fd00::/8")};
  const std::vector<address_range> one = {range("10.0.0.1")};

  const address_filter none;
  BOOST_TEST(none.is_empty());
  BOOST_TEST(permits(none, "10.0.0.1"));
  BOOST_TEST(permits(none, "0.0.0.0"));

  const address_filter allow{.allow = ten};
  BOOST_TEST(!allow.is_empty());
  BOOST_TEST(permits(allow, "10.0.0.1"));
  BOOST_TEST(permits(allow, "::ffff:10.0.0.1"));
  BOOST_TEST(permits(allow, "fd00::1"));
  BOOST_TEST(!permits(allow, "11.0.0.1"));
  BOOST_TEST(!permits(allow, "::1"));

  const address_filter deny{.deny = one};
  BOOST_TEST(!deny.is_empty());
  BOOST_TEST(!permits(deny, "10.0.0.1"));
  BOOST_TEST(!permits(deny, "::ffff:10.0.0.1"));
  BOOST_TEST(permits(deny, "10.0.0.2"));

  const address_filter both{.allow = ten, .deny = one};
  BOOST_TEST(!permits(both, "10.0.0.1"));
  BOOST_TEST(permits(both, "10.0.0.2"));
  BOOST_TEST(!permits(both, "11.0.0.1"));
  const address_filter contradicts{.allow = one, .deny = ten};
  BOOST_TEST(!permits(contradicts, "10.0.0.1"));
}

BOOST_AUTO_TEST_CASE(unspecified_addresses_are_permitted_if_loopback_is_too) {
  const address_range loopback[] = {range("127.0.0.0/8"), range("::1")};
  const address_filter remote{.deny = loopback};
  for (const char* a : {"0.0.0.0", "::ffff:0.0.0.0", "::", "127.0.0.1", "::1"})
    BOOST_TEST(!remote.permits(address::parse(a)), a);
  const address_range unspecified[] = {range("0.0.0.0"), range("::")};
  const address_filter named{.deny = unspecified};
  for (const char* a : {"0.0.0.0", "::ffff:0.0.0.0", "::"})
    BOOST_TEST(!named.permits(address::parse(a)), a);
  BOOST_TEST(named.permits(address::loopback_v4()));
  const address_range v4[] = {range("0.0.0.0/0")};
  const address_filter only_v4{.allow = v4};
  BOOST_TEST(only_v4.permits(address::any_v4()));
  BOOST_TEST(!only_v4.permits(address::any_v6()));
}
