// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagrams that are larger than the path MTU. The loopback interface has an MTU of 1500 here.

#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE path_mtu
#include "netns.hpp"
#include "udp_fixture.hpp"

#include <linux/rtnetlink.h>
#include <netinet/ip.h>

#include <array>
#include <string>
#include <vector>

namespace {

using namespace test;
using cosock::address;
using cosock::const_buffer;
using cosock::endpoint;
using cosock::mtu_discovery;
using cosock::receive_result;
using cosock::udp_socket;
namespace errc = boost::system::errc;

constexpr mtu_discovery every_mode[] = {mtu_discovery::off, mtu_discovery::fragment,
                                        mtu_discovery::dont_fragment, mtu_discovery::probe};

void set_mtu_of_loopback(int bytes) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_mtu = bytes;
  test::check(::ioctl(fd, SIOCSIFMTU, &request) == 0, "SIOCSIFMTU");
  ::close(fd);
}

/// Makes a route over loopback whose path MTU is known.
void add_route(const std::array<unsigned char, 4>& host, unsigned path_mtu) {
  struct {
    nlmsghdr header = {};
    rtmsg route = {};
    rtattr destination_header = {RTA_LENGTH(4), RTA_DST};
    std::array<unsigned char, 4> destination;
    rtattr interface_header = {RTA_LENGTH(4), RTA_OIF};
    unsigned interface = ::if_nametoindex("lo");
    rtattr metrics_header = {RTA_LENGTH(RTA_LENGTH(4)), RTA_METRICS};
    rtattr mtu_header = {RTA_LENGTH(4), RTAX_MTU};
    unsigned mtu;
  } request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
  request.route.rtm_family = AF_INET;
  request.route.rtm_dst_len = 32;
  request.route.rtm_table = RT_TABLE_MAIN;
  request.route.rtm_protocol = RTPROT_STATIC;
  request.route.rtm_scope = RT_SCOPE_LINK;
  request.route.rtm_type = RTN_UNICAST;
  request.destination = host;
  request.mtu = path_mtu;
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  test::check(::send(fd, &request, sizeof request, 0) == sizeof request, "RTM_NEWROUTE");
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char more[256];
  } answer = {};
  test::check(::recv(fd, &answer, sizeof answer, 0) > 0, "answer of netlink");
  errno = -answer.error.error;
  test::check(answer.error.error == 0, "RTM_NEWROUTE");
  ::close(fd);
}

/// A receiver, a sender that is connected to it, and the largest datagram in one packet.
struct pair {
  pair(const endpoint& at, const address& to, std::size_t largest)
      : receiver(at), sender(endpoint(at.address(), 0)), largest(largest) {
    sender.connect({to, receiver.local_endpoint().port()});
  }
  udp_socket receiver;
  udp_socket sender;
  std::size_t largest;
};
std::vector<pair> every_family() {
  std::vector<pair> all;
  all.emplace_back(any_port_v4, address::loopback_v4(), 1472u);
  all.emplace_back(any_port_v6, address::loopback_v6(), 1452u);
  // An IPv6 socket that sends to IPv4.
  pair& mapped = all.emplace_back(any_port_v4, address::loopback_v4(), 1472u);
  mapped.sender = udp_socket(endpoint(address::any_v6(), 0));
  mapped.sender.connect(mapped.receiver.local_endpoint());
  return all;
}

task<std::size_t> size_of_next(udp_socket& s) { co_return (co_await next_text(s)).size(); }

bool is_message_size(const boost::system::error_code& code) { return code == errc::message_size; }

}  // namespace

NETWORK_COROUTINE_TEST_CASE(by_default_a_large_datagram_is_fragmented) {
  set_mtu_of_loopback(1500);
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint());
    BOOST_TEST((p.sender.mtu_discovery() == mtu_discovery::fragment));
    BOOST_TEST(co_await p.sender.send(std::string(4000, 'x')) == 4000u);
    BOOST_TEST(co_await size_of_next(p.receiver) == 4000u);
  }
}

NETWORK_COROUTINE_TEST_CASE(without_fragments_a_large_datagram_fails) {
  set_mtu_of_loopback(1500);
  for (const mtu_discovery mode : {mtu_discovery::dont_fragment, mtu_discovery::probe})
    for (pair& p : every_family()) {
      BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint());
      p.sender.set_mtu_discovery(mode);
      const std::string fits(p.largest, 'x');
      const std::string too_large(p.largest + 1, 'x');
      BOOST_TEST(co_await p.sender.send(fits) == fits.size());
      BOOST_TEST(co_await size_of_next(p.receiver) == fits.size());
      BOOST_TEST(is_message_size((co_await as_result(p.sender.send(too_large))).error()));
      const std::vector<std::string> pieces = {fits, "x"};
      BOOST_TEST(is_message_size((co_await as_result(p.sender.send(pieces))).error()));
      BOOST_TEST(is_message_size(
          (co_await as_result(p.sender.send_to(too_large, p.sender.remote_endpoint()))).error()));
      BOOST_TEST(co_await p.sender.send("short") == 5u);
      BOOST_TEST(co_await size_of_next(p.receiver) == 5u);
    }
}

