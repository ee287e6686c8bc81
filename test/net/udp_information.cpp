// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What is told of a datagram besides its bytes.

#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE udp_information
#include "manual_event.hpp"
#include "support.hpp"
#include "udp_fixture.hpp"

#include <cosock/when.hpp>

#include <thread>
#include <vector>

namespace {

using namespace test;
using cosock::address;
using cosock::const_buffer;
using cosock::datagram_batch;
using cosock::endpoint;
using cosock::network_interface;
using cosock::packet_info;
using cosock::task;
using cosock::udp_socket;
using cosock::udp_socket_options;

BOOST_AUTO_TEST_SUITE(information)

COROUTINE_TEST_CASE(nothing_is_told_that_was_not_asked_for) {
  udp_socket server(any_port_v4);
  udp_socket client(any_port_v4);
  co_await client.send_to("x", server.local_endpoint());
  packet_info info;
  info.hops = 7;
  char into[4];
  co_await server.receive_from(into, info);
  BOOST_TEST(info.local == address());
  BOOST_TEST(!info.traffic_class);
  BOOST_TEST(!info.hops);
  BOOST_TEST(!info.ecn());
  BOOST_TEST(!info.arrival_time);
}

COROUTINE_TEST_CASE(all_that_can_be_told) {
  udp_socket_options options;
  options.receive_address = options.receive_traffic_class = options.receive_hops = true;
  options.receive_time = options.receive_dropped = true;
  for (const endpoint& at : {any_port_v4, any_port_v6, endpoint(address::any_v6(), 0)}) {
    BOOST_TEST_INFO_SCOPE(at);
    udp_socket server(at, options);
    const bool v6_peer = at == any_port_v6;
    udp_socket client(v6_peer ? any_port_v6 : any_port_v4);
    client.set_traffic_class(0x2e << 2 | 2);  // expedited, ECN-capable
    client.set_hops(42);
    const address loopback = v6_peer ? address::loopback_v6() : address::loopback_v4();
    const auto before = std::chrono::system_clock::now() - 1s;
    for (int i = 0; i != 2; ++i)
      co_await client.send_to("x", endpoint(loopback, server.local_endpoint().port()));
    char into[4];
    packet_info info;
    co_await server.receive_from(into, info);
    datagram_batch batch(2, 16);
    BOOST_TEST(co_await server.receive_batch(batch) == 1u);
    const packet_info of_batch = (*batch.begin()).info();
    for (const packet_info& each : {info, of_batch}) {
      BOOST_TEST(each.local.unmapped() == loopback);
      BOOST_TEST(each.interface_index == network_interface::by_name("lo").interface_index());
      BOOST_TEST(each.traffic_class.value() == (0x2e << 2 | 2));
      BOOST_TEST(each.ecn().value() == 2);
      BOOST_TEST(each.hops.value() == 42);
      BOOST_TEST((each.arrival_time > before));
      BOOST_TEST((each.arrival_time < before + 60s));
      BOOST_TEST(each.dropped == 0u);
    }
  }
}

COROUTINE_TEST_CASE(drops_are_counted) {
  udp_socket_options options;
  options.receive_dropped = true;
  options.receive_buffer = 4096;
  udp_socket server(any_port_v4, options);
  udp_socket client = co_await cosock::connect_udp(server.local_endpoint());
  const std::vector<const_buffer> many(1000, const_buffer("some bytes"));
  co_await client.send_batch(many);
  datagram_batch batch(1000, 16);
  const std::size_t got = co_await server.receive_batch(batch);
  BOOST_TEST(got < 1000u);
  BOOST_TEST(server.dropped() == 1000 - got);
  co_await client.send("last");
  char into[16];
  packet_info info;
  co_await server.receive_from(into, info);
  BOOST_TEST(info.dropped == 1000 - got);
}

/// Everything that was sent is either received or counted as lost.
COROUTINE_TEST_CASE(a_flood_is_accounted_for) {
  constexpr std::size_t many = COSOCK_TEST_SANITIZED ? 50'000 : 2'000'000;
  udp_socket_options options;
  options.receive_dropped = true;
  udp_socket server(any_port_v4, options);
  const endpoint to = server.local_endpoint();
  std::size_t got = 0;
  std::uint32_t reported = 0;
  const auto receive = [&]() -> task<> {
    datagram_batch batch(256, 64);
    for (bool over = false; !over;) {
      co_await server.receive_batch(batch);
      for (const auto& each : batch) {
        if (each.size() == 4) {  // "over"
          over = true;
          reported = each.info().dropped;
        } else {
          ++got;
        }
      }
    }
  };
  std::thread flood([to] {
    cosock::loop on;
    on.run([](endpoint to) -> task<> {
      udp_socket client = co_await cosock::connect_udp(to);
      const std::vector<const_buffer> part(1000, const_buffer("eight..."));
      for (std::size_t sent = 0; sent != many;) sent += co_await client.send_batch(part);
    }(to));
  });
  const auto end = [&]() -> task<> {
    // Not before the flood is over, and again for as long as it may have been lost.
    while (got + server.dropped() < many) co_await cosock::sleep_for(1ms);
    udp_socket client = co_await cosock::connect_udp(to);
    co_await client.send("over");
  };
  co_await cosock::when_all(receive(), end());
  flood.join();
  BOOST_TEST(got + reported == many);
  BOOST_TEST(server.dropped() == reported);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
