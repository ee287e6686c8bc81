// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE guards
#include "serve_fixture.hpp"

#include <cosock/clock.hpp>
#include <cosock/connect.hpp>
#include <cosock/tcp.hpp>
#include <cosock/testing/memory_listener.hpp>
#include <cosock/testing/network.hpp>
#include <cosock/testing/virtual_loop.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <algorithm>
#include <stdexcept>
#include <vector>

// Guards of serve() against many and slow peers, in a simulated network and in virtual time.

namespace {

using namespace test;
using cosock::address;
using cosock::address_range;
using cosock::serve_counters;
using cosock::serve_options;
using cosock::server_handle;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::testing::network;
using cosock::testing::virtual_loop;

constexpr std::uint16_t port = 7;

/// A server with these options, until the time has passed.
struct server {
  explicit server(serve_options how) : options(how) { options.on_error = observer; }
  void start(cosock::testing::host& on, const char* at = "0.0.0.0") {
    on.start([this, at]() -> task<> {
      tcp_acceptor acceptor(endpoint(address::parse(at), port));
      co_await cosock::with_timeout(
          1h, cosock::when_all(cosock::serve(acceptor, &echo, handle, options), stop()));
    });
  }
  task<> stop() {
    co_await cosock::sleep_for(50min);
    handle.stop();
  }
  observed seen;
  serve_options options;
  server_handle handle;
  cosock::error_observer observer = seen;
};

/// Opens connections, and counts those that are answered. Keeps them.
task<> open(std::string to, int n, std::vector<tcp_socket>& all, int& answered) {
  for (int i = 0; i != n; ++i) {
    tcp_socket s = co_await cosock::connect(to, port);
    const auto reply = co_await as_result(round_trip(s));
    if (!reply) continue;
    ++answered;
    all.push_back(std::move(s));
  }
}

BOOST_AUTO_TEST_CASE(a_peer_has_no_more_connections_than_it_may) {
  network net;
  server guarded({.max_per_peer = 3});
  auto& host = net.host("10.0.0.1", "server");
  auto& many = net.host("10.0.0.2");
  auto& other = net.host("10.0.0.3");
  guarded.start(host);
  int of_many = 0, of_other = 0, later = 0;
  many.start([&]() -> task<> {
    std::vector<tcp_socket> all;
    co_await open("10.0.0.1", 10, all, of_many);
    BOOST_TEST(guarded.handle.counters().active == 3u);
    co_await cosock::sleep_for(1min);
    all.clear();  // connections that have ended do not count
    co_await cosock::sleep_for(5s);
    co_await open("10.0.0.1", 10, all, later);
  });
  other.start([&]() -> task<> {
    co_await cosock::sleep_for(10s);
    std::vector<tcp_socket> all;
    co_await open("10.0.0.1", 2, all, of_other);
  });
  net.run();
  BOOST_TEST(of_many == 3);
  BOOST_TEST(later == 3);
  BOOST_TEST(of_other == 2);
  BOOST_TEST(guarded.handle.counters().refused == 14u);
  BOOST_TEST(guarded.handle.counters().accepted == 8u);
  // Once in a minute.
  BOOST_TEST(guarded.seen.errors.size() == 2u);
  BOOST_TEST(guarded.seen.errors.at(0).find("connections from 10.0.0.2: more than max_per_peer") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_addresses_of_a_network_count_as_one_peer) {
  network net;
  server guarded({.max_per_peer = 1});
  auto& host = net.host("2001:db8::1", "server");
  guarded.start(host, "::");
  int answered = 0, of_other = 0;
  int* counts[] = {&answered, &answered, &of_other};
  const char* addresses[] = {"2001:db8:0:1::2", "2001:db8:0:1:ffff::3", "2001:db8:0:2::2"};
  for (int i = 0; i != 3; ++i)
    net.host(addresses[i]).start([i, &counts]() -> task<> {
      std::vector<tcp_socket> all;
      co_await open("2001:db8::1", 1, all, *counts[i]);
      co_await cosock::sleep_for(1min);
    });
  net.run();
  BOOST_TEST(answered == 1);
  BOOST_TEST(of_other == 1);
}

BOOST_AUTO_TEST_CASE(connections_of_a_proxy_count_for_their_sources) {
  network net;
  const std::vector<address_range> proxies = {address_range::parse("10.0.0.2")};
  serve_options options{.max_per_peer = 2};
  options.not_counted = proxies;
  server_handle handle;
  observed seen;
  options.on_error = cosock::error_observer(seen);
  int admitted = 0, refused = 0;
  net.host("10.0.0.1").start([&]() -> task<> {
    tcp_acceptor acceptor(endpoint(address::any_v4(), port));
    // The first byte is the last one of the source, as the header of a proxy would tell it.
    const auto handler = [&](tcp_socket& s, const cosock::connection& c) -> task<> {
      unsigned char source = 0;
      co_await s.receive_exactly(cosock::buffer(&source, 1));
      const bool counted = c.count_for(address(address::v4_bytes{192, 0, 2, source}));
      ++(counted ? admitted : refused);
      if (counted) co_await echo(s);
    };
    const auto stop = [&]() -> task<> {
      co_await cosock::sleep_for(50min);
      handle.stop();
    };
    co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), stop());
  });
  net.host("10.0.0.2").start([&]() -> task<> {
    std::vector<tcp_socket> all;
    for (const char source : {1, 1, 1, 2, 2, 1}) {
      all.push_back(co_await cosock::connect("10.0.0.1", port));
      co_await all.back().send(cosock::buffer(&source, 1));
      co_await cosock::sleep_for(1s);
    }
  });
  net.run();
  BOOST_TEST(admitted == 4);
  BOOST_TEST(refused == 2);
  BOOST_TEST(handle.counters().refused == 2u);
}

