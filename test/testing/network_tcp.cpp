// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_tcp
#include "network_fixture.hpp"

#include <vector>

// TCP between hosts of a simulated network, by programs that run on real ones.

namespace {

namespace errc = boost::system::errc;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using test::all_of;
using test::outcome;
using test::text;
using test::two_far_hosts;
using test::two_hosts;
using namespace std::chrono_literals;

/// What the echo server answers to this line.
task<> say(std::string host, std::string line, std::string& answer) {
  tcp_socket s = co_await cosock::connect(host, 7);
  co_await s.send(cosock::buffer(line));
  s.shutdown_send();
  answer = co_await all_of(s);
}

std::string pattern(std::size_t size) {
  std::string all(size, '\0');
  unsigned x = 1;
  for (char& c : all) c = static_cast<char>((x = x * 1103515245 + 12345) >> 16);
  return all;
}

/// A server that does this with its first connection.
template <class F>
auto server_of_one(F handler) {
  return [handler]() -> task<> {
    tcp_acceptor acceptor(cosock::endpoint(cosock::address::any_v4(), 9));
    tcp_socket peer = co_await acceptor.accept();
    F own(handler);
    co_await own(peer);
  };
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(an_unmodified_server_and_client_talk, two_hosts) {
  server.start(test::echo_server);
  std::string answer;
  run_client([&] { return say("server.test", "hello", answer); });
  BOOST_TEST(answer == "hello");
}

BOOST_FIXTURE_TEST_CASE(a_connection_takes_one_round_trip_and_so_does_an_answer, two_far_hosts) {
  server.start(test::echo_server);
  std::int64_t connected = 0;
  std::int64_t answered = 0;
  run_client([&]() -> task<> {
    const auto begin = cosock::now();
    tcp_socket s = co_await cosock::connect(at(7));
    connected = (cosock::now() - begin) / 1ms;
    co_await s.send(cosock::buffer("x", 1));
    char answer;
    co_await s.receive(cosock::buffer(&answer, 1));
    answered = (cosock::now() - begin) / 1ms;
  });
  BOOST_TEST(connected == 20);
  BOOST_TEST(answered == 40);
}

BOOST_FIXTURE_TEST_CASE(both_ends_know_their_addresses, two_hosts) {
  cosock::endpoint seen;
  cosock::endpoint own;
  cosock::endpoint peer;
  server.start(server_of_one([&](tcp_socket& s) -> task<> {
    seen = s.remote_endpoint();
    BOOST_TEST(s.local_endpoint() == at(9));
    co_return;
  }));
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at(9));
    own = s.local_endpoint();
    peer = s.remote_endpoint();
  });
  BOOST_TEST(seen == own);
  BOOST_TEST(seen.address().to_string() == "10.0.0.2");
  BOOST_TEST(peer == at(9));
}

BOOST_FIXTURE_TEST_CASE(a_port_without_a_server_refuses, two_far_hosts) {
  std::string seen;
  std::int64_t after = 0;
  run_client([&]() -> task<> {
    const auto begin = cosock::now();
    seen = co_await outcome(cosock::connect(at(81)));
    after = (cosock::now() - begin) / 1ms;
  });
  BOOST_TEST(seen == text(errc::connection_refused));
  BOOST_TEST(after == 20);
}

BOOST_FIXTURE_TEST_CASE(an_address_of_no_host_is_unreachable, two_hosts) {
  std::string seen;
  run_client([&]() -> task<> {
    seen =
        co_await outcome(cosock::connect(cosock::endpoint(cosock::address::parse("10.9.9.9"), 7)));
  });
  BOOST_TEST(seen == text(errc::host_unreachable));
}

BOOST_AUTO_TEST_CASE(a_host_without_ipv6_has_no_way_to_an_ipv6_address) {
  cosock::testing::network net;
  net.host("2001:db8::1");
  cosock::testing::host& client = net.host("10.0.0.2");
  std::string seen;
  client.start([&]() -> task<> {
    seen = co_await outcome(
        cosock::connect(cosock::endpoint(cosock::address::parse("2001:db8::1"), 7)));
  });
  net.run();
  BOOST_TEST(seen == text(errc::network_unreachable));
}

BOOST_FIXTURE_TEST_CASE(a_half_closed_connection_still_receives, two_far_hosts) {
  std::string received;
  server.start(server_of_one([&](tcp_socket& s) -> task<> {
    received = co_await all_of(s);
    co_await s.send(cosock::buffer("late", 4));
  }));
  std::string answer;
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at(9));
    co_await s.send(cosock::buffer("early", 5));
    s.shutdown_send();
    answer = co_await all_of(s);
  });
  BOOST_TEST(received == "early");
  BOOST_TEST(answer == "late");
}

BOOST_FIXTURE_TEST_CASE(an_aborted_connection_is_reset_at_the_peer, two_far_hosts) {
  server.start(server_of_one([](tcp_socket& s) -> task<> {
    s.abort();
    co_return;
  }));
  std::string first;
  std::string second;
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at(9));
    char byte;
    first = co_await outcome(s.receive(cosock::buffer(&byte, 1)));
    second = co_await outcome(s.send(cosock::buffer("x", 1)));
  });
  BOOST_TEST(first == text(errc::connection_reset));
  BOOST_TEST(second == text(errc::connection_reset));
}

BOOST_FIXTURE_TEST_CASE(closing_with_unread_input_resets_the_peer, two_far_hosts) {
  server.start(server_of_one([](tcp_socket& s) -> task<> {
    co_await cosock::sleep_for(1s);
    s.close();
  }));
  std::string seen;
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at(9));
    co_await s.send(cosock::buffer("unread", 6));
    char byte;
    seen = co_await outcome(s.receive(cosock::buffer(&byte, 1)));
  });
  BOOST_TEST(seen == text(errc::connection_reset));
}

