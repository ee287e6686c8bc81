// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#define BOOST_TEST_MODULE scope_ids
#include "netns.hpp"
#include "support.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/connect.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <string>
#include <vector>

// The scope id of an IPv6 address is the interface, for every kind of address and every use of it.

namespace {

using namespace test;
using boost::system::system_error;
using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::network_interface;
using cosock::outgoing_datagram;
using cosock::packet_info;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::udp_socket;
namespace errc = boost::system::errc;

/// Two interfaces, d0 and d1, with the same link-local addresses, and their peers e0 and e1.
void make_interfaces() {
  std::string all = "true";
  for (const std::string n : {"0", "1"})
    all += " && ip link add d" + n + " type veth peer name e" + n + " && ip link set e" + n +
           " up && ip -6 addr add fd31:" + n + "::1/64 dev d" + n +
           " nodad && ip -6 addr add fe80::1/64 dev d" + n + " nodad && ip link set d" + n + " up";
  BOOST_REQUIRE(std::system(all.c_str()) == 0);
  for (const char* each : {"d0", "d1"}) wait_for_multicast(each);
}

unsigned index_of(const char* name) { return network_interface::by_name(name).interface_index(); }
endpoint at(const std::string& host, std::uint16_t port) { return {address::parse(host), port}; }

/// That it is refused, with the scope in the text.
template <class F>
void refused(F f, const char* what) {
  BOOST_TEST_INFO_SCOPE(what);
  BOOST_CHECK_EXCEPTION(f(), system_error, [](const system_error& e) {
    BOOST_TEST_INFO(e.what());
    const bool named = std::string_view(e.what()).find("%4711") != std::string_view::npos;
    return e.code() == errc::no_such_device && named;
  });
}
task<> refused_later(task<> f, const char* what) {
  BOOST_TEST_INFO_SCOPE(what);
  std::exception_ptr thrown;
  try {
    co_await std::move(f);
  } catch (const system_error&) {
    thrown = std::current_exception();
  }
  refused(
      [&] {
        if (thrown) std::rethrow_exception(thrown);
      },
      what);
}

/// The interface that a socket is bound to; 0: none.
unsigned used_by(int fd) {
  int index = -1;
  socklen_t size = sizeof index;
  BOOST_TEST(::getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &size) == 0);
  return static_cast<unsigned>(index);
}

const char* const kinds[] = {"fe80::1", "fd31:1::1", "ff02::7", "ff15::7", "::"};

}  // namespace

NETWORK_COROUTINE_TEST_CASE(tcp_goes_over_the_interface_that_is_named) {
  make_interfaces();
  for (const char* host : {"fe80::1%d1", "fd31:1::1%d1", "::%d1"}) {
    BOOST_TEST_INFO_SCOPE(host);
    tcp_acceptor acceptor(at(host, 0));
    BOOST_TEST(used_by(acceptor.native_handle()) == index_of("d1"));
    cosock::tcp_acceptors several(at(host, 0), 1);
    const endpoint to =
        at(host == std::string("::%d1") ? "fe80::1%d1" : host, acceptor.local_endpoint().port());
    for (const bool local : {false, true}) {
      cosock::connect_options options;
      if (local) options.local = endpoint(to.address(), 0);
      auto accepting = acceptor.accept();
      tcp_socket client = co_await cosock::connect(to, options);
      tcp_socket server = co_await std::move(accepting);
      BOOST_TEST(used_by(client.native_handle()) == index_of("d1"));
      co_await server.send("x");
      char into[1];
      BOOST_TEST(co_await client.receive(into) == 1u);
    }
  }
  // Another interface than the one that the connection comes from.
  const auto mixed =
      co_await as_result(cosock::connect(at("fe80::1%d1", 9), {.local = at("fe80::1%d0", 0)}));
  BOOST_TEST(mixed.error() == errc::invalid_argument);
  // fd31:1::1 is reached, but not over d0.
  tcp_acceptor acceptor(at("fd31:1::1", 0));
  const endpoint wrong = at("fd31:1::1%d0", acceptor.local_endpoint().port());
  const auto reached = co_await as_result(cosock::with_timeout(200ms, cosock::connect(wrong)));
  BOOST_TEST(!reached.has_value());
}

NETWORK_COROUTINE_TEST_CASE(udp_goes_over_the_interface_that_is_named) {
  make_interfaces();
  for (const char* kind : kinds) {
    BOOST_TEST_INFO_SCOPE(kind);
    const std::string scoped = kind + std::string("%d1");
    udp_socket bound(at(scoped, 0));
    BOOST_TEST(used_by(bound.native_handle()) == index_of("d1"));
    if (kind == std::string("::")) continue;
    udp_socket connected = co_await cosock::connect_udp(at(scoped, 9));
    BOOST_TEST(used_by(connected.native_handle()) == index_of("d1"));
    BOOST_CHECK_EXCEPTION(connected.connect(at(kind + std::string("%d0"), 9)), system_error,
                          is(errc::invalid_argument));
  }
  co_return;
}