BOOST_AUTO_TEST_CASE(a_connection_without_a_byte_is_closed) {
  network net;
  server guarded({.first_byte = 5s});
  guarded.start(net.host("10.0.0.1"));
  double closed_after = 0;
  bool kept = false;
  net.host("10.0.0.2").start([&]() -> task<> {
    std::vector<tcp_socket> all;
    for (int i = 0; i != 3; ++i) all.push_back(co_await cosock::connect("10.0.0.1", port));
    co_await all[0].send("x");
    char byte[1];
    co_await all[0].receive(byte);
    const auto start = cosock::now();
    BOOST_TEST(co_await has_ended(all[1]));
    BOOST_TEST(co_await has_ended(all[2]));
    closed_after = std::chrono::duration<double>(cosock::now() - start).count();
    co_await cosock::sleep_for(1min);
    kept = co_await round_trip(all[0]);
  });
  net.run();
  BOOST_TEST(closed_after > 4.5);
  BOOST_TEST(closed_after < 5.5);
  BOOST_TEST(kept);
  BOOST_TEST(guarded.handle.counters().silent == 2u);
  BOOST_TEST(guarded.handle.counters().bytes_in == 5u);
  BOOST_REQUIRE(guarded.seen.errors.size() == 1u);
  BOOST_TEST(guarded.seen.errors[0].find("connections from 10.0.0.2: no byte within first_byte") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(connections_are_accepted_at_a_rate) {
  network net;
  server guarded({.accept_rate = 10});
  guarded.start(net.host("10.0.0.1"));
  double took = 0;
  int answered = 0;
  net.host("10.0.0.2").start([&]() -> task<> {
    std::vector<tcp_socket> all;
    const auto start = cosock::now();
    co_await open("10.0.0.1", 101, all, answered);
    took = std::chrono::duration<double>(cosock::now() - start).count();
  });
  net.run();
  BOOST_TEST(answered == 101);
  BOOST_TEST(std::abs(took - 10) <= 0.2);
}

BOOST_AUTO_TEST_CASE(a_reserved_acceptor_answers_when_the_limits_are_reached) {
  network net;
  server guarded({.max_connections = 2, .max_per_peer = 2});
  auto& host = net.host("10.0.0.1");
  guarded.start(host);
  bool answered = false;
  server_handle reserved;
  host.start([&]() -> task<> {
    tcp_acceptor acceptor(endpoint(address::any_v4(), 8));
    co_await cosock::serve(acceptor, &echo, reserved);
  });
  net.host("10.0.0.2").start([&]() -> task<> {
    std::vector<tcp_socket> all;
    for (int i = 0; i != 10; ++i) all.push_back(co_await cosock::connect("10.0.0.1", port));
    co_await cosock::sleep_for(1s);
    BOOST_TEST(guarded.handle.counters().active == 2u);
    tcp_socket health = co_await cosock::connect("10.0.0.1", 8);
    answered = co_await cosock::with_timeout(1s, round_trip(health));
    reserved.stop();
  });
  net.run();
  BOOST_TEST(answered);
}

BOOST_AUTO_TEST_CASE(limits_of_zero_are_refused) {
  virtual_loop loop;
  const auto test = []() -> task<> {
    const auto refuse = [](serve_options bad, std::string text) -> task<> {
      tcp_acceptor acceptor(any_port);
      server_handle handle;
      try {
        co_await cosock::serve(acceptor, &echo, handle, bad);
        BOOST_ERROR("not refused: " << text);
      } catch (const std::invalid_argument& e) {
        BOOST_TEST(std::string(e.what()) == "cosock: serve_options::" + text);
      }
    };
    co_await refuse({.max_per_peer = 0}, "max_per_peer is 0; it is at least 1");
    co_await refuse({.accept_rate = 0}, "accept_rate is 0; it is at least 1");
    co_await refuse({.first_byte = 0s}, "first_byte is 0 ns; it is more than 0");
  };
  loop.run(test());
}

}  // namespace