BOOST_FIXTURE_TEST_CASE(a_send_to_a_peer_that_has_closed_is_answered_with_a_reset, two_far_hosts) {
  server.start(server_of_one([](tcp_socket& s) -> task<> {
    s.close();
    co_return;
  }));
  std::vector<std::string> seen;
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at(9));
    char byte;
    seen.push_back(co_await outcome(s.receive(cosock::buffer(&byte, 1))));
    seen.push_back(co_await outcome(s.send(cosock::buffer("x", 1))));
    co_await cosock::sleep_for(1s);
    seen.push_back(co_await outcome(s.send(cosock::buffer("x", 1))));
  });
  const std::vector<std::string> expected = {"success", "success", text(errc::broken_pipe)};
  BOOST_TEST(seen == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_sender_waits_for_a_peer_that_does_not_receive, two_far_hosts) {
  const std::string all = pattern(8 << 20);
  std::size_t before = 0;
  std::size_t sent = 0;
  std::string received;
  server.start(server_of_one([&](tcp_socket& s) -> task<> {
    co_await cosock::sleep_for(60s);
    before = sent;
    received = co_await all_of(s);
  }));
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at(9));
    while (sent != all.size()) {
      const std::size_t n = std::min<std::size_t>(all.size() - sent, 10'000);
      sent += co_await s.send(cosock::buffer(all.data() + sent, n));
    }
    s.shutdown_send();
    co_await all_of(s);
  });
  BOOST_TEST(before > 100'000u);
  BOOST_TEST(before < 2'000'000u);
  BOOST_TEST((received == all));
}

BOOST_AUTO_TEST_CASE(bytes_arrive_whole_and_in_order_over_a_link_that_loses_doubles_and_reorders) {
  for (std::uint64_t seed = 1; seed != 6; ++seed) {
    two_hosts hosts({.seed = seed,
                     .link = {.latency = 5ms,
                              .jitter = 2ms,
                              .loss = 0.05,
                              .duplication = 0.05,
                              .reordering = 0.05}});
    const std::string all = pattern(300'000);
    std::string received;
    std::string answered;
    hosts.server.start(server_of_one([&](tcp_socket& s) -> task<> {
      received = co_await all_of(s);
      co_await s.send(cosock::buffer(received));
    }));
    hosts.run_client([&]() -> task<> {
      tcp_socket s = co_await cosock::connect(hosts.at(9));
      co_await s.send(cosock::buffer(all));
      s.shutdown_send();
      answered = co_await all_of(s);
    });
    BOOST_TEST((received == all));
    BOOST_TEST((answered == all));
  }
}

BOOST_AUTO_TEST_CASE(a_link_with_a_bandwidth_takes_its_time) {
  two_hosts hosts({.link = {.latency = 5ms, .bandwidth = 100'000}});
  const std::string all = pattern(1'000'000);
  std::int64_t seconds = 0;
  hosts.server.start(server_of_one([&](tcp_socket& s) -> task<> {
    const auto begin = cosock::now();
    const std::string received = co_await all_of(s);
    seconds = (cosock::now() - begin) / 1s;
    BOOST_TEST((received == all));
  }));
  hosts.run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(hosts.at(9));
    co_await s.send(cosock::buffer(all));
    s.shutdown_send();
    co_await all_of(s);
  });
  // 10 s, and what headers and lost segments take.
  BOOST_TEST(seconds >= 10);
  BOOST_TEST(seconds <= 14);
}

BOOST_FIXTURE_TEST_CASE(many_clients_are_served_at_once, two_far_hosts) {
  server.start(test::echo_server);
  std::vector<std::string> answers(200);
  run_client([&]() -> task<> {
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      for (std::size_t i = 0; i != answers.size(); ++i)
        n.start(say, "server.test", std::to_string(i), std::ref(answers[i]));
      co_return;
    });
  });
  for (std::size_t i = 0; i != answers.size(); ++i) BOOST_TEST(answers[i] == std::to_string(i));
}

BOOST_FIXTURE_TEST_CASE(loopback_addresses_are_those_of_the_own_host, two_far_hosts) {
  client.start(test::echo_server);
  std::string answer;
  std::string refused;
  run_client([&]() -> task<> {
    co_await cosock::sleep_for(1ms);
    co_await say("127.0.0.1", "v4", answer);
    co_await say("::1", "v6", answer);
    co_await say("10.0.0.2", "own", answer);
    refused = co_await outcome(cosock::connect(at(7)));
  });
  BOOST_TEST(answer == "own");
  BOOST_TEST(refused == text(errc::connection_refused));
}

BOOST_FIXTURE_TEST_CASE(a_port_in_use_cannot_be_bound, two_hosts) {
  std::string seen;
  std::string elsewhere;
  run_client([&]() -> task<> {
    const cosock::endpoint any(cosock::address::any_v4(), 80);
    const auto bind = [](cosock::endpoint where) {
      try {
        tcp_acceptor second(where);
        return std::string("success");
      } catch (const boost::system::system_error& e) {
        return e.code().message();
      }
    };
    {
      tcp_acceptor first(any);
      seen = bind(cosock::endpoint(cosock::address::parse("10.0.0.2"), 80));
    }
    BOOST_TEST(bind(any) == "success");
    elsewhere = bind(at(80));
    co_return;
  });
  BOOST_TEST(seen == text(errc::address_in_use));
  BOOST_TEST(elsewhere == text(errc::address_not_available));
}
