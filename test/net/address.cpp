// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/address.hpp>

#define BOOST_TEST_MODULE address
#include "support.hpp"

#include <net/if.h>

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

using cosock::address;
using cosock::endpoint;
using cosock::error;

namespace {

const std::string long_text(100'000, '1');

/// Texts that are no address, whoever reads them.
// clang-format off
const std::vector<std::string> no_addresses = {
    "", " ", ".", ":", "%", "1", "1.2.3", "1.2.3.", "1.2.3.4.", ".1.2.3.4", "1..2.3", "1.2.3.4.5",
    "256.1.1.1", "1.2.3.256", "1.2.3.-4", "1.2.3.+4", "01.2.3.4", "1.2.3.04", "00.0.0.0",
    "0x7f.0.0.1", "0x7f000001", "2130706433", "127.1", "1.2.3.4%lo", "1.2.3.4%1", "1.2.3.4/8",
    " 1.2.3.4", "1.2.3.4 ", "1.2.3. 4", "1.2.3.4\n", "\t1.2.3.4", "localhost", "1.2.3.a",
    ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:",
    "12345::", "::g", "::1.2.3", "::1.2.3.256", "::01.2.3.4", "1.2.3.4::", "::1 ", " ::1", ":: 1",
    "[::1]", "[::1", "::1]", "[::1]:80", "::1]:80", "[127.0.0.1]", "::1%", "fe80::1%",
    "::1%nosuch", "fe80::1%nosuch", "fe80::1%lo ", "fe80::1% lo", "fe80::1%lo%lo", "fe80::1%-1",
    "fe80::1%+1", "fe80::1%0x1", "fe80::1%4294967296", "fe80::1%99999999999999", "fe80::1%1 ",
    "%lo", "fe80::1%interface-name-that-is-too-long",
    std::string("1.2.3.4\0", 8), std::string("1.2.3.4\0.5", 10), std::string("\0" "1.2.3.4", 8),
    std::string("::1\0", 4), std::string("fe80::1%lo\0", 11), std::string("fe80::1%1\0", 10),
    std::string(63, '1'), std::string(64, '1'), std::string(200, ':'), long_text,
    "::1%" + long_text, "1.2.3.4" + std::string(100, ' ')};
// clang-format on

std::string message_of(const std::string& text, address (*parse)(std::string_view), error e) {
  try {
    (void)parse(text);
  } catch (const boost::system::system_error& thrown) {
    BOOST_TEST(test::is(e)(thrown), "wrong code for \"" << text.substr(0, 50) << '"');
    return thrown.what();
  }
  BOOST_ERROR("accepted \"" << text.substr(0, 50) << '"');
  return {};
}

/// What a message about the text must contain.
std::string shown(const std::string& text) {
  std::string all;
  for (const char c : text.substr(0, 100))
    all += c == '\0' ? "\\x00" : c == '\n' ? "\\x0a" : c == '\t' ? "\\x09" : std::string(1, c);
  return '"' + all;
}

/// Whether parsing and printing give the same text.
bool is_canonical(const char* text) { return address::parse(text).to_string() == text; }

std::string printed(const char* text) { return address::parse(text).to_string(); }

const address link_local = address::parse("fe80::1");

}  // namespace

BOOST_AUTO_TEST_CASE(an_address_is_0_0_0_0_by_default) {
  constexpr address none;
  BOOST_TEST(none == address::any_v4());
  BOOST_TEST(none.is_v4());
  BOOST_TEST(none.to_string() == "0.0.0.0");
  BOOST_TEST(endpoint().to_string() == "0.0.0.0:0");
}

BOOST_AUTO_TEST_CASE(addresses_are_plain_values_of_a_constant_expression) {
  static_assert(std::is_trivially_copyable_v<address> && std::is_trivially_copyable_v<endpoint>);
  static_assert(std::is_trivially_destructible_v<endpoint>);  // safe in option structs: GCC 12
  constexpr address v4(address::v4_bytes{192, 0, 2, 1});
  constexpr address v6 = address::loopback_v6();
  constexpr endpoint e(v6, 443);
  static_assert(v4.is_v4() && !v4.is_v6() && v6.is_v6() && e.address() == v6 && e.port() == 443);
  static_assert(v4 < v6);
  BOOST_TEST(v4.to_string() == "192.0.2.1");
}

BOOST_AUTO_TEST_CASE(v4_text_is_parsed_and_printed) {
  for (const char* text : {"0.0.0.0", "127.0.0.1", "1.2.3.4", "192.0.2.255", "255.255.255.255"})
    BOOST_TEST(is_canonical(text), text);
  const address a = address::parse("1.2.3.4");
  BOOST_TEST(a.is_v4());
  BOOST_TEST(!a.is_v6());
  BOOST_TEST(a.scope_id() == 0u);
  BOOST_TEST((a == address(address::v4_bytes{1, 2, 3, 4})));
  BOOST_TEST(int{a.bytes()[3]} == 4);
}

BOOST_AUTO_TEST_CASE(v6_text_is_printed_as_rfc_5952_says) {
  for (const char* text :
       {"::", "::1", "1::", "2001:db8::1", "2001:db8::1:0:0:1", "1:2:3:4:5:6:7:8",
        "a:b:c:d:e:f:0:1", "ff02::1", "fe80::1", "64:ff9b::c000:201", "::ffff:192.0.2.1"})
    BOOST_TEST(is_canonical(text), text);
  BOOST_TEST(printed("2001:0DB8:0:0:0:0:0:1") == "2001:db8::1");  // lower case, no leading zeros
  BOOST_TEST(printed("2001:db8:0:1:1:1:1:1") ==
             "2001:db8:0:1:1:1:1:1");                                  // one zero is not shortened
  BOOST_TEST(printed("2001:0:0:1:0:0:0:1") == "2001:0:0:1::1");        // the longest run
  BOOST_TEST(printed("2001:db8:0:0:1:0:0:1") == "2001:db8::1:0:0:1");  // the first of equal runs
  BOOST_TEST(printed("0:0:0:0:0:0:0:0") == "::");
  BOOST_TEST(printed("1:0:0:0:0:0:0:0") == "1::");
  BOOST_TEST(printed("::FFFF:c000:201") == "::ffff:192.0.2.1");
  BOOST_TEST(printed("::2:3:4:5:6:7:8") == "0:2:3:4:5:6:7:8");
}

BOOST_AUTO_TEST_CASE(a_scope_id_is_a_name_or_a_number) {
  const unsigned lo = ::if_nametoindex("lo");
  BOOST_REQUIRE(lo != 0u);
  const address by_name = address::parse("fe80::1%lo");
  const address by_number = address::parse("fe80::1%" + std::to_string(lo));
  BOOST_TEST(by_name == by_number);
  BOOST_TEST(by_name.scope_id() == lo);
  BOOST_TEST(by_name.bytes() == link_local.bytes(), boost::test_tools::per_element());
  BOOST_TEST(by_name.to_string() == "fe80::1%lo");
  BOOST_TEST(printed("ff02::1%lo") == "ff02::1%lo");
}

BOOST_AUTO_TEST_CASE(an_interface_that_does_not_exist_is_named) {
  const auto text_of = [](auto parse) {
    try {
      parse();
    } catch (const boost::system::system_error& e) {
      BOOST_TEST(test::is(error::invalid_address)(e));
      return std::string(e.what());
    }
    return std::string();
  };
  const std::string address_text = text_of([] { (void)address::parse("ff02::1%nosuch0"); });
  const std::string why = ": not an address: there is no interface \"nosuch0\"";
  BOOST_TEST(address_text.starts_with("\"ff02::1%nosuch0\"" + why), address_text);
  const std::string text = text_of([] { (void)endpoint::parse("[ff02::1%nosuch0]:80"); });
  BOOST_TEST(text.starts_with("\"[ff02::1%nosuch0]:80\"" + why), text);
}

BOOST_AUTO_TEST_CASE(a_scope_id_without_an_interface_stays_a_number) {
  const address a = address::parse("fe80::1%4294967295");
  BOOST_TEST(a.scope_id() == 4294967295u);
  BOOST_TEST(a.to_string() == "fe80::1%4294967295");
  BOOST_TEST(printed("fe80::1%0") == "fe80::1");
}

BOOST_AUTO_TEST_CASE(what_is_printed_can_be_parsed) {
  std::uint32_t state = 12345;
  const auto next = [&state] {
    return static_cast<unsigned char>((state = state * 1664525 + 1013904223) >> 24);
  };
  for (int i = 0; i != 5000; ++i) {
    address::v6_bytes bytes;
    for (auto& b : bytes) b = next() & 1 ? next() : 0;  // half of them zero, for runs
    const address v6(bytes, i % 3 ? 0 : next());
    const address v4(address::v4_bytes{next(), next(), next(), next()});
    const endpoint e(i & 1 ? v4 : v6, static_cast<std::uint16_t>(next() * 256 + next()));
    if (address::parse(v6.to_string()) != v6) BOOST_ERROR(v6);
    if (address::parse(v4.to_string()) != v4) BOOST_ERROR(v4);
    if (endpoint::parse(e.to_string()) != e) BOOST_ERROR(e);
  }
}

BOOST_AUTO_TEST_CASE(predicates_tell_kinds_of_addresses_apart) {
  struct row {
    const char* text;
    bool loopback, any, multicast, mapped;
  };
  for (const row& r : std::initializer_list<row>{
           {"0.0.0.0", false, true, false, false},
           {"0.0.0.1", false, false, false, false},
           {"127.0.0.1", true, false, false, false},
           {"127.255.255.254", true, false, false, false},
           {"126.255.255.255", false, false, false, false},
           {"128.0.0.0", false, false, false, false},
           {"223.255.255.255", false, false, false, false},
           {"224.0.0.0", false, false, true, false},
           {"239.255.255.255", false, false, true, false},
           {"240.0.0.0", false, false, false, false},
           {"::", false, true, false, false},
           {"::1", true, false, false, false},
           {"::1%1", true, false, false, false},
           {"::2", false, false, false, false},
           {"::127.0.0.1", false, false, false, false},
           {"feff::", false, false, false, false},
           {"ff02::1", false, false, true, false},
           {"::ffff:127.0.0.1", false, false, false, true},
           {"::ffff:0.0.0.0", false, false, false, true},
           {"::fffe:1.2.3.4", false, false, false, false},
           {"0:0:0:0:1:ffff:1.2.3.4", false, false, false, false},
           {"7f00::", false, false, false, false},
       }) {
    const address a = address::parse(r.text);
    BOOST_TEST(a.is_loopback() == r.loopback, r.text);
    BOOST_TEST(a.is_any() == r.any, r.text);
    BOOST_TEST(a.is_multicast() == r.multicast, r.text);
    BOOST_TEST(a.is_v4_mapped() == r.mapped, r.text);
  }
  BOOST_TEST(address::loopback_v4().to_string() == "127.0.0.1");
  BOOST_TEST(address::loopback_v6().to_string() == "::1");
  BOOST_TEST(address::any_v4().to_string() == "0.0.0.0");
  BOOST_TEST(address::any_v6().to_string() == "::");
}

BOOST_AUTO_TEST_CASE(a_mapped_address_gives_the_v4_address_inside) {
  const address mapped = address::parse("::ffff:192.0.2.7");
  BOOST_TEST(mapped.is_v6());
  BOOST_TEST(mapped.unmapped() == address::parse("192.0.2.7"));
  BOOST_TEST(mapped != address::parse("192.0.2.7"));
  BOOST_TEST(address::parse("::ffff:1.2.3.4%1").unmapped() == address::parse("1.2.3.4"));
  for (const char* other : {"192.0.2.7", "::1", "::192.0.2.7", "fe80::1%1"})
    BOOST_TEST(address::parse(other).unmapped() == address::parse(other), other);
}

BOOST_AUTO_TEST_CASE(addresses_and_endpoints_have_an_order) {
  std::vector<endpoint> sorted = {
      endpoint::parse("0.0.0.0:1"),         endpoint::parse("1.2.3.4:0"),
      endpoint::parse("1.2.3.4:80"),        endpoint::parse("1.2.4.0:0"),
      endpoint::parse("255.255.255.255:0"), endpoint::parse("[::]:0"),
      endpoint::parse("[::1]:80"),          endpoint::parse("[fe80::1]:80"),
      endpoint::parse("[fe80::1%1]:1"),     endpoint::parse("[fe80::1%2]:0"),
  };
  for (std::size_t i = 0; i != sorted.size(); ++i)
    for (std::size_t k = 0; k != sorted.size(); ++k) {
      BOOST_TEST((sorted[i] < sorted[k]) == (i < k));
      BOOST_TEST((sorted[i] == sorted[k]) == (i == k));
      BOOST_TEST((sorted[i].address() <= sorted[k].address()) ==
                 (i <= k || sorted[i].address() == sorted[k].address()));
    }
}

BOOST_AUTO_TEST_CASE(what_is_no_address_is_refused_with_its_text) {
  for (const std::string& text : no_addresses) {
    const std::string message = message_of(text, &address::parse, error::invalid_address);
    BOOST_TEST(message.find(shown(text)) == 0u, message);
    BOOST_TEST(message.find("not an address") != message.npos, message);
    BOOST_TEST(message.size() < 700u);
  }
  BOOST_CHECK_EXCEPTION((void)address::parse("x"), boost::system::system_error,
                        test::is(boost::system::errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(a_failed_try_leaves_the_target_alone) {
  const address before = address::parse("fe80::7%3");
  for (const std::string& text : no_addresses) {
    address target = before;
    BOOST_TEST(!address::try_parse(text, target), text.substr(0, 50));
    BOOST_TEST(target == before);
  }
  address target = before;
  BOOST_TEST(address::try_parse("1.2.3.4", target));
  BOOST_TEST(target.to_string() == "1.2.3.4");
  BOOST_TEST(target.scope_id() == 0u);
}

BOOST_AUTO_TEST_CASE(a_text_is_read_no_further_than_its_view) {
  const std::string_view all = "1.2.3.45fe80::12%lo0:8080";
  BOOST_TEST(address::parse(all.substr(0, 7)).to_string() == "1.2.3.4");
  BOOST_TEST(address::parse(all.substr(8, 7)).to_string() == "fe80::1");
  BOOST_TEST(address::parse(all.substr(8, 11)).to_string() == "fe80::12%lo");
  BOOST_TEST(cosock::endpoint::parse_port(all.substr(21, 2)) == 80);
}

BOOST_AUTO_TEST_CASE(endpoints_are_parsed_and_printed) {
  for (const char* text : {"0.0.0.0:0", "192.0.2.1:80", "127.0.0.1:65535", "[::]:0", "[::1]:65535",
                           "[2001:db8::1]:443", "[fe80::1%lo]:80", "[::ffff:1.2.3.4]:1"})
    BOOST_TEST(endpoint::parse(text).to_string() == text);
  const endpoint e = endpoint::parse("[fe80::1%lo]:80");
  BOOST_TEST(e.port() == 80);
  BOOST_TEST(e.address().to_string() == "fe80::1%lo");
  BOOST_TEST(endpoint::parse("1.2.3.4:00080").port() == 80);
}

BOOST_AUTO_TEST_CASE(what_is_no_endpoint_is_refused_with_its_text) {
  std::vector<std::string> texts = {
      "",
      ":",
      ":80",
      "80",
      "127.0.0.1",
      "::1",
      "[::1]",
      "[::1",
      "[::1:80",
      "::1]:80",
      "::1:80",
      "[]:80",
      "[:80",
      "]:80",
      "[127.0.0.1]:80",
      "localhost:80",
      "1.2.3:80",
      "256.1.1.1:80",
      " 1.2.3.4:80",
      "1.2.3.4 :80",
      "[::1] :80",
      "[ ::1]:80",
      "[[::1]]:80",
      "[::1%]:80",
      "[::1%nosuch]:80",
      "[::1]80",
      "1.2.3.4:80:",
      "1.2.3.4:80:81",
      "[::1]:80:81",
      "*:80",
      std::string("1.2.3.4\0:80", 11),
      long_text,
      long_text + ":80",
      "[" + long_text + "]:80",
  };
  for (const std::string& text : texts) {
    try {
      BOOST_ERROR("accepted " << endpoint::parse(text));
    } catch (const boost::system::system_error& e) {
      BOOST_TEST(test::is(error::invalid_address)(e), e.what());
      BOOST_TEST(std::string(e.what()).find(shown(text)) == 0u, e.what());
      BOOST_TEST(std::string(e.what()).find("not an address") != std::string::npos, e.what());
    }
  }
}

BOOST_AUTO_TEST_CASE(an_endpoint_with_a_bad_port_is_refused_for_its_port) {
  const std::vector<std::string> ports = {"",
                                          "65536",
                                          "70000",
                                          "-1",
                                          "+1",
                                          " 80",
                                          "80 ",
                                          "8 0",
                                          "0x50",
                                          "http",
                                          "1e3",
                                          "80\n",
                                          "99999999999999999999",
                                          std::string(1000, '9')};
  for (const std::string host : {"127.0.0.1:", "[::1]:"})
    for (const std::string& port : ports) {
      try {
        BOOST_ERROR("accepted " << endpoint::parse(host + port));
      } catch (const boost::system::system_error& e) {
        BOOST_TEST(test::is(error::service_not_found)(e), e.what());
        BOOST_TEST(std::string(e.what()).find(shown(host + port)) == 0u, e.what());
        BOOST_TEST(std::string(e.what()).find("65535") != std::string::npos, e.what());
      }
    }
}

BOOST_AUTO_TEST_CASE(a_port_is_a_number_from_0_to_65535) {
  BOOST_TEST(cosock::endpoint::parse_port("0") == 0);
  BOOST_TEST(cosock::endpoint::parse_port("80") == 80);
  BOOST_TEST(cosock::endpoint::parse_port("0080") == 80);
  BOOST_TEST(cosock::endpoint::parse_port("65535") == 65535);
  for (const std::string& text :
       {std::string(), std::string("65536"), std::string("70000"), std::string("-1"),
        std::string("-0"), std::string("+80"), std::string(" 80"), std::string("80 "),
        std::string("80x"), std::string("abc"), std::string("0x50"), std::string("8.0"),
        std::string("80\0", 3), std::string("99999999999999"), long_text}) {
    try {
      BOOST_ERROR("accepted " << cosock::endpoint::parse_port(text));
    } catch (const boost::system::system_error& e) {
      BOOST_TEST(test::is(error::service_not_found)(e), e.what());
      BOOST_TEST(test::is(boost::system::errc::invalid_argument)(e), e.what());
      BOOST_TEST(std::string(e.what()).find(shown(text)) == 0u, e.what());
    }
  }
}

BOOST_AUTO_TEST_CASE(addresses_and_endpoints_go_into_a_stream) {
  std::ostringstream out;
  out << address::loopback_v6() << ' ' << endpoint::parse("[::1]:80") << ' ' << std::setw(12)
      << std::left << address::loopback_v4() << '|';
  BOOST_TEST(out.str() == "::1 [::1]:80 127.0.0.1   |");
}
