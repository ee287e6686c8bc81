// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_datagrams
#include "network_fixture.hpp"

#include <stdexcept>
#include <vector>

// UDP and local sockets of simulated hosts.

namespace {

namespace errc = boost::system::errc;
using cosock::address;
using cosock::endpoint;
using cosock::task;
using cosock::udp_socket;
using test::outcome;
using test::text;
using test::two_far_hosts;
using test::two_hosts;
using namespace std::chrono_literals;

task<> udp_echo_server() {
  udp_socket s(endpoint(address::any_v4(), 7));
  char buffer[2048];
  for (;;) {
    const auto got = co_await s.receive_from(cosock::buffer(buffer));
    co_await s.send_to(cosock::buffer(buffer, got.size), got.from);
  }
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_datagram_comes_with_its_sender, two_far_hosts) {
  server.start(udp_echo_server);
  std::string answer;
  endpoint from;
  std::int64_t after = 0;
  run_client([&]() -> task<> {
    udp_socket s(endpoint(address::any_v4(), 0));
    const auto begin = cosock::now();
    co_await s.send_to(cosock::buffer("hello", 5), at(7));
    char buffer[100];
    const auto got = co_await s.receive_from(cosock::buffer(buffer));
    answer.assign(buffer, got.size);
    from = got.from;
    after = (cosock::now() - begin) / 1ms;
  });
  BOOST_TEST(answer == "hello");
  BOOST_TEST(from == at(7));
  BOOST_TEST(after == 20);
}

BOOST_FIXTURE_TEST_CASE(a_datagram_that_does_not_fit_is_truncated, two_far_hosts) {
  server.start(udp_echo_server);
  cosock::receive_result got;
  run_client([&]() -> task<> {
    udp_socket s = co_await cosock::connect_udp(at(7));
    co_await s.send(cosock::buffer("0123456789", 10));
    char buffer[4];
    got = co_await s.receive(cosock::buffer(buffer));
  });
  BOOST_TEST(got.truncated);
  BOOST_TEST(got.size == 4u);
  BOOST_TEST(got.length == 10u);
}

BOOST_FIXTURE_TEST_CASE(a_path_mtu_is_forgotten_after_ten_minutes, two_far_hosts) {
  server.start(udp_echo_server);
  net.link(server, client, {.latency = 10ms, .mtu = 1300});
  std::vector<int> mtus;
  std::vector<std::string> ends;
  run_client([&]() -> task<> {
    udp_socket s = co_await cosock::connect_udp(at(7));
    s.set_mtu_discovery(cosock::mtu_discovery::dont_fragment);
    const std::string large(1472, 'x');
    char into[2000];
    for (const auto pause : {0min, 1min, 10min}) {
      co_await cosock::sleep_for(pause);
      mtus.push_back(s.path_mtu());
      ends.push_back(co_await outcome(s.send(large)));
      // The router is near: its answer takes as long as a way.
      ends.push_back(co_await outcome(cosock::with_timeout(1s, s.receive(into))));
    }
  });
  BOOST_TEST((mtus == std::vector<int>{1500, 1300, 1500}));
  const std::string too_large = text(errc::message_size);
  BOOST_TEST(ends[0] == "success");
  BOOST_TEST(ends[1] == too_large);
  BOOST_TEST(ends[2] == too_large);  // the host knows
  BOOST_TEST(ends[4] == "success");
  BOOST_TEST(ends[5] == too_large);
}

BOOST_FIXTURE_TEST_CASE(streams_and_groups_hear_nothing_of_the_mtu, two_far_hosts) {
  net.link(server, client, {.mtu = 1300});
  const address group = address::parse("239.7.7.1");
  std::vector<std::size_t> sizes;
  server.start([&]() -> task<> {
    udp_socket s(endpoint(address::any_v4(), 7));
    s.join(group);
    char into[2000];
    for (;;) sizes.push_back((co_await s.receive(into)).size);
  });
  server.start(test::echo_server);
  std::string echoed;
  run_client([&]() -> task<> {
    co_await cosock::sleep_for(1s);
    udp_socket s(endpoint(address::any_v4(), 0));
    s.set_mtu_discovery(cosock::mtu_discovery::dont_fragment);
    for (const std::size_t size : {1400, 1272}) {
      const std::string data(size, 'x');
      co_await s.send_to(data, endpoint(group, 7));
    }
    const std::string too_large(1473, 'x');
    BOOST_TEST(co_await outcome(s.send_to(too_large, endpoint(group, 7))) ==
               text(errc::message_size));
    cosock::tcp_socket stream = co_await cosock::connect(at(7));
    const std::string all(10'000, 'x');
    co_await stream.send(all);
    stream.shutdown_send();
    echoed = co_await test::all_of(stream);
  });
  BOOST_TEST((sizes == std::vector<std::size_t>{1272}));
  BOOST_TEST(echoed.size() == 10'000u);
}

BOOST_AUTO_TEST_CASE(an_mtu_is_one_that_both_families_can_have) {
  for (const std::size_t bad : {0, 1279, 65536})
    BOOST_CHECK_THROW(cosock::testing::network({.link = {.mtu = bad}}), std::invalid_argument);
  const cosock::testing::network smallest({.link = {.mtu = 1280}});
}

BOOST_FIXTURE_TEST_CASE(batches_move_whole, two_far_hosts) {
  server.start(udp_echo_server);
  std::size_t received = 0;
  run_client([&]() -> task<> {
    udp_socket s = co_await cosock::connect_udp(at(7));
    const std::string bytes(100, 'x');
    const std::vector<cosock::const_buffer> all(20, cosock::buffer(bytes));
    BOOST_TEST((co_await s.send_batch(all)) == 20u);
    udp_socket::batch into(8, 200);
    while (received != 20) {
      received += co_await s.receive_batch(into);
      for (const auto& datagram : into) BOOST_TEST(datagram.data().size() == 100u);
    }
  });
  BOOST_TEST(received == 20u);
}

BOOST_FIXTURE_TEST_CASE(a_port_without_a_socket_refuses_a_connected_sender, two_far_hosts) {
  std::string connected;
  std::string unconnected;
  run_client([&]() -> task<> {
    char byte;
    udp_socket s = co_await cosock::connect_udp(at(9));
    co_await s.send(cosock::buffer("x", 1));
    connected = co_await outcome(s.receive(cosock::buffer(&byte, 1)));
    udp_socket other(endpoint(address::any_v4(), 0));
    co_await other.send_to(cosock::buffer("x", 1), at(9));
    unconnected =
        co_await outcome(cosock::with_timeout(1s, other.receive_from(cosock::buffer(&byte, 1))));
  });
  BOOST_TEST(connected == text(errc::connection_refused));
  BOOST_TEST(unconnected == make_error_code(cosock::error::timed_out).message());
}

BOOST_AUTO_TEST_CASE(a_lossy_link_loses_and_doubles_datagrams) {
  two_hosts hosts({.seed = 3, .link = {.latency = 1ms, .loss = 0.2, .duplication = 0.2}});
  int received = 0;
  hosts.server.start([&]() -> task<> {
    udp_socket s(endpoint(address::any_v4(), 7));
    char buffer[16];
    for (;; ++received) co_await s.receive(cosock::buffer(buffer));
  });
  hosts.run_client([&]() -> task<> {
    udp_socket s = co_await cosock::connect_udp(hosts.at(7));
    for (int i = 0; i != 1000; ++i) {
      co_await s.send(cosock::buffer("x", 1));
      co_await cosock::sleep_for(1ms);
    }
    co_await cosock::sleep_for(1s);
  });
  // 1000 * 0.8 * 1.2, and some.
  BOOST_TEST(received > 900);
  BOOST_TEST(received < 1020);
}

BOOST_FIXTURE_TEST_CASE(a_datagram_that_is_too_large_is_refused, two_far_hosts) {
  std::string seen;
  run_client([&]() -> task<> {
    udp_socket s = co_await cosock::connect_udp(at(7));
    const std::string large(65508, 'x');
    seen = co_await outcome(s.send(cosock::buffer(large)));
  });
  BOOST_TEST(seen == text(errc::message_size));
}

BOOST_FIXTURE_TEST_CASE(a_filter_of_senders_holds, two_far_hosts) {
  const cosock::address_range others[] = {cosock::address_range::parse("10.0.0.2")};
  std::string seen;
  server.start([&]() -> task<> {
    udp_socket s(endpoint(address::any_v4(), 7), {.filter = {.deny = others}});
    char buffer[16];
    seen = co_await outcome(cosock::with_timeout(5s, s.receive_from(cosock::buffer(buffer))));
  });
  run_client([&]() -> task<> {
    udp_socket s = co_await cosock::connect_udp(at(7));
    co_await s.send(cosock::buffer("x", 1));
    co_await cosock::sleep_for(10s);
  });
  BOOST_TEST(seen == make_error_code(cosock::error::timed_out).message());
}

namespace {

task<> local_echo(cosock::local_stream_socket& peer) {
  char buffer[100];
  while (const std::size_t n = co_await peer.receive(cosock::buffer(buffer)))
    co_await peer.send(cosock::buffer(buffer, n));
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(local_streams_connect_tasks_of_a_host, two_hosts) {
  const auto name = cosock::local_endpoint::path("/run/echo");
  client.start([&]() -> task<> {
    cosock::local_acceptor acceptor(name);
    co_await cosock::serve(acceptor, local_echo);
  });
  std::string answer;
  run_client([&]() -> task<> {
    co_await cosock::yield();
    cosock::local_stream_socket s = co_await cosock::connect(name);
    co_await s.send(cosock::buffer("hello", 5));
    s.shutdown_send();
    answer = co_await test::all_of(s);
  });
  BOOST_TEST(answer == "hello");
  std::string elsewhere;
  server.start([&]() -> task<> { elsewhere = co_await outcome(cosock::connect(name)); });
  net.run_for(1s);
  BOOST_TEST(elsewhere == text(errc::no_such_file_or_directory));
}

BOOST_FIXTURE_TEST_CASE(messages_of_local_sockets_keep_their_bounds, two_hosts) {
  std::vector<std::size_t> sizes;
  run_client([&]() -> task<> {
    auto [a, b] = cosock::local_pair<cosock::local_seqpacket_socket>();
    co_await a.send(cosock::buffer("12345", 5));
    co_await a.send(cosock::buffer("123", 3));
    a.close();
    char buffer[16];
    for (;;) {
      const auto got = co_await b.receive_message(cosock::buffer(buffer));
      if (got.end) break;
      sizes.push_back(got.size);
    }
  });
  const std::vector<std::size_t> expected = {5, 3};
  BOOST_TEST(sizes == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_sender_of_local_datagrams_waits_for_a_full_receiver, two_hosts) {
  const auto name = cosock::local_endpoint::abstract("sink");
  int sent = 0;
  int before = 0;
  int received = 0;
  client.start([&]() -> task<> {
    cosock::local_datagram_socket sink(name);
    co_await cosock::sleep_for(10s);
    before = sent;
    char byte;
    for (;; ++received) co_await sink.receive(cosock::buffer(&byte, 1));
  });
  run_client([&]() -> task<> {
    co_await cosock::sleep_for(1s);
    cosock::local_datagram_socket s{cosock::local_endpoint()};
    for (; sent != 50; ++sent) co_await s.send_to(cosock::buffer("x", 1), name);
    co_await cosock::sleep_for(1s);
  });
  BOOST_TEST(before == 11);
  BOOST_TEST(received == 50);
}
