// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The traffic class and the ECN of single datagrams.

#include <cosock/datagram.hpp>

#define BOOST_TEST_MODULE udp_traffic_class
#include "udp_fixture.hpp"

#include <cosock/local_datagram.hpp>

#include <string>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::address;
using cosock::address_range;
using cosock::datagram_batch;
using cosock::endpoint;
using cosock::outgoing_datagram;
using cosock::packet_info;
using cosock::task;
using cosock::udp_socket;
namespace errc = boost::system::errc;

constexpr int of_socket = 0x10;
constexpr int of_datagram = 0x2e << 2 | 1;  // expedited, ECN-capable

/// A sender whose datagrams have a class of their own, and a receiver that reads the class.
struct pair {
  pair(const endpoint& from, const endpoint& at, const address& to)
      : sender(from),
        receiver(at, {.receive_address = true, .receive_traffic_class = true}),
        to(to, receiver.local_endpoint().port()) {
    sender.set_traffic_class(of_socket);
  }
  outgoing_datagram<> with_class(std::optional<int> traffic_class,
                                 const packet_info* source = nullptr) const {
    return {.data = "datagram", .to = to, .source = source, .traffic_class = traffic_class};
  }
  task<packet_info> next() {
    char into[16];
    packet_info info;
    const auto got = co_await receiver.receive_from(into, info);
    BOOST_TEST(std::string(into, got.size) == "datagram");
    co_return info;
  }
  task<int> next_class() { co_return (co_await next()).traffic_class.value(); }
  udp_socket sender;
  udp_socket receiver;
  endpoint to;
};

/// IPv4, IPv6, and an IPv6 socket that sends to both forms of an IPv4 address.
std::vector<pair> every_family() {
  const endpoint any_v6(address::any_v6(), 0);
  std::vector<pair> all;
  all.emplace_back(any_port_v4, any_port_v4, address::loopback_v4());
  all.emplace_back(any_port_v4, any_port_v4, address::parse("::ffff:127.0.0.1"));
  all.emplace_back(any_port_v6, any_port_v6, address::loopback_v6());
  all.emplace_back(any_v6, any_port_v4, address::loopback_v4());
  all.emplace_back(any_v6, any_v6, address::parse("::ffff:127.0.0.1"));
  return all;
}

}  // namespace

COROUTINE_TEST_CASE(a_datagram_has_its_own_class) {
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint() << " to " << p.to);
    for (const int each : {of_datagram, 0, 0xff}) {
      BOOST_TEST(co_await p.sender.send_to(p.with_class(each)) == 8u);
      BOOST_TEST(co_await p.next_class() == each);
    }
  }
}

COROUTINE_TEST_CASE(without_one_it_has_that_of_the_socket) {
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint() << " to " << p.to);
    co_await p.sender.send_to(p.with_class(std::nullopt));
    BOOST_TEST(co_await p.next_class() == of_socket);
    co_await p.sender.send_to({.data = "datagram", .to = p.to});
    BOOST_TEST(co_await p.next_class() == of_socket);
  }
}

COROUTINE_TEST_CASE(each_datagram_of_a_batch_has_its_own) {
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint() << " to " << p.to);
    const std::vector<std::optional<int>> classes = {1, 1, 1, 2, {}, {}, of_datagram, 2, 2};
    std::vector<outgoing_datagram<>> datagrams;
    for (const auto each : classes) datagrams.push_back(p.with_class(each));
    BOOST_TEST(co_await p.sender.send_batch(datagrams) == classes.size());
    for (const auto each : classes) BOOST_TEST(co_await p.next_class() == each.value_or(of_socket));
  }
}

COROUTINE_TEST_CASE(a_batch_that_is_received_has_the_class_of_each) {
  pair p(any_port_v4, any_port_v4, address::loopback_v4());
  const std::vector<outgoing_datagram<>> datagrams = {p.with_class(1), p.with_class(2)};
  co_await p.sender.send_batch(datagrams);
  datagram_batch batch(4, 16);
  BOOST_TEST(co_await p.receiver.receive_batch(batch) == 2u);
  int expected = 0;
  for (const auto& each : batch) BOOST_TEST(each.info().ecn().value() == ++expected);
}

COROUTINE_TEST_CASE(a_source_is_used_beside_it) {
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint() << " to " << p.to);
    packet_info source;
    source.local = p.to.address();
    co_await p.sender.send_to(p.with_class(of_datagram, &source));
    const packet_info one = co_await p.next();
    BOOST_TEST(one.traffic_class.value() == of_datagram);
    BOOST_TEST(one.local.unmapped() == p.to.address().unmapped());
    const std::vector<outgoing_datagram<>> several(3, p.with_class(of_datagram, &source));
    co_await p.sender.send_batch(several);
    for (int i = 0; i != 3; ++i) BOOST_TEST(co_await p.next_class() == of_datagram);
  }
}