NETWORK_COROUTINE_TEST_CASE(a_batch_ends_at_a_datagram_that_is_too_large) {
  set_mtu_of_loopback(1500);
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint());
    p.sender.set_mtu_discovery(mtu_discovery::dont_fragment);
    const std::string fits(p.largest, 'x');
    const std::string too_large(p.largest + 1, 'x');
    const std::vector<const_buffer> many(20, const_buffer(fits));
    BOOST_TEST(co_await p.sender.send_batch(many) == many.size());
    for (std::size_t i = 0; i != many.size(); ++i)
      BOOST_TEST(co_await size_of_next(p.receiver) == fits.size());
    const std::array<const_buffer, 4> mixed = {const_buffer(fits), const_buffer(too_large),
                                               const_buffer(too_large), const_buffer(fits)};
    try {
      co_await p.sender.send_batch(mixed);
      BOOST_ERROR("sent");
    } catch (const cosock::transfer_error& e) {
      BOOST_TEST(is_message_size(e.code()));
      BOOST_TEST(e.datagrams_transferred() == 1u);
    }
    BOOST_TEST(co_await size_of_next(p.receiver) == fits.size());
  }
}

NETWORK_COROUTINE_TEST_CASE(the_df_bit_is_that_of_the_mode) {
  udp_socket receiver(any_port_v4);
  const auto packets = raw_socket::of(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP));
  const endpoint at_any_v6(address::any_v6(), 0);
  for (const endpoint& at : {any_port_v4, at_any_v6})
    for (const mtu_discovery mode : every_mode) {
      udp_socket sender(at);
      sender.set_mtu_discovery(mode);
      BOOST_TEST((sender.mtu_discovery() == mode));
      co_await sender.send_to("x", receiver.local_endpoint());
      iphdr header;
      BOOST_REQUIRE(::recv(packets.fd(), &header, sizeof header, 0) == sizeof header);
      BOOST_TEST(((ntohs(header.frag_off) & IP_DF) != 0) == (mode != mtu_discovery::off));
    }
}

NETWORK_COROUTINE_TEST_CASE(the_path_mtu_of_a_connected_socket) {
  set_mtu_of_loopback(1500);
  for (const pair& p : every_family()) {
    BOOST_TEST(p.sender.path_mtu() == 1500);
    BOOST_CHECK_EXCEPTION((void)p.receiver.path_mtu(), boost::system::system_error,
                          is(errc::not_connected));
  }
  co_return;
}

/// A router on the way takes packets of 1000 bytes at most.
NETWORK_COROUTINE_TEST_CASE(a_known_path_mtu_is_a_limit_unless_the_mode_is_probe) {
  set_mtu_of_loopback(1500);
  add_route({192, 0, 2, 1}, 1000);
  const std::string fits(972, 'x');
  const std::string too_large(973, 'x');
  const std::string larger_than_the_interface(1473, 'x');
  udp_socket sender = co_await cosock::connect_udp(endpoint::parse("192.0.2.1:7"));
  BOOST_TEST(sender.path_mtu() == 1000);
  for (const mtu_discovery mode : {mtu_discovery::off, mtu_discovery::fragment}) {
    sender.set_mtu_discovery(mode);
    BOOST_TEST(co_await sender.send(larger_than_the_interface) == 1473u);
  }
  sender.set_mtu_discovery(mtu_discovery::dont_fragment);
  BOOST_TEST(co_await sender.send(fits) == 972u);
  BOOST_TEST(is_message_size((co_await as_result(sender.send(too_large))).error()));
  sender.set_mtu_discovery(mtu_discovery::probe);
  BOOST_TEST(co_await sender.send(too_large) == 973u);
  BOOST_TEST(is_message_size((co_await as_result(sender.send(larger_than_the_interface))).error()));
}

COROUTINE_TEST_CASE(a_mode_that_is_not_listed_is_off) {
  udp_socket socket(any_port_v4);
  const int mode = IP_PMTUDISC_OMIT;
  BOOST_REQUIRE(
      ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof mode) == 0);
  BOOST_TEST((socket.mtu_discovery() == mtu_discovery::off));
  co_return;
}

COROUTINE_TEST_CASE(a_closed_socket_has_no_path_mtu) {
  udp_socket socket(any_port_v4);
  socket.close();
  BOOST_CHECK_EXCEPTION((void)socket.path_mtu(), boost::system::system_error,
                        is(cosock::error::closed));
  BOOST_CHECK_EXCEPTION((void)socket.mtu_discovery(), boost::system::system_error,
                        is(cosock::error::closed));
  BOOST_CHECK_EXCEPTION(socket.set_mtu_discovery(mtu_discovery::probe), boost::system::system_error,
                        is(cosock::error::closed));
  co_return;
}
