// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE multicast
#include "multicast_tools.hpp"

#include <netinet/in.h>

// A socket receives what is sent to the groups that it joined, on the interfaces on which it did.

namespace {

using namespace test;
using boost::system::system_error;
using cosock::address;
using cosock::endpoint;
using cosock::network_interface;
using cosock::packet_info;
using cosock::task;
using cosock::udp_socket;
namespace errc = boost::system::errc;

template <class F>
std::string refusal(errc::errc_t why, F f) {
  try {
    f();
  } catch (const system_error& e) {
    BOOST_TEST(e.code() == why);
    return e.what();
  }
  BOOST_ERROR("it was not refused");
  return {};
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

NETWORK_COROUTINE_TEST_CASE(each_socket_hears_its_own_groups_only) {
  make_interfaces();
  for (const bool v6 : {false, true}) {
    BOOST_TEST_INFO_SCOPE((v6 ? "IPv6" : "IPv4"));
    udp_socket one = member_on(0, v6);
    const std::uint16_t port = one.local_endpoint().port();
    udp_socket two = member_on(port, v6);
    udp_socket neither = member_on(port, v6);
    one.join(group(v6, 1), named("d0"));
    two.join(group(v6, 2), named("d0"));
    sender from(v6);
    co_await from.send("to 1", group(v6, 1), port, "d0");
    co_await from.send("to 2", group(v6, 2), port, "d0");
    BOOST_TEST(co_await heard_by(one) == "to 1");
    BOOST_TEST(co_await heard_by(two) == "to 2");
    BOOST_TEST(co_await heard_by(neither) == "");
  }
}

NETWORK_COROUTINE_TEST_CASE(a_dual_stack_socket_hears_its_own_ipv4_groups_only) {
  make_interfaces();
  udp_socket both = member_on(0, true);
  const std::uint16_t port = both.local_endpoint().port();
  udp_socket other = member_on(port, true);
  // The IPv4 group as an IPv6 socket shows it, or plain.
  both.join(address::parse("::ffff:239.7.7.1"), named("d0"));
  other.join(group(false, 2), named("d0"));
  sender from(false);
  co_await from.send("to 1", group(false, 1), port, "d0");
  co_await from.send("to 2", group(false, 2), port, "d0");
  BOOST_TEST(co_await heard_by(both) == "to 1");
  both.leave(group(false, 1), named("d0"));
  co_await from.send("late", group(false, 1), port, "d0");
  BOOST_TEST(co_await heard_by(both) == "");
}

NETWORK_COROUTINE_TEST_CASE(a_group_is_heard_on_the_interfaces_on_which_it_was_joined) {
  make_interfaces();
  for (const bool v6 : {false, true}) {
    BOOST_TEST_INFO_SCOPE((v6 ? "IPv6" : "IPv4"));
    udp_socket here = member_on(0, v6);
    const std::uint16_t port = here.local_endpoint().port();
    udp_socket other = member_on(port, v6);
    for (const char* on : {"d0", "d1", "d2"}) other.join(group(v6, 1), named(on));
    here.join(group(v6, 1), named("d0"));
    here.join(group(v6, 1), named("d1"));
    sender from(v6);
    for (const char* over : {"d0", "d1", "d2"}) co_await from.send(over, group(v6, 1), port, over);
    BOOST_TEST(co_await heard_by(here) == "d0, d1");
    here.leave(group(v6, 1), named("d0"));
    for (const char* over : {"d0", "d1", "d2"}) co_await from.send(over, group(v6, 1), port, over);
    BOOST_TEST(co_await heard_by(here) == "d1");
    here.leave(group(v6, 1), named("d1"));
    for (const char* over : {"d0", "d1", "d2"}) co_await from.send(over, group(v6, 1), port, over);
    BOOST_TEST(co_await heard_by(here) == "");
    BOOST_TEST(co_await heard_by(other) == "d0, d1, d2, d0, d1, d2, d0, d1, d2");
  }
}

NETWORK_COROUTINE_TEST_CASE(an_adopted_socket_that_joins_hears_its_own_groups_only) {
  make_interfaces();
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  BOOST_REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  udp_socket adopted = udp_socket::adopt(fd);
  const std::uint16_t port = adopted.local_endpoint().port();
  udp_socket other = member_on(port, false);
  other.join(group(false, 2), named("d0"));
  adopted.join(group(false, 1), named("d0"));
  sender from(false);
  co_await from.send("to 1", group(false, 1), port, "d0");
  co_await from.send("to 2", group(false, 2), port, "d0");
  BOOST_TEST(co_await heard_by(adopted) == "to 1");
}

NETWORK_COROUTINE_TEST_CASE(without_an_interface_it_is_the_one_of_the_route) {
  make_interfaces();
  BOOST_REQUIRE(std::system("ip route add 239.7.7.0/24 dev d1 && ip -6 route add multicast "
                            "ff15::/16 dev d1 table local metric 1") == 0);
  for (const bool v6 : {false, true}) {
    BOOST_TEST_INFO_SCOPE((v6 ? "IPv6" : "IPv4"));
    udp_socket here = member_on(0, v6);
    const std::uint16_t port = here.local_endpoint().port();
    here.join(group(v6, 1));
    sender from(v6);
    for (const char* over : {"d0", "d1", "d2"}) co_await from.send(over, group(v6, 1), port, over);
    BOOST_TEST(co_await heard_by(here) == "d1");
    here.leave(group(v6, 1));
    co_await from.send("late", group(v6, 1), port, "d1");
    BOOST_TEST(co_await heard_by(here) == "");
  }
}

NETWORK_COROUTINE_TEST_CASE(the_scope_id_of_a_group_is_the_interface) {
  make_interfaces();
  const unsigned d1 = named("d1").interface_index();
  for (const char* plain : {"ff02::77", "ff15::77"}) {
    BOOST_TEST_INFO_SCOPE(plain);
    const address scoped = address::parse(plain + std::string("%d1"));
    udp_socket here = member_on(0, true);
    const std::uint16_t port = here.local_endpoint().port();
    here.join(scoped);
    BOOST_TEST(has(refusal(errc::address_in_use, [&] { here.join(scoped); }), plain));
    refusal(errc::address_in_use, [&] { here.join(address::parse(plain), named("d1")); });
    BOOST_TEST(has(refusal(errc::invalid_argument, [&] { here.join(scoped, named("d0")); }),
                   "%d1 on interface d0"));
    // Sent over it, whatever the socket's own interface is.
    sender from(true);
    co_await from.send("over d1", scoped, port, "d0");
    char into[64];
    packet_info info;
    const auto got = co_await here.receive_from(into, info);
    BOOST_TEST(std::string_view(into, got.size) == "over d1");
    BOOST_TEST(info.interface_index == d1);
    here.leave(scoped);
    refusal(errc::address_not_available, [&] { here.leave(scoped); });
    co_await from.send("late", scoped, port, "d0");
    BOOST_TEST(co_await heard_by(here) == "");
    // A sender of one's choice, on the interface that it names.
    const address chosen = address::parse("fe80::11%d1");
    const address source_group = address::parse(plain[3] == '2' ? "ff32::77" : "ff35::77");
    here.join(source_group, chosen);
    udp_socket local(endpoint(chosen, 0));
    co_await local.send_to("from the link", endpoint(source_group, port));
    BOOST_TEST(co_await heard_by(here) == "from the link");
    here.leave(source_group, chosen);
    refusal(errc::invalid_argument, [&] { here.join(source_group, chosen, named("d0")); });
  }
}

NETWORK_COROUTINE_TEST_CASE(an_interface_that_does_not_exist_is_refused_by_its_number) {
  make_interfaces();
  udp_socket s = member_on(0, true);
  const address scoped = address::parse("ff02::77%4711");
  const network_interface missing = network_interface::by_index(4711);
  const auto names_it = [&](auto f) {
    const std::string text = refusal(errc::no_such_device, f);
    BOOST_TEST(has(text, "4711"), text);
  };
  names_it([&] { s.join(scoped); });
  names_it([&] { s.leave(scoped); });
  names_it([&] { s.join(scoped, address::parse("fe80::1")); });
  names_it([&] { s.join(address::parse("ff15::77"), missing); });
  names_it([&] { s.join(group(false, 1), missing); });
  names_it([&] { s.join(group(false, 1), address::parse("10.231.0.1"), missing); });
  names_it([&] { s.leave(group(false, 1), missing); });
  names_it([&] { s.set_multicast_interface(missing); });
  refusal(errc::no_such_device,
          [&] { s.set_multicast_interface(network_interface::by_index(0xffffffff)); });
  udp_socket v4 = member_on(0, false);
  names_it([&] { v4.join(group(false, 1), missing); });
  refusal(errc::no_such_device, [&] { v4.set_multicast_interface(missing); });
  co_return;
}

/// What was joined on an interface that is gone can be left, and the socket goes on.
NETWORK_COROUTINE_TEST_CASE(an_interface_may_go_away) {
  make_interfaces();
  for (const bool v6 : {false, true}) {
    udp_socket here = member_on(0, v6);
    const std::uint16_t port = here.local_endpoint().port();
    here.join(group(v6, 1), named("d0"));
    const char* const away = v6 ? "d2" : "d1";
    const network_interface gone = named(away);
    here.join(group(v6, 1), gone);
    BOOST_REQUIRE(std::system((std::string("ip link del ") + away).c_str()) == 0);
    try {
      here.leave(group(v6, 1), gone);
    } catch (const system_error& e) {
      BOOST_TEST(e.code() == errc::no_such_device);  // the system has seen to it
    }
    sender from(v6);
    co_await from.send("still", group(v6, 1), port, "d0");
    BOOST_TEST(co_await heard_by(here) == "still");
  }
}