/// The information of a request is the source of the reply, and no more: the network that marked the
/// request with "congestion experienced" has not seen the reply.
COROUTINE_TEST_CASE(a_reply_does_not_copy_the_class_of_the_request) {
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint() << " to " << p.to);
    packet_info request;
    request.local = p.to.address();
    request.traffic_class = 3;
    co_await p.sender.send_to("datagram", p.to, request);
    BOOST_TEST(co_await p.next_class() == of_socket);
    co_await p.sender.send_to(p.with_class(std::nullopt, &request));
    BOOST_TEST(co_await p.next_class() == of_socket);
    const std::vector<outgoing_datagram<>> several(3, p.with_class(std::nullopt, &request));
    co_await p.sender.send_batch(several);
    for (int i = 0; i != 3; ++i) BOOST_TEST(co_await p.next_class() == of_socket);
  }
}

COROUTINE_TEST_CASE(a_connected_socket_sends_to_its_peer) {
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint() << " to " << p.to);
    p.sender.connect(p.to);
    co_await p.sender.send_to(p.with_class(of_datagram));
    BOOST_TEST(co_await p.next_class() == of_datagram);
  }
}

COROUTINE_TEST_CASE(a_class_that_is_out_of_range_is_an_error) {
  for (pair& p : every_family()) {
    BOOST_TEST_INFO_SCOPE(p.sender.local_endpoint() << " to " << p.to);
    for (const int bad : {-1, -2, 256, 0x7fffffff}) {
      const auto one = co_await as_result(p.sender.send_to(p.with_class(bad)));
      BOOST_TEST((one.error() == errc::invalid_argument));
      const std::vector<outgoing_datagram<>> several(3, p.with_class(bad));
      const auto batch = co_await as_result(p.sender.send_batch(several));
      BOOST_TEST((batch.error() == errc::invalid_argument));
    }
    co_await p.sender.send_to(p.with_class(1));  // the socket stays usable
    BOOST_TEST(co_await p.next_class() == 1);
  }
}

COROUTINE_TEST_CASE(errors_are_those_of_the_other_sends) {
  udp_socket socket(any_port_v4);
  const endpoint to = socket.local_endpoint();
  const std::string large(70'000, 'x');
  const auto too_large = co_await as_result(socket.send_to({.data = large, .to = to}));
  BOOST_TEST((too_large.error() == errc::message_size));
  const address_range loopback = address_range::parse("127.0.0.0/8");
  udp_socket filtered(any_port_v4, {.filter = {.deny = std::span(&loopback, 1)}});
  BOOST_CHECK_EXCEPTION(
      co_await filtered.send_to({.data = "x", .to = to}), system_error, [&](const system_error& e) {
        return e.code() == cosock::error::address_denied && contains(e.what(), to.to_string());
      });
  udp_socket v6(any_port_v6);
  const endpoint nowhere(address(address::parse("fe80::1").bytes(), 4'000'000), 7);
  BOOST_CHECK_EXCEPTION(
      co_await v6.send_to({.data = "x", .to = nowhere}), system_error, [&](const system_error& e) {
        return e.code() == errc::no_such_device && contains(e.what(), nowhere.to_string());
      });
  socket.close();
  const auto closed = co_await as_result(socket.send_to({.data = "x", .to = to}));
  BOOST_TEST((closed.error() == cosock::error::closed));
}

COROUTINE_TEST_CASE(an_empty_datagram_is_sent) {
  pair p(any_port_v4, any_port_v4, address::loopback_v4());
  BOOST_TEST(co_await p.sender.send_to({.to = p.to, .traffic_class = 1}) == 0u);
  char into[4];
  packet_info info;
  const auto got = co_await p.receiver.receive_from(into, info);
  BOOST_TEST(got.size == 0u);
  BOOST_TEST(info.ecn().value() == 1);
}

COROUTINE_TEST_CASE(a_local_socket_ignores_it) {
  using cosock::local_datagram_socket;
  local_datagram_socket receiver{cosock::local_endpoint()};
  local_datagram_socket sender{cosock::local_endpoint()};
  const cosock::local_datagram_socket::outgoing datagram = {
      .data = "text", .to = receiver.local_endpoint(), .traffic_class = 1};
  BOOST_TEST(co_await sender.send_to(datagram) == 4u);
  const std::vector<cosock::local_datagram_socket::outgoing> two(2, datagram);
  BOOST_TEST(co_await sender.send_batch(two) == 2u);
  for (int i = 0; i != 3; ++i) {
    char into[8];
    const cosock::receive_result got = co_await receiver.receive(into);
    BOOST_TEST(std::string(into, got.size) == "text");
  }
}
