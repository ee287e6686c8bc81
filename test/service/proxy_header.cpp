// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/proxy_header.hpp>

#define BOOST_TEST_MODULE proxy_header
#include "support.hpp"

#include <cosock/error.hpp>

#include <ostream>
#include <stdexcept>

// The parser and the writer of PROXY headers, by the tables of the specification.

namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using cosock::address;
using cosock::endpoint;
using cosock::local_endpoint;
using cosock::proxy_extent;
using cosock::proxy_header;
using cosock::proxy_version;
using state = proxy_extent::state;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

/// A header of version 2 with these two bytes, and this block behind the length.
std::string v2(unsigned char command, unsigned char family, const std::string& block = {}) {
  std::string bytes = signature;
  bytes += static_cast<char>(command);
  bytes += static_cast<char>(family);
  bytes += static_cast<char>(block.size() >> 8);
  bytes += static_cast<char>(block.size() & 0xff);
  return bytes + block;
}
const std::string v4_block = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb"s;
std::string tlv(unsigned char type, const std::string& value) {
  return static_cast<char>(type) +
         std::string{static_cast<char>(value.size() >> 8), static_cast<char>(value.size() & 0xff)} +
         value;
}
std::string with_tlvs(const std::string& tlvs) { return v2(0x21, 0x11, v4_block + tlvs); }
std::string path(std::string name) {
  name.resize(108);
  return name;
}

/// The text of the error, or "accepted".
std::string refusal(std::string_view bytes) {
  try {
    static_cast<void>(proxy_header::parse(bytes));
  } catch (const boost::system::system_error& e) {
    BOOST_TEST((e.code() == cosock::error::malformed_proxy_header));
    return e.what();
  }
  return "accepted";
}

const endpoint source(address(address::v4_bytes{192, 0, 2, 1}), 0x1234);
const endpoint destination(address(address::v4_bytes{198, 51, 100, 2}), 443);

// Where a header ends is known at compile time too.
static_assert(proxy_header::measure("PROXY UNKNOWN\r\nx").size == 15);
static_assert(proxy_header::measure("GET / HTTP/1.1").found == state::none);
static_assert(proxy_header::measure("").found == state::incomplete);

}  // namespace

BOOST_AUTO_TEST_CASE(each_prefix_of_a_header_is_incomplete_and_what_is_behind_it_does_not_count) {
  for (const std::string& whole :
       {"PROXY UNKNOWN\r\n"s, "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"s, v2(0x20, 0),
        v2(0x21, 0x11, v4_block), with_tlvs(tlv(0xe0, std::string(1000, 'x')))}) {
    for (std::size_t n = 0; n != whole.size(); ++n) {
      const proxy_extent begin = proxy_header::measure(std::string_view(whole).substr(0, n));
      BOOST_TEST((begin.found == state::incomplete));
      BOOST_TEST(begin.size > n);
      BOOST_TEST(begin.size <= whole.size());
    }
    for (const std::string_view behind : {""sv, "x"sv, "\r\n\r\n"sv}) {
      const proxy_extent all = proxy_header::measure(whole + std::string(behind));
      BOOST_TEST((all.found == state::complete));
      BOOST_TEST(all.size == whole.size());
    }
  }
}

BOOST_AUTO_TEST_CASE(the_first_byte_that_differs_from_both_signatures_decides) {
  for (const std::string& of : {"PROXY "s, signature})
    for (std::size_t n = 0; n != of.size(); ++n)
      for (const char other : {'\0', ' ', 'P', '\r', '\n', '\xff'}) {
        std::string first = of.substr(0, n) + other;
        if (of[n] == other || (n == 0 && (other == 'P' || other == '\r'))) continue;
        BOOST_TEST((proxy_header::measure(first).found == state::none));
      }
  BOOST_TEST((proxy_header::measure("PROXYX").found == state::none));
  BOOST_TEST((proxy_header::measure("proxy TCP4").found == state::none));
}

