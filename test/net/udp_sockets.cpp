// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// UDP sockets: their addresses, their options, and the errors of the network.

#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE udp_sockets
#include "loop_endings.hpp"
#include "netns.hpp"
#include "support.hpp"
#include "udp_fixture.hpp"

#include <net/if.h>

#include <string>
#include <vector>

namespace {

using namespace test;
using boost::system::error_code;
using boost::system::system_error;
using cosock::address;
using cosock::as_result;
using cosock::const_buffer;
using cosock::datagram_batch;
using cosock::endpoint;
using cosock::network_interface;
using cosock::outgoing_datagram;
using cosock::packet_info;
using cosock::udp_socket;
using cosock::udp_socket_options;
namespace errc = boost::system::errc;

BOOST_AUTO_TEST_SUITE(addresses)

COROUTINE_TEST_CASE(dual_stack) {
  udp_socket both(endpoint(address::any_v6(), 0));
  udp_socket v4(any_port_v4);
  udp_socket v6(any_port_v6);
  const std::uint16_t port = both.local_endpoint().port();
  char into[16];
  co_await v4.send_to("four", endpoint(address::loopback_v4(), port));
  auto got = co_await both.receive_from(into);
  BOOST_TEST(got.from.address().is_v4_mapped());
  BOOST_TEST(got.from.address().unmapped() == address::loopback_v4());
  // Mapped or not, it reaches the IPv4 peer.
  co_await both.send_to("mapped", got.from);
  BOOST_TEST(co_await next_text(v4) == "mapped");
  co_await both.send_to("plain", v4.local_endpoint());
  BOOST_TEST(co_await next_text(v4) == "plain");
  co_await v6.send_to("six", endpoint(address::loopback_v6(), port));
  got = co_await both.receive_from(into);
  BOOST_TEST(got.from == v6.local_endpoint());
  both.connect(v4.local_endpoint());
  co_await both.send("connected");
  BOOST_TEST(co_await next_text(v4) == "connected");
}

COROUTINE_TEST_CASE(v6_only) {
  udp_socket_options options;
  options.v6_only = true;
  udp_socket six(endpoint(address::any_v6(), 0), options);
  udp_socket four(endpoint(address::any_v4(), six.local_endpoint().port()));  // no clash
  const auto sent = co_await as_result(six.send_to("x", four.local_endpoint()));
  BOOST_TEST(sent.has_error());
}

COROUTINE_TEST_CASE(what_cannot_be_opened_says_which_address) {
  udp_socket taken(any_port_v4);
  const endpoint at = taken.local_endpoint();
  BOOST_CHECK_EXCEPTION(udp_socket{at}, system_error, [&](const system_error& e) {
    return e.code() == errc::address_in_use &&
           std::string_view(e.what()).find(at.to_string()) != std::string_view::npos;
  });
  const endpoint foreign(address::parse("192.0.2.1"), 0);
  BOOST_TEST(thrown_by([&] { udp_socket{foreign}; }) == errc::address_not_available);
  co_return;
}

COROUTINE_TEST_CASE(reuse_port_shares_a_port) {
  udp_socket_options options;
  options.reuse_port = true;
  udp_socket one(any_port_v4, options);
  udp_socket two(one.local_endpoint(), options);
  BOOST_TEST(one.local_endpoint() == two.local_endpoint());
  co_return;
}

COROUTINE_TEST_CASE(it_is_connected_to_a_peer) {
  udp_socket server(any_port_v4);
  udp_socket client = co_await cosock::connect_udp(server.local_endpoint());
  BOOST_TEST(client.remote_endpoint() == server.local_endpoint());
  co_await client.send("hello");
  char into[16];
  const auto got = co_await server.receive_from(into);
  BOOST_TEST(got.from == client.local_endpoint());
  client.disconnect();
  BOOST_TEST(thrown_by([&] { (void)client.remote_endpoint(); }) == errc::not_connected);
}

COROUTINE_TEST_CASE(connecting_is_a_cancellation_point) {
  udp_socket server(any_port_v4);
  cosock::cancel_scope scope;
  scope.cancel();
  const auto connected =
      co_await as_result(scope.run(cosock::connect_udp(server.local_endpoint())));
  BOOST_TEST(connected.error() == cosock::error::cancelled);
}

COROUTINE_TEST_CASE(connect_by_name) {
  udp_socket server(any_port_v4);
  const std::string port = std::to_string(server.local_endpoint().port());
  udp_socket client = co_await cosock::connect_udp("127.0.0.1", port);
  co_await client.send("by name");
  BOOST_TEST(co_await next_text(server) == "by name");
  client = co_await cosock::connect_udp("127.0.0.1", server.local_endpoint().port());
  co_await client.send("by number");
  BOOST_TEST(co_await next_text(server) == "by number");
  const auto bad_port = co_await as_result(cosock::connect_udp("127.0.0.1", "70000"));
  BOOST_TEST(bad_port.error() == cosock::error::service_not_found);
}

COROUTINE_TEST_CASE(an_answer_comes_from_where_the_question_went) {
  for (const bool v6 : {false, true}) {
    udp_socket_options options;
    options.receive_address = true;
    udp_socket server(endpoint(v6 ? address::any_v6() : address::any_v4(), 0), options);
    const endpoint to(address::parse("127.0.0.2"), server.local_endpoint().port());
    udp_socket client(any_port_v4);
    co_await client.send_to("?", to);
    char into[16];
    packet_info info;
    const auto got = co_await server.receive_from(into, info);
    BOOST_TEST(info.local.unmapped() == to.address());
    BOOST_TEST(info.interface_index == network_interface::by_name("lo").interface_index());
    co_await server.send_to("!", got.from, info);
    auto answer = co_await client.receive_from(into);
    BOOST_TEST(answer.from == to);
    // In a batch likewise.
    outgoing_datagram<> each;
    each.data = const_buffer("!!");
    each.to = got.from;
    each.source = &info;
    const std::vector<outgoing_datagram<>> two(2, each);
    BOOST_TEST(co_await server.send_batch(two) == 2u);
    answer = co_await client.receive_from(into);
    BOOST_TEST(answer.from == to);
    answer = co_await client.receive_from(into);
    BOOST_TEST(answer.from == to);
  }
}

/// What is not set, or cannot be the source, is left to the system.
COROUTINE_TEST_CASE(a_packet_info_that_says_little_is_no_hindrance) {
  packet_info nothing;
  packet_info interface_only;
  interface_only.interface_index = network_interface::by_name("lo").interface_index();
  packet_info group;
  group.local = address::parse("239.1.2.3");
  packet_info all;
  all.local = address::parse("255.255.255.255");
  packet_info other_family;
  other_family.local = address::loopback_v6();
  udp_socket receiver(any_port_v4);
  const endpoint to = receiver.local_endpoint();
  for (const endpoint& at : {any_port_v4, endpoint(address::any_v6(), 0)}) {
    for (const packet_info* source : {&nothing, &interface_only, &group, &all, &other_family}) {
      udp_socket s(at);
      outgoing_datagram<> each;
      each.data = const_buffer("batch");
      each.to = to;
      each.source = source;
      const std::vector<outgoing_datagram<>> one(1, each);
      co_await s.send_to("single", to, *source);
      BOOST_TEST(co_await next_text(receiver) == "single");
      co_await s.send_batch(one);
      BOOST_TEST(co_await next_text(receiver) == "batch");
      s.connect(to);
      each.source = source;
      co_await s.send_to("connected", to, *source);
      BOOST_TEST(co_await next_text(receiver) == "connected");
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(errors)

/// A port of 127.0.0.1 where nobody listens.
endpoint closed_port() {
  udp_socket s(any_port_v4);
  return s.local_endpoint();
}

COROUTINE_TEST_CASE(port_unreachable_does_not_stop_a_connected_socket) {
  for (const bool batches : {false, true}) {
    const endpoint to = closed_port();
    udp_socket client = co_await cosock::connect_udp(to);
    char into[16];
    co_await client.send("anybody?");
    datagram_batch batch(4, 16);
    error_code why;
    if (batches) {
      const auto result = co_await as_result(client.receive_batch(batch));
      why = result.error();
    } else {
      const auto result = co_await as_result(client.receive(into));
      why = result.error();
    }
    BOOST_TEST(why == errc::connection_refused);
    // A sender learns of it too, and the next try is made.
    co_await client.send("anybody now?");
    const auto sent = co_await as_result(client.send("and now?"));
    BOOST_TEST(sent.error() == errc::connection_refused);
    udp_socket server(to);
    co_await client.send("now!");
    BOOST_TEST(co_await next_text(server) == "now!");
    co_await server.send_to("yes", client.local_endpoint());
    BOOST_TEST(co_await next_text(client) == "yes");
  }
}

COROUTINE_TEST_CASE(port_unreachable_is_nothing_to_others) {
  udp_socket s(any_port_v4);
  co_await s.send_to("anybody?", closed_port());
  BOOST_TEST(co_await stays_silent(s));
}

/// An error between the datagrams of a batch does not lose any.
COROUTINE_TEST_CASE(an_error_with_datagrams_in_the_queue_loses_none) {
  udp_socket server(any_port_v4);
  udp_socket client = co_await cosock::connect_udp(server.local_endpoint());
  co_await server.send_to("one", client.local_endpoint());
  co_await server.send_to("two", client.local_endpoint());
  server.close();
  co_await client.send("gone?");
  datagram_batch batch(8, 16);
  const auto refused = co_await as_result(client.receive_batch(batch));
  BOOST_TEST(refused.error() == errc::connection_refused);
  BOOST_TEST(co_await client.receive_batch(batch) == 2u);
}

COROUTINE_TEST_CASE(broadcast_needs_the_option) {
  udp_socket s(endpoint(address::any_v4(), 0));
  const endpoint all(address::parse("127.255.255.255"), 9);
  BOOST_TEST((co_await as_result(s.send_to("x", all))).error() == errc::permission_denied);
  BOOST_TEST(!s.broadcast());
  s.set_broadcast(true);
  BOOST_TEST(s.broadcast());
  udp_socket receiver(endpoint(address::any_v4(), 0));
  co_await s.send_to("to all", endpoint(all.address(), receiver.local_endpoint().port()));
  BOOST_TEST(co_await next_text(receiver) == "to all");
}

COROUTINE_TEST_CASE(what_cannot_be_adopted_is_closed) {
  BOOST_TEST(thrown_by([] { (void)udp_socket::adopt(-1); }) == system_code(EBADF));
  const int ping = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (ping >= 0)
    BOOST_TEST(thrown_by([&] { (void)udp_socket::adopt(ping); }) == errc::wrong_protocol_type);
  for (const auto& [family, type] : {std::pair(AF_INET, SOCK_STREAM), {AF_UNIX, SOCK_DGRAM}}) {
    const int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
    BOOST_TEST(thrown_by([&] { (void)udp_socket::adopt(fd); }).failed());
    BOOST_TEST(::fcntl(fd, F_GETFD) == -1);
  }
  co_return;
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(options)

COROUTINE_TEST_CASE(options_round_trip) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    udp_socket s(at);
    s.set_hops(9);
    BOOST_TEST(s.hops() == 9);
    s.set_traffic_class(0x10);
    BOOST_TEST(s.traffic_class() == 0x10);
    s.set_multicast_hops(5);
    BOOST_TEST(s.multicast_hops() == 5);
    BOOST_TEST(s.multicast_loopback());
    s.set_multicast_loopback(false);
    BOOST_TEST(!s.multicast_loopback());
    s.set_receive_buffer(20000);
    BOOST_TEST(s.receive_buffer() == 40000);
    s.set_send_buffer(20000);
    BOOST_TEST(s.send_buffer() == 40000);
    BOOST_TEST(s.dropped() == 0u);
    BOOST_TEST(thrown_by([&] { s.set_hops(300); }) == errc::invalid_argument);
    s.close();
    BOOST_TEST(thrown_by([&] { s.set_hops(9); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { (void)s.traffic_class(); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { s.join(address::parse("239.1.1.1")); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { s.connect(at); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { s.disconnect(); }) == cosock::error::closed);
  }
  co_return;
}

COROUTINE_TEST_CASE(an_adopted_socket_goes_on_as_it_was) {
  udp_socket_options options;
  options.receive_hops = true;
  options.receive_offload = true;
  udp_socket first(any_port_v4, options);
  const endpoint to = first.local_endpoint();
  udp_socket s = udp_socket::adopt(first.release());
  udp_socket client(any_port_v4);
  const std::vector<const_buffer> three(3, const_buffer("same"));
  co_await client.send_batch(three, to);
  char into[16];
  packet_info info;
  co_await s.receive_from(into, info);
  BOOST_TEST(info.hops.value() > 0);
  BOOST_TEST(co_await next_text(s) == "same");
  BOOST_TEST(co_await next_text(s) == "same");
}

BOOST_AUTO_TEST_CASE(interfaces) {
  const network_interface lo = network_interface::by_name("lo");
  BOOST_TEST(lo.interface_index() == ::if_nametoindex("lo"));
  BOOST_TEST(network_interface::by_address(address::loopback_v4()).interface_index() ==
             lo.interface_index());
  BOOST_TEST(network_interface::by_index(7).interface_index() == 7u);
  BOOST_CHECK_EXCEPTION(
      (void)network_interface::by_name("nosuch0"), system_error, [](const system_error& e) {
        return e.code() == errc::no_such_device &&
               std::string_view(e.what()).find("nosuch0") != std::string_view::npos;
      });
  BOOST_TEST(thrown_by([] { (void)network_interface::by_name(""); }) == errc::no_such_device);
  BOOST_TEST(thrown_by([] { (void)network_interface::by_name(std::string_view("lo\0x", 4)); }) ==
             errc::no_such_device);
  BOOST_TEST(thrown_by([] { (void)network_interface::by_address(address::parse("192.0.2.1")); }) ==
             errc::address_not_available);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