/// Each way to send, to a group for which the routes lead to d0 or nowhere.
NETWORK_COROUTINE_TEST_CASE(a_datagram_leaves_over_the_interface_that_is_named) {
  make_interfaces();
  udp_socket member(endpoint(address::any_v6(), 0), {.receive_address = true});
  udp_socket sender(endpoint(address::any_v6(), 0));
  sender.set_multicast_interface(network_interface::by_name("d0"));
  for (const char* group : {"ff02::7", "ff15::7"}) {
    BOOST_TEST_INFO_SCOPE(group);
    const endpoint to = at(group + std::string("%d1"), member.local_endpoint().port());
    for (const char* on : {"d0", "d1"})
      member.join(address::parse(group), network_interface::by_name(on));
    co_await sender.send_to("one", to);
    const std::vector<cosock::const_buffer> two = {cosock::buffer("a", 1), cosock::buffer("b", 1)};
    co_await sender.send_to(two, to);
    co_await sender.send_to("as", to, packet_info());
    const std::vector<cosock::const_buffer> batch(3, cosock::const_buffer("same"));
    BOOST_TEST(co_await sender.send_batch(batch, to) == 3u);
    std::vector<outgoing_datagram<>> each(2);
    each[0] = {cosock::const_buffer("d1"), to};
    each[1] = {cosock::const_buffer("d0"), at(group, to.port())};
    BOOST_TEST(co_await sender.send_batch(each) == 2u);
    for (int i = 0; i != 8; ++i) {
      char into[16];
      packet_info info;
      (void)co_await member.receive_from(into, info);
      BOOST_TEST(info.interface_index == index_of(i == 7 ? "d0" : "d1"), "datagram " << i);
    }
  }
  // The scope id of the address to send from, where no interface is given.
  packet_info from;
  from.local = address::parse("fe80::1%d1");
  co_await sender.send_to("from", at("ff15::7", member.local_endpoint().port()), from);
  char into[16];
  packet_info info;
  const auto got = co_await member.receive_from(into, info);
  BOOST_TEST(info.interface_index == index_of("d1"));
  BOOST_TEST(got.from.address() == from.local);
}

NETWORK_COROUTINE_TEST_CASE(a_scope_id_that_names_no_interface_is_refused) {
  make_interfaces();
  for (const char* kind : kinds) {
    const address host = address::parse(kind + std::string("%4711"));
    const endpoint to(host, 9);
    refused([&] { udp_socket{endpoint(host, 0)}; }, kind);
    refused([&] { tcp_acceptor{endpoint(host, 0)}; }, kind);
    refused([&] { cosock::tcp_acceptors{endpoint(host, 0), 2}; }, kind);
    udp_socket s(endpoint(address::any_v6(), 0));
    refused([&] { s.connect(to); }, kind);
    // It has left no trace.
    BOOST_TEST(used_by(s.native_handle()) == 0u);
    if (kind != std::string("::")) {
      co_await refused_later(
          [](udp_socket& s, endpoint to) -> task<> { co_await s.send_to("x", to); }(s, to), kind);
      const auto sent = co_await as_result(s.send_to("x", to));
      BOOST_TEST(sent.error() == errc::no_such_device);
      const std::vector<cosock::const_buffer> batch(3, cosock::const_buffer("same"));
      const auto all = co_await as_result(s.send_batch(batch, to));
      BOOST_TEST(all.error() == errc::no_such_device);
    }
    co_await refused_later([](endpoint to) -> task<> { (void)co_await cosock::connect(to); }(to),
                           kind);
    co_await refused_later(
        [](endpoint to) -> task<> { (void)co_await cosock::connect_udp(to); }(to), kind);
    co_await refused_later(
        [](endpoint local) -> task<> {
          (void)co_await cosock::connect(endpoint(address::loopback_v6(), 9), {.local = local});
        }(endpoint(host, 0)),
        kind);
    co_await refused_later(
        [](endpoint to) -> task<> {
          (void)co_await cosock::connect(std::vector<endpoint>(2, to));
        }(to),
        kind);
  }
}

NETWORK_TEST_CASE(an_interface_is_found_by_an_address_and_a_scope_id) {
  make_interfaces();
  for (const char* on : {"d0", "d1"}) {
    const std::string link_local = std::string("fe80::1%") + on;
    BOOST_TEST(network_interface::by_address(address::parse(link_local)).interface_index() ==
               index_of(on));
    const std::string global = std::string("fd31:1::1%") + on;
    if (on == std::string("d1"))
      BOOST_TEST(network_interface::by_address(address::parse(global)).interface_index() ==
                 index_of(on));
    else
      BOOST_CHECK_EXCEPTION((void)network_interface::by_address(address::parse(global)),
                            system_error, is(errc::address_not_available));
  }
}