BOOST_AUTO_TEST_CASE(a_line_has_at_most_107_bytes) {
  // The worst case of the specification, section 2.1.
  const std::string longest =
      "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
  BOOST_TEST(longest.size() == 107u);
  BOOST_TEST(refusal(longest) == "accepted");
  const std::string text = "PROXY UNKNOWN " + std::string(300, 'x');
  BOOST_TEST((proxy_header::measure(text.substr(0, 106)).found == state::incomplete));
  BOOST_TEST((proxy_header::measure(text.substr(0, 107)).found == state::malformed));
  BOOST_TEST((proxy_header::measure(text.substr(0, 105) + "\r\n").found == state::complete));
  BOOST_TEST((proxy_header::measure(text.substr(0, 106) + "\r\n").found == state::malformed));
  BOOST_TEST(refusal(text).ends_with("a line of version 1 ends with CR LF within 107 bytes"));
}

BOOST_AUTO_TEST_CASE(lines_say_the_addresses_of_both_families) {
  const proxy_header v4 =
      proxy_header::parse("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n");
  BOOST_TEST((v4.version == proxy_version::v1));
  BOOST_TEST(v4.source->to_string() == "255.255.255.255:65535");
  BOOST_TEST(v4.destination->to_string() == "255.255.255.255:65535");
  const proxy_header v6 = proxy_header::parse(
      "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001:DB8::1 0 65535\r\n");
  BOOST_TEST(v6.source->to_string() == "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:0");
  BOOST_TEST(v6.destination->to_string() == "[2001:db8::1]:65535");
  for (const std::string_view unknown :
       {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN anything at all\r\n", "PROXY UNKNOWN \r\n"}) {
    const proxy_header header = proxy_header::parse(unknown);
    BOOST_TEST(!header.source);
    BOOST_TEST(!header.local_source);
    BOOST_TEST(!header.is_local);
  }
}

BOOST_AUTO_TEST_CASE(lines_that_are_malformed_say_what_is_wrong) {
  const struct {
    std::string_view line;
    std::string_view says;
  } table[] = {
      {"PROXY \r\n", "the protocol is \"\", where TCP4, TCP6 and UNKNOWN are accepted"},
      {"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", "the protocol is \"TCP5\""},
      {"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", "the protocol is \"tcp4\""},
      {"PROXY UNKNOWNX\r\n", "the protocol is \"UNKNOWNX\""},
      {"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "the protocol is \"\""},
      {"PROXY TCP4\r\n", "there is no source address in the line"},
      {"PROXY TCP4 1.2.3.4\r\n", "there is no destination address in the line"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8\r\n", "there is no source port in the line"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "there is no destination port in the line"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "\"3\" is behind the destination port"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "\"\" is behind the destination port"},
      {"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
       "the source address is \"\", and not an IPv4 address"},
      {"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", "the source address is \"1.2.3.256\""},
      {"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", "the source address is \"1.2.3.04\""},
      {"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "the source address is \"1.2.3\""},
      {"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
       "the destination address is \"::1\", and not an IPv4 address"},
      {"PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
       "the source address is \"1.2.3.4\", and not an IPv6 address"},
      {"PROXY TCP6 ::1 fe80::1%1 1 2\r\n", "the destination address is \"fe80::1%1\""},
      {"PROXY TCP6 ::1::2 ::1 1 2\r\n", "the source address is \"::1::2\""},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
       "the source port is \"65536\", and not a number from 0 to 65535"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 02\r\n", "the destination port is \"02\""},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 00 2\r\n", "the source port is \"00\""},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", "the source port is \"-1\""},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 000002\r\n", "the destination port is \"000002\""},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999999999\r\n", "the destination port is \"99999999999\""},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1  2\r\n", "the destination port is \"\""},
      {"PROXY TCP4 1.2.3.4\t5.6.7.8 1 2\r\n", "the source address is \"1.2.3.4\\x095.6.7.8\""},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "a LF without a CR before it"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx", "a CR without a LF behind it"},
      {"PROXY UNKNOWN \n\r\n", "a LF without a CR before it"},
      {"PROXY UNKNOWN\r\nx", "1 bytes are behind the header"},
      {"PROXY UNKNOWN", "there are 13 bytes, and at least 15 belong to the header"},
      {"", "there are 0 bytes"},
      {"GET / HTTP/1.1\r\n", "the bytes begin with \"GET / HTTP/1.1\\x0d\\x0a\""},
  };
  for (const auto& [line, says] : table) BOOST_TEST_CONTEXT(line) {
      const std::string text = refusal(line);
      BOOST_TEST(text.starts_with("PROXY header: "));
      BOOST_TEST(test::contains(text, says), text);
    }
}

