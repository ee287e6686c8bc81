// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/proxy_protocol.hpp>

#define BOOST_TEST_MODULE proxy_network
#include "network_fixture.hpp"

#include <cosock/proxy_header.hpp>

#include <optional>
#include <vector>

// behind_proxy() in a simulated network: its limits of time, and links that tear headers apart.

namespace {

using cosock::proxy_header;
using cosock::task;
using cosock::tcp_socket;
using cosock::trusted_proxies;
using cosock::untrusted_peer;
using test::two_far_hosts;
using test::two_hosts;
using namespace std::chrono_literals;

const std::string line = "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n";

/// The program of a server, and what it has told.
struct server_program {
  trusted_proxies trusted{"10.0.0.2", "2001:db8::2", "unix"};
  cosock::proxy_options options;
  std::optional<std::size_t> max_per_peer;
  std::vector<std::string> sources;
  std::vector<std::string> data;
  std::vector<std::string> reports;

  auto program() {
    return [this]() -> task<> {
      const auto report = [this](const std::exception_ptr& e, std::string_view) {
        reports.push_back(cosock::error_message(e));
      };
      const auto handler = [this](tcp_socket& s, const cosock::connection& c) -> task<> {
        sources.push_back(c.source().to_string());
        data.push_back(co_await test::all_of(s));
        co_await s.send("bye");
      };
      cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::any_v6(), 7));
      cosock::serve_options serving;
      serving.on_error = report;
      if (max_per_peer) serving.max_per_peer = *max_per_peer;
      co_await cosock::serve(acceptor, cosock::behind_proxy(trusted, handler, options), serving);
    };
  }
};

/// Sends this, waits, and returns what arrives and when the connection ends.
task<std::string> send_and_wait(cosock::endpoint at, std::string bytes, std::int64_t& ended) {
  const auto begin = cosock::now();
  tcp_socket s = co_await cosock::connect(at);
  co_await s.send(bytes);
  std::string answer;
  try {
    answer = co_await test::all_of(s);
  } catch (const boost::system::system_error&) {
    answer = "reset";
  }
  ended = (cosock::now() - begin) / 1ms;
  co_return answer;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(connections_count_for_the_source_in_their_header, two_far_hosts) {
  server_program behind;
  behind.max_per_peer = 2;
  server.start(behind.program());
  run_client([&]() -> task<> {
    cosock::event end;
    bool open[4] = {};
    const auto hold = [&](std::string source, int i) -> task<> {
      tcp_socket s = co_await cosock::connect(at(7));
      const std::string header = "PROXY TCP4 " + source + " 198.51.100.2 4660 443\r\n";
      co_await s.send(header);
      co_await cosock::when_any(s.wait_readable(), end.wait());
      open[i] = end.is_set();
    };
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start(hold, "192.0.2.1", 0);
      co_await cosock::sleep_for(1s);
      n.start(hold, "192.0.2.1", 1);
      co_await cosock::sleep_for(1s);
      n.start(hold, "192.0.2.1", 2);  // one too many
      co_await cosock::sleep_for(1s);
      n.start(hold, "192.0.2.9", 3);
      co_await cosock::sleep_for(1s);
      end.set();
    });
    BOOST_TEST(open[0]);
    BOOST_TEST(open[1]);
    BOOST_TEST(!open[2]);
    BOOST_TEST(open[3]);
  });
  BOOST_TEST(behind.sources.size() == 3u);  // the handler was not called for the one too many
  BOOST_TEST_REQUIRE(behind.reports.size() == 1u);
  BOOST_TEST(behind.reports[0].starts_with("connections from 192.0.2.1: more than max_per_peer"),
             behind.reports[0]);
}

BOOST_FIXTURE_TEST_CASE(a_trusted_peer_that_is_silent_is_closed_at_the_limit, two_far_hosts) {
  server_program behind;
  server.start(behind.program());
  for (const std::string& sent :
       {std::string(), std::string("PROXY TCP4 "), std::string("\r\n\r\n")}) {
    std::int64_t ended = 0;
    run_client([&]() -> task<> { co_await send_and_wait(at(7), sent, ended); });
    BOOST_TEST(ended == 5040);  // 30 ms until it is accepted, and 10 for the end
    BOOST_REQUIRE(!behind.reports.empty());
    const std::string text =
        std::to_string(sent.size()) + " bytes of the PROXY header have arrived: ";
    BOOST_TEST((behind.reports.back().find(text) != std::string::npos), behind.reports.back());
    BOOST_TEST((behind.reports.back().find("5 s") != std::string::npos), behind.reports.back());
  }
  BOOST_TEST(behind.sources.empty());
}

