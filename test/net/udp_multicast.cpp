// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Members of a multicast group, and who hears what.

#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE udp_multicast
#include "loop_endings.hpp"
#include "netns.hpp"
#include "udp_fixture.hpp"

namespace {

using namespace test;
using boost::system::system_error;
using cosock::address;
using cosock::endpoint;
using cosock::network_interface;
using cosock::udp_socket;
using cosock::udp_socket_options;
namespace errc = boost::system::errc;

BOOST_AUTO_TEST_SUITE(multicast)

const address group_v4 = address::parse("239.7.7.7");
const address group_v6 = address::parse("ff15::7:7");

udp_socket member_socket(bool v6) {
  udp_socket_options options;
  options.reuse_address = true;
  return udp_socket(endpoint(v6 ? address::any_v6() : address::any_v4(), 0), options);
}

void routes_to_loopback() {
  BOOST_REQUIRE(std::system("ip link set lo multicast on && ip route add 239.0.0.0/8 dev lo") == 0);
}

NETWORK_COROUTINE_TEST_CASE(members_get_what_is_sent_until_they_leave) {
  routes_to_loopback();
  const network_interface lo = network_interface::by_name("lo");
  for (const network_interface& on : {lo, network_interface::by_address(address::loopback_v4())}) {
    udp_socket member = member_socket(false);
    const endpoint to(group_v4, member.local_endpoint().port());
    udp_socket sender(any_port_v4);
    sender.set_multicast_interface(on);
    co_await sender.send_to("too early", to);
    member.join(group_v4, on);
    BOOST_TEST(thrown_by([&] { member.join(group_v4, on); }) == errc::address_in_use);
    co_await sender.send_to("hello", to);
    BOOST_TEST(co_await next_text(member) == "hello");
    member.leave(group_v4, on);
    BOOST_TEST(thrown_by([&] { member.leave(group_v4, on); }) == errc::address_not_available);
    co_await sender.send_to("too late", to);
    BOOST_TEST(co_await stays_silent(member));
  }
}

/// On an interface that is no loopback by itself.
NETWORK_COROUTINE_TEST_CASE(loopback_of_multicast_can_be_off) {
  BOOST_REQUIRE(std::system("ip link add d0 type veth peer name d1 && ip link set d1 up && ip addr "
                            "add 10.231.7.1/24 dev d0 &&"
                            "ip link set d0 up multicast on") == 0);
  const network_interface d0 = network_interface::by_name("d0");
  udp_socket member = member_socket(false);
  member.join(group_v4, d0);
  const endpoint to(group_v4, member.local_endpoint().port());
  udp_socket sender(endpoint(address::parse("10.231.7.1"), 0));
  sender.set_multicast_interface(d0);
  co_await sender.send_to("here", to);
  BOOST_TEST(co_await next_text(member) == "here");
  sender.set_multicast_loopback(false);
  co_await sender.send_to("not here", to);
  sender.set_multicast_loopback(true);
  co_await sender.send_to("again", to);
  BOOST_TEST(co_await next_text(member) == "again");
}

NETWORK_COROUTINE_TEST_CASE(a_member_that_wants_one_sender_hears_no_other) {
  routes_to_loopback();
  const network_interface lo = network_interface::by_name("lo");
  udp_socket member = member_socket(false);
  const endpoint to(group_v4, member.local_endpoint().port());
  const address wanted = address::parse("127.0.0.3");
  udp_socket good(endpoint(wanted, 0));
  udp_socket other(endpoint(address::parse("127.0.0.4"), 0));
  for (udp_socket* each : {&good, &other}) each->set_multicast_interface(lo);
  member.join(group_v4, wanted, lo);
  co_await other.send_to("from the other", to);
  co_await good.send_to("from the good", to);
  BOOST_TEST(co_await next_text(member) == "from the good");
  member.join(group_v4, other.local_endpoint().address(), lo);
  co_await other.send_to("from both", to);
  BOOST_TEST(co_await next_text(member) == "from both");
  member.leave(group_v4, wanted, lo);
  co_await good.send_to("no more", to);
  BOOST_TEST(co_await stays_silent(member));
}

NETWORK_COROUTINE_TEST_CASE(what_cannot_be_joined) {
  routes_to_loopback();
  udp_socket member = member_socket(false);
  BOOST_TEST(thrown_by([&] { member.join(group_v4, network_interface::by_index(4711)); }) ==
             errc::no_such_device);
  BOOST_CHECK_EXCEPTION(
      member.join(address::parse("10.1.1.1")), system_error, [](const system_error& e) {
        return e.code() == errc::invalid_argument &&
               std::string_view(e.what()).find("10.1.1.1") != std::string_view::npos;
      });
  BOOST_TEST(thrown_by([&] { member.leave(group_v4); }).failed());
  BOOST_TEST(thrown_by([&] {
               member.set_multicast_interface(network_interface::by_index(4711));
             }).failed());
  co_return;
}

/// IPv6 has no multicast on loopback: over a pair of interfaces.
NETWORK_COROUTINE_TEST_CASE(multicast_v6) {
  BOOST_REQUIRE(std::system("ip link add m0 type veth peer name m1 &&"
                            "ip addr add fd31:7::1/64 dev m0 nodad && ip link set m0 up &&"
                            "ip addr add fd31:8::1/64 dev m1 nodad && ip link set m1 up") == 0);
  wait_for_multicast("m0");
  const network_interface m0 = network_interface::by_address(address::parse("fd31:7::1"));
  udp_socket member = member_socket(true);
  member.join(group_v6, m0);
  BOOST_TEST(thrown_by([&] { member.join(group_v6, m0); }) == errc::address_in_use);
  udp_socket sender(endpoint(address::parse("fd31:7::1"), 0));
  sender.set_multicast_interface(m0);
  sender.set_multicast_hops(1);
  co_await sender.send_to("six", endpoint(group_v6, member.local_endpoint().port()));
  BOOST_TEST(co_await next_text(member) == "six");
  member.leave(group_v6, m0);
  BOOST_TEST(thrown_by([&] { member.leave(group_v6, m0); }) == errc::address_not_available);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