BOOST_AUTO_TEST_CASE(binary_headers_say_the_addresses_of_each_family_and_transport) {
  const proxy_header tcp = proxy_header::parse(v2(0x21, 0x11, v4_block));
  BOOST_TEST((tcp == proxy_header(source, destination)));
  BOOST_TEST(proxy_header::parse(v2(0x21, 0x12, v4_block)).is_datagram);
  std::string v6_block(36, '\0');
  v6_block.replace(0, 4, "\x20\x01\x0d\xb8");
  v6_block[15] = 1;
  v6_block[31] = 2;
  v6_block[33] = 3;
  v6_block[35] = 4;
  for (const unsigned char family : {0x21, 0x22}) {
    const proxy_header v6 = proxy_header::parse(v2(0x21, family, v6_block));
    BOOST_TEST(v6.source->to_string() == "[2001:db8::1]:3");
    BOOST_TEST(v6.destination->to_string() == "[::2]:4");
    BOOST_TEST(v6.is_datagram == (family == 0x22));
  }
  for (const unsigned char family : {0x31, 0x32}) {
    const proxy_header local =
        proxy_header::parse(v2(0x21, family, path("/run/x") + path("\0name"s)));
    BOOST_TEST((*local.local_source == local_endpoint::path("/run/x")));
    BOOST_TEST((*local.local_destination == local_endpoint::abstract("name")));
    BOOST_TEST(!local.source);
  }
  const proxy_header unnamed =
      proxy_header::parse(v2(0x21, 0x31, path("") + path("/" + std::string(106, 'x'))));
  BOOST_TEST(unnamed.local_source->is_unnamed());
  BOOST_TEST(unnamed.local_destination->name().size() == 107u);
}

BOOST_AUTO_TEST_CASE(local_and_unspecified_headers_have_no_addresses) {
  // Whatever the block of a LOCAL header is, it is not read.
  for (const std::string& bytes : {v2(0x20, 0), v2(0x20, 0x11, v4_block), v2(0x20, 0xff, "xyz")}) {
    const proxy_header header = proxy_header::parse(bytes);
    BOOST_TEST(header.is_local);
    BOOST_TEST(!header.source);
    BOOST_TEST(header.tlvs.empty());
  }
  for (const unsigned char family : {0x00, 0x01, 0x02}) {
    const proxy_header header = proxy_header::parse(v2(0x21, family, tlv(0x02, "a")));
    BOOST_TEST(!header.is_local);
    BOOST_TEST(!header.is_datagram);
    BOOST_TEST(!header.source);
    BOOST_TEST(header.authority == "a");
  }
  // A family without a transport.
  const proxy_header header = proxy_header::parse(v2(0x21, 0x10, v4_block + tlv(0x02, "a")));
  BOOST_TEST(!header.source);
  BOOST_TEST(header.authority == "a");
}