BOOST_FIXTURE_TEST_CASE(a_peer_that_is_not_trusted_and_silent_is_served_at_the_limit,
                        two_far_hosts) {
  server_program behind;
  behind.trusted = {};
  server.start(behind.program());
  run_client([&]() -> task<> {
    for (const std::string sent : {"", "PROX", "\r"}) {
      tcp_socket s = co_await cosock::connect(at(7));
      co_await s.send(sent);
      const std::size_t before = behind.sources.size();
      co_await cosock::sleep_for(4900ms);
      BOOST_TEST(behind.sources.size() == before);
      co_await cosock::sleep_for(200ms);
      BOOST_TEST(behind.sources.size() == before + 1);
      co_await s.send("rest");
      s.shutdown_send();
      BOOST_TEST(co_await test::all_of(s) == "bye");
      BOOST_TEST(behind.data.back() == sent + "rest");
    }
  });
  BOOST_TEST(behind.reports.empty());
}

BOOST_FIXTURE_TEST_CASE(a_header_that_arrives_after_the_handler_was_called_is_data, two_far_hosts) {
  server_program behind;
  behind.trusted = {};
  behind.options.untrusted = untrusted_peer::serve_at_once;
  server.start(behind.program());
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at(7));
    co_await cosock::sleep_for(1s);
    BOOST_TEST(behind.sources.size() == 1u);
    co_await s.send(line);
    s.shutdown_send();
    BOOST_TEST(co_await test::all_of(s) == "bye");
  });
  BOOST_TEST(behind.data[0] == line);
  BOOST_TEST(behind.sources[0].starts_with("[::ffff:10.0.0.2]:"));
}

BOOST_FIXTURE_TEST_CASE(a_slow_peer_delays_nobody_else, two_far_hosts) {
  server_program behind;
  server.start(behind.program());
  run_client([&]() -> task<> {
    tcp_socket slow = co_await cosock::connect(at(7));
    co_await slow.send("PROXY ");
    const auto begin = cosock::now();
    tcp_socket quick = co_await cosock::connect(at(7));
    co_await quick.send(line);
    quick.shutdown_send();
    BOOST_TEST(co_await test::all_of(quick) == "bye");
    BOOST_TEST(((cosock::now() - begin) < 100ms));
  });
}

BOOST_AUTO_TEST_CASE(headers_survive_links_that_lose_and_reorder) {
  proxy_header large;
  large.tlvs.push_back({0xe0, std::string(3900, 'x')});
  for (std::uint64_t seed = 1; seed != 20; ++seed) {
    two_hosts hosts({.seed = seed, .link = {.latency = 5ms, .jitter = 5ms, .loss = 0.1}});
    server_program behind;
    hosts.server.start(behind.program());
    hosts.run_client([&]() -> task<> {
      for (const std::string& header :
           {line, proxy_header::parse(line).to_bytes(), large.to_bytes()}) {
        // Lost packets may last longer than the limit, which is an error of that connection only.
        tcp_socket s = co_await cosock::connect(hosts.at(7));
        for (const char& c : header.substr(0, 20)) co_await s.send({&c, 1});
        co_await s.send(header.substr(20) + "data");
        s.shutdown_send();
        BOOST_TEST(co_await test::all_of(s) == "bye");
        BOOST_TEST(behind.data.back() == "data");
      }
    });
    BOOST_TEST(behind.reports.empty());
  }
}

BOOST_FIXTURE_TEST_CASE(local_sockets_of_a_simulated_host_are_served_too, two_hosts) {
  std::string source;
  std::string received;
  server.start([&]() -> task<> {
    const trusted_proxies trusted{"unix"};
    cosock::local_acceptor acceptor{cosock::local_endpoint::abstract("front")};
    const auto handler = [&](cosock::local_stream_socket& s,
                             const cosock::local_connection& c) -> task<> {
      source = c.proxy()->source->to_string();
      received = co_await test::all_of(s);
      co_await s.send("bye");
    };
    co_await cosock::serve(acceptor, cosock::behind_proxy(trusted, handler));
  });
  server.start([&]() -> task<> {
    auto s = co_await cosock::connect(cosock::local_endpoint::abstract("front"));
    for (const char& c : line) co_await s.send({&c, 1});
    co_await s.send("hello");
    s.shutdown_send();
    BOOST_TEST(co_await test::all_of(s) == "bye");
  });
  net.run_for(1s);
  BOOST_TEST(source == "192.0.2.1:4660");
  BOOST_TEST(received == "hello");
}
