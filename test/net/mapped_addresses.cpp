// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// IPv4-mapped addresses, wherever an IPv4 address works.

#include <cosock/address.hpp>

#define BOOST_TEST_MODULE mapped_addresses
#include "connect_fixture.hpp"
#include "raw_socket.hpp"
#include "udp_fixture.hpp"

#include <cosock/connect.hpp>

#include <array>
#include <vector>

namespace {

using namespace test;
using cosock::address;
using cosock::address_range;
using cosock::const_buffer;
using cosock::network_interface;
using cosock::outgoing_datagram;
using cosock::packet_info;
using cosock::tcp_acceptor;

endpoint mapped(const endpoint& v4) {
  return {address::parse("::ffff:" + v4.address().to_string()), v4.port()};
}
const endpoint mapped_any_port = mapped(any_port_v4);

int domain_of(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  BOOST_REQUIRE(::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0);
  return domain;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tcp)

COROUTINE_TEST_CASE(a_connection_uses_an_ipv4_socket) {
  const listener server;
  const tcp_socket client = co_await connect(mapped(server.at()));
  BOOST_TEST(domain_of(client.native_handle()) == AF_INET);
  BOOST_TEST(client.remote_endpoint() == server.at());
  const std::vector<endpoint> peers = {mapped(server.at())};
  const tcp_socket one_of_several = co_await connect(peers);
  BOOST_TEST(one_of_several.remote_endpoint() == server.at());
  const tcp_socket by_host = co_await connect("::ffff:127.0.0.1", server.at().port());
  BOOST_TEST(by_host.remote_endpoint() == server.at());
}

COROUTINE_TEST_CASE(the_local_endpoint_of_a_connection_has_either_form) {
  const listener server;
  const endpoint local = endpoint::parse("127.0.0.2:0");
  for (const endpoint& from : {local, mapped(local)})
    for (const endpoint& to : {server.at(), mapped(server.at())}) {
      BOOST_TEST_INFO_SCOPE(from << " to " << to);
      const tcp_socket client = co_await connect(to, {.local = from});
      BOOST_TEST(client.local_endpoint().address() == local.address());
      const std::vector<endpoint> peers = {to};
      const tcp_socket one_of_several = co_await connect(peers, {.local = from});
      BOOST_TEST(one_of_several.local_endpoint().address() == local.address());
      const tcp_socket by_host = co_await connect("127.0.0.1", server.at().port(), {.local = from});
      BOOST_TEST(by_host.local_endpoint().address() == local.address());
    }
}

COROUTINE_TEST_CASE(a_connection_from_a_local_ipv6_endpoint_uses_an_ipv6_socket) {
  const listener server;
  const endpoint any_v6(address::any_v6(), 0);
  const tcp_socket client = co_await connect(mapped(server.at()), {.local = any_v6});
  BOOST_TEST(domain_of(client.native_handle()) == AF_INET6);
  const std::vector<endpoint> peers = {mapped(server.at())};
  const tcp_socket one_of_several = co_await connect(peers, {.local = any_v6});
  BOOST_TEST(one_of_several.remote_endpoint() == mapped(server.at()));
}

COROUTINE_TEST_CASE(a_mapped_endpoint_belongs_to_the_family_ipv4) {
  const listener server;
  const std::vector<endpoint> peers = {mapped(server.at())};
  const tcp_socket client = co_await connect(peers, {.family = cosock::family::v4});
  BOOST_TEST(client.remote_endpoint() == server.at());
  const refusal why = co_await failure_of(connect(peers, {.family = cosock::family::v6}));
  BOOST_TEST((why.code == cosock::error::host_not_found));
}

COROUTINE_TEST_CASE(a_refusal_names_the_address_that_the_program_has_passed) {
  const closed_port closed;
  const refusal why = co_await failure_of(connect(mapped(closed.at())));
  BOOST_TEST(why.code == boost::system::errc::connection_refused);
  BOOST_TEST(contains(why.text, mapped(closed.at()).to_string()), why.text);
}

COROUTINE_TEST_CASE(a_connection_to_oneself_is_refused) {
  endpoint own;
  {
    const closed_port some;
    own = some.at();
  }
  const refusal why = co_await failure_of(connect(mapped(own), {.local = own}));
  BOOST_TEST(why.code == boost::system::errc::connection_refused);
}

COROUTINE_TEST_CASE(an_acceptor_opens_an_ipv4_socket) {
  for (const bool v6_only : {false, true}) {
    tcp_acceptor acceptor(mapped_any_port, {.v6_only = v6_only});
    BOOST_TEST(domain_of(acceptor.native_handle()) == AF_INET);
    BOOST_TEST(acceptor.local_endpoint().address() == address::loopback_v4());
    const tcp_socket client = co_await connect(acceptor.local_endpoint());
    endpoint peer;
    const tcp_socket server = co_await acceptor.accept(peer);
    BOOST_TEST(peer == client.local_endpoint());
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(udp)

/// An IPv4 socket and an IPv6 socket at all addresses of this machine.
struct senders {
  udp_socket v4{any_port_v4};
  udp_socket v6{endpoint(address::any_v6(), 0)};
  std::array<udp_socket*, 2> all{&v4, &v6};
};

COROUTINE_TEST_CASE(both_forms_are_destinations) {
  udp_socket receiver(any_port_v4);
  senders from;
  for (udp_socket* const sender : from.all)
    for (const endpoint& to : {receiver.local_endpoint(), mapped(receiver.local_endpoint())}) {
      BOOST_TEST_INFO_SCOPE("from " << sender->local_endpoint() << " to " << to);
      co_await sender->send_to("one", to);
      BOOST_TEST(co_await next_text(receiver) == "one");
      packet_info source;
      source.local = mapped(any_port_v4).address();
      co_await sender->send_to("with a source", to, source);
      BOOST_TEST(co_await next_text(receiver) == "with a source");
      const std::array<const_buffer, 2> two = {const_buffer("first"), const_buffer("second")};
      co_await sender->send_batch(two, to);
      BOOST_TEST(co_await next_text(receiver) == "first");
      BOOST_TEST(co_await next_text(receiver) == "second");
      const std::array<outgoing_datagram<>, 1> addressed = {{{.data = "addressed", .to = to}}};
      co_await sender->send_batch(addressed);
      BOOST_TEST(co_await next_text(receiver) == "addressed");
      sender->connect(to);
      co_await sender->send("connected");
      BOOST_TEST(co_await next_text(receiver) == "connected");
    }
}

COROUTINE_TEST_CASE(a_socket_is_ipv4) {
  for (const bool v6_only : {false, true}) {
    udp_socket socket(mapped_any_port, {.v6_only = v6_only, .receive_address = true});
    BOOST_TEST(domain_of(socket.native_handle()) == AF_INET);
    BOOST_TEST(socket.local_endpoint().address() == address::loopback_v4());
    udp_socket client =
        co_await cosock::connect_udp(mapped(socket.local_endpoint()), {.v6_only = v6_only});
    BOOST_TEST(domain_of(client.native_handle()) == AF_INET);
    BOOST_TEST(client.remote_endpoint() == socket.local_endpoint());
    co_await client.send("text");
    char into[8];
    packet_info info;
    const auto got = co_await socket.receive_from(into, info);
    BOOST_TEST(got.from == client.local_endpoint());
    BOOST_TEST(info.local == address::loopback_v4());
    client.disconnect();
    const udp_socket by_host = co_await cosock::connect_udp("::ffff:127.0.0.1", "7");
    BOOST_TEST(domain_of(by_host.native_handle()) == AF_INET);
  }
}

COROUTINE_TEST_CASE(a_filter_applies_to_both_forms) {
  udp_socket receiver(any_port_v4);
  const address_range loopback = address_range::parse("127.0.0.0/8");
  udp_socket sender(any_port_v4, {.filter = {.deny = std::span(&loopback, 1)}});
  for (const endpoint& to : {receiver.local_endpoint(), mapped(receiver.local_endpoint())}) {
    const auto result = co_await as_result(sender.send_to("denied", to));
    BOOST_TEST((result.error() == cosock::error::address_denied));
    BOOST_CHECK_EXCEPTION(sender.connect(to), boost::system::system_error,
                          is(cosock::error::address_denied));
  }
}

COROUTINE_TEST_CASE(an_ipv6_destination_of_an_ipv4_socket_is_an_error) {
  udp_socket sender(any_port_v4);
  const auto result = co_await as_result(sender.send_to("x", endpoint::parse("[::1]:7")));
  BOOST_TEST(result.has_error());
}

/// An IPv4 socket has no scope ids: the interface would be ignored.
COROUTINE_TEST_CASE(a_mapped_address_with_a_scope_id_is_no_ipv4_address) {
  const unsigned index = network_interface::by_name("lo").interface_index();
  const address scoped(address::parse("::ffff:127.0.0.1").bytes(), index);
  udp_socket socket(endpoint(scoped, 0));
  BOOST_TEST(domain_of(socket.native_handle()) == AF_INET6);
  udp_socket sender(any_port_v4);
  const auto result =
      co_await as_result(sender.send_to("x", endpoint(scoped, socket.local_endpoint().port())));
  BOOST_TEST(result.has_error());
}

COROUTINE_TEST_CASE(an_interface_is_found_by_both_forms) {
  const network_interface lo = network_interface::by_name("lo");
  for (const char* own : {"127.0.0.1", "::ffff:127.0.0.1"})
    BOOST_TEST(network_interface::by_address(address::parse(own)).interface_index() ==
               lo.interface_index());
  BOOST_CHECK_EXCEPTION((void)network_interface::by_address(address::parse("::ffff:192.0.2.1")),
                        boost::system::system_error,
                        [](const auto& e) { return contains(e.what(), "::ffff:192.0.2.1"); });
  co_return;
}

BOOST_AUTO_TEST_SUITE_END()