BOOST_AUTO_TEST_CASE(binary_headers_that_are_malformed_say_what_is_wrong) {
  const auto tls = [](std::string value) { return with_tlvs(tlv(0x20, std::move(value))); };
  std::string two_sums = with_tlvs(tlv(3, "\0\0\0\0"s) + tlv(3, "\0\0\0\0"s));
  const struct {
    std::string bytes;
    std::string_view says;
  } table[] = {
      {v2(0x11, 0x11, v4_block), "the version of a binary header is 2"},
      {v2(0x31, 0x11, v4_block), "the version of a binary header is 2"},
      {v2(0x22, 0x11, v4_block), "the command is 0 (LOCAL) or 1 (PROXY)"},
      {v2(0x2f, 0x11, v4_block), "the command is 0 (LOCAL) or 1 (PROXY)"},
      {v2(0x21, 0x41, v4_block), "the address family is 4, where 0 (UNSPEC)"},
      {v2(0x21, 0xf1, v4_block), "the address family is 15"},
      {v2(0x21, 0x13, v4_block), "the transport is 3, where 0 (UNSPEC), 1 (STREAM)"},
      {v2(0x21, 0x11, v4_block.substr(1)),
       "the length is 11, where the addresses of family 1 need 12 bytes"},
      {v2(0x21, 0x21, std::string(35, 'x')),
       "the length is 35, where the addresses of family 2 need 36 bytes"},
      {v2(0x21, 0x31, std::string(215, 'x')),
       "the length is 215, where the addresses of family 3 need 216 bytes"},
      {v2(0x21, 0x31, std::string(216, 'x')), "the source is a path of more than 107 bytes"},
      {with_tlvs("\x02\x00"s), "the last TLV has 2 bytes, where its type and length need 3"},
      {with_tlvs("\x02\x00\x05"
                 "abcd"s),
       "the TLV of type 0x02 has a length of 5, where 4 bytes are left"},
      {with_tlvs("\xea\xff\xff"s),
       "the TLV of type 0xea has a length of 65535, where 0 bytes are left"},
      {with_tlvs(tlv(5, std::string(129, 'x'))),
       "the unique id has 129 bytes, where 128 are accepted"},
      {with_tlvs(tlv(3, "\0\0\0"s)),
       "the TLV of type 0x03 (CRC-32C) has 3 bytes, where 4 are needed"},
      {with_tlvs(tlv(3, "\0\0\0\0"s)), "the checksum (CRC-32C) does not match"},
      {tls("\0\0\0\0"s), "the TLV of type 0x20 (TLS) has 4 bytes, where at least 5 are needed"},
      {tls("\0\0\0\0\0\x21"s), "the last TLV in that of TLS has 1 bytes"},
      {tls("\0\0\0\0\0\x21\x00\x01"s), "the TLV of type 0x21 in that of TLS has a length of 1"},
      {v2(0x21, 0, "x"), "the last TLV has 1 bytes"},
  };
  for (const auto& [bytes, says] : table) {
    const std::string text = refusal(bytes);
    BOOST_TEST(test::contains(text, says), text);
  }
  BOOST_TEST(refusal(v2(0x21, 0x11, v4_block) + "x").ends_with("1 bytes are behind the header"));
}

BOOST_AUTO_TEST_CASE(tlvs_are_read_and_unknown_ones_are_kept) {
  const std::string tls = "\x07\0\0\0\0"s + tlv(0x21, "TLSv1.3") + tlv(0x22, "alice") +
                          tlv(0x23, "AES") + tlv(0x24, "SHA256") + tlv(0x25, "RSA2048") +
                          tlv(0x28, "der");
  const proxy_header header =
      proxy_header::parse(with_tlvs(tlv(1, "h2") + tlv(2, "example.org") + tlv(4, "padding") +
                                    tlv(4, "") + tlv(5, std::string(128, '\0')) + tlv(0x20, tls) +
                                    tlv(0x30, "blue") + tlv(0xea, "\x01vpce"s) + tlv(0xff, "")));
  BOOST_TEST(header.protocol == "h2");
  BOOST_TEST(header.authority == "example.org");
  BOOST_TEST(header.unique_id == std::string(128, '\0'));
  BOOST_TEST(header.netns == "blue");
  BOOST_REQUIRE(header.tls);
  BOOST_TEST(header.tls->is_tls);
  BOOST_TEST(header.tls->has_certificate);
  BOOST_TEST(header.tls->had_certificate);
  BOOST_TEST(header.tls->is_verified);
  BOOST_TEST(header.tls->version == "TLSv1.3");
  BOOST_TEST(header.tls->common_name == "alice");
  BOOST_TEST(header.tls->cipher == "AES");
  BOOST_TEST(header.tls->signature_algorithm == "SHA256");
  BOOST_TEST(header.tls->key_algorithm == "RSA2048");
  BOOST_REQUIRE(header.tls->others.size() == 1u);
  BOOST_TEST(header.tls->others[0].type == 0x28);
  BOOST_REQUIRE(header.tlvs.size() == 2u);
  BOOST_TEST(header.tlvs[0].type == 0xea);
  BOOST_TEST(header.tlvs[0].value == "\x01vpce"s);
  BOOST_TEST(header.tlvs[1].value.empty());
}

BOOST_AUTO_TEST_CASE(a_certificate_is_verified_only_if_there_is_one) {
  const auto verified = [](std::string value) {
    return proxy_header::parse(with_tlvs(tlv(0x20, std::move(value)))).tls->is_verified;
  };
  BOOST_TEST(!verified("\x01\0\0\0\0"s));
  BOOST_TEST(verified("\x03\0\0\0\0"s));
  BOOST_TEST(verified("\x05\0\0\0\0"s));
  BOOST_TEST(!verified("\x03\0\0\0\1"s));
  BOOST_TEST(!verified("\x03\1\0\0\0"s));
}

BOOST_AUTO_TEST_CASE(a_checksum_covers_the_whole_header) {
  proxy_header header(source, destination);
  header.authority = "example.org";
  header.tlvs.push_back({0xe1, "x"});
  const std::string good = header.to_bytes({.checksum = true});
  BOOST_TEST((proxy_header::parse(good) == header));
  const std::size_t type_of_checksum = good.size() - 7;  // any other makes a TLV that is unknown
  for (std::size_t i = 16; i != good.size(); ++i) {
    if (i == type_of_checksum) continue;
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    BOOST_TEST(refusal(bad) != "accepted");
  }
}

BOOST_AUTO_TEST_CASE(a_header_that_is_written_is_read_again) {
  const endpoint v6(address::parse("2001:db8::7"), 80);
  proxy_header full(v6, endpoint(address::parse("::1"), 1));
  full.protocol = "http/1.1";
  full.authority = "host";
  full.unique_id = "\0\xff"s;
  full.netns = "net";
  full.tls.emplace();
  full.tls->is_tls = full.tls->has_certificate = full.tls->is_verified = true;
  full.tls->common_name = "bob";
  full.tls->others.push_back({0x28, "der"});
  full.tlvs.push_back({0xee, std::string(2000, 'x')});
  proxy_header datagrams(source, destination);
  datagrams.is_datagram = true;
  proxy_header health;
  health.is_local = true;
  const proxy_header local(local_endpoint::path("/run/a"), local_endpoint::abstract("b"));
  for (const proxy_header& header : {full, datagrams, health, local, proxy_header()})
    for (const bool checksum : {false, true})
      BOOST_TEST((proxy_header::parse(header.to_bytes({.checksum = checksum})) == header));
}

BOOST_AUTO_TEST_CASE(version_1_is_written_with_the_addresses_only) {
  const endpoint v6(address::parse("2001:db8::7"), 80);
  const auto line = [](const proxy_header& h) {
    return h.to_bytes({.version = proxy_version::v1});
  };
  BOOST_TEST(line({source, destination}) == "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n");
  BOOST_TEST(line({v6, v6}) == "PROXY TCP6 2001:db8::7 2001:db8::7 80 80\r\n");
  const proxy_header mixed = proxy_header::parse(line({source, v6}));
  BOOST_TEST((mixed.source->address().unmapped() == source.address()));
  BOOST_TEST((proxy_header::parse(proxy_header(source, v6).to_bytes()).source == mixed.source));
  const std::string unknown = "PROXY UNKNOWN\r\n";
  BOOST_TEST(line({}) == unknown);
  BOOST_TEST(line({local_endpoint::path("/a"), local_endpoint::path("/b")}) == unknown);
  proxy_header datagrams(source, destination);
  datagrams.is_datagram = true;
  BOOST_TEST(line(datagrams) == unknown);
}

BOOST_AUTO_TEST_CASE(a_header_is_written_up_to_its_limits) {
  proxy_header header;
  header.tlvs.push_back({0xe0, std::string(65535 - 3, 'x')});
  const std::string largest = header.to_bytes();
  BOOST_TEST(largest.size() == proxy_header::max_v2_size);
  BOOST_TEST((proxy_header::parse(largest) == header));
  BOOST_CHECK_THROW(static_cast<void>(header.to_bytes({.checksum = true})), std::invalid_argument);
  header.tlvs[0].value += "xxxx";
  BOOST_CHECK_THROW(static_cast<void>(header.to_bytes()), std::invalid_argument);
  proxy_header id;
  id.unique_id.assign(129, 'x');
  BOOST_CHECK_THROW(static_cast<void>(id.to_bytes()), std::invalid_argument);
  proxy_header half;
  half.source = source;
  BOOST_CHECK_THROW(static_cast<void>(half.to_bytes()), std::invalid_argument);
}
