// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_parity_faults
#include "netns.hpp"
#include "network_fixture.hpp"

#include <cstdlib>
#include <string>
#include <vector>

// Faults of a network, on the kernel and on a simulated network: in a network namespace, nft(8) discards
// packets or answers them. The times are those of the kernel, so they are short.

namespace {

using cosock::endpoint;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::udp_socket;
using test::outcome;
using namespace std::chrono_literals;

/// What a program may do to the network.
struct world {
  std::function<void()> cut;
  std::function<void()> reject;
  std::function<void()> heal;
};

struct row {
  const char* name;
  task<> (*server)(endpoint at);
  task<> (*client)(endpoint at, world& net, std::string& seen);
};

void note(std::string& seen, const std::string& what) { seen += what + "; "; }

/// The time since then, in units of 250 ms: coarse, because the kernel has other things to do.
std::string since(cosock::clock::time_point begin) {
  return std::to_string((cosock::now() - begin) / 250ms);
}

task<> echo_at(endpoint at) {
  tcp_acceptor acceptor(at);
  co_await cosock::serve(acceptor, test::echo);
}
task<> nothing(endpoint) { co_return; }

task<std::string> ping(tcp_socket& s) {
  char byte = 'x';
  co_await s.send(cosock::buffer(&byte, 1));
  const auto n = co_await cosock::as_result(s.receive(cosock::buffer(&byte, 1)));
  co_return n.has_error() ? n.error().message() : std::to_string(*n);
}

task<> a_user_timeout(endpoint at, world& net, std::string& seen) {
  tcp_socket s = co_await cosock::connect(at);
  s.set_user_timeout(600ms);
  note(seen, co_await ping(s));
  net.cut();
  const auto begin = cosock::now();
  note(seen, co_await ping(s));
  note(seen,
       (cosock::now() - begin) > 550ms && (cosock::now() - begin) < 2s ? "in time" : since(begin));
}
task<> keep_alive(endpoint at, world& net, std::string& seen) {
  tcp_socket s = co_await cosock::connect(at);
  s.set_keep_alive({.idle = 1s, .interval = 1s, .count = 1});
  note(seen, co_await ping(s));
  co_await cosock::sleep_for(1200ms);  // probes that are answered
  net.cut();
  const auto begin = cosock::now();
  char byte;
  note(seen, co_await outcome(s.receive(cosock::buffer(&byte, 1))));
  note(seen,
       (cosock::now() - begin) > 1s && (cosock::now() - begin) < 4s ? "in time" : since(begin));
}
task<> a_cut_that_heals(endpoint at, world& net, std::string& seen) {
  tcp_socket s = co_await cosock::connect(at);
  note(seen, co_await ping(s));
  net.cut();
  const auto wait_and_heal = [&]() -> task<> {
    co_await cosock::sleep_for(300ms);
    net.heal();
  };
  const auto ask = [&]() -> task<> { note(seen, co_await ping(s)); };
  co_await cosock::when_all(ask(), wait_and_heal());
}
task<> a_black_hole(endpoint at, world& net, std::string& seen) {
  net.cut();
  note(seen, co_await outcome(cosock::with_timeout(300ms, cosock::connect(at))));
  net.heal();
  note(seen, co_await outcome(cosock::connect(at)));
}
task<> a_syn_that_is_lost_once(endpoint at, world& net, std::string& seen) {
  net.cut();
  const auto begin = cosock::now();
  const auto wait_and_heal = [&]() -> task<> {
    co_await cosock::sleep_for(300ms);
    net.heal();
  };
  const auto connect = [&]() -> task<> { note(seen, co_await outcome(cosock::connect(at))); };
  co_await cosock::when_all(connect(), wait_and_heal());
  note(seen, since(begin));
}
task<> an_unreachable_host(endpoint at, world& net, std::string& seen) {
  net.reject();
  note(seen, co_await outcome(cosock::connect(at)));
}
task<> an_unreachable_peer(endpoint at, world& net, std::string& seen) {
  tcp_socket s = co_await cosock::connect(at);
  s.set_user_timeout(600ms);
  note(seen, co_await ping(s));
  net.reject();
  note(seen, co_await ping(s));
}
task<> unreachable_datagrams(endpoint at, world& net, std::string& seen) {
  net.reject();
  udp_socket s = co_await cosock::connect_udp(at);
  note(seen, co_await outcome(s.send(cosock::buffer("x", 1))));
  char byte;
  note(seen, co_await outcome(cosock::with_timeout(300ms, s.receive(cosock::buffer(&byte, 1)))));
}
task<> two_at_most(endpoint at) {
  tcp_acceptor acceptor(at, {.backlog = 1});
  co_await cosock::sleep_for(400ms);
  std::vector<tcp_socket> all;
  for (;;) all.push_back(co_await acceptor.accept());
}
task<> a_full_backlog(endpoint at, world&, std::string& seen) {
  co_await cosock::sleep_for(50ms);
  const auto begin = cosock::now();
  for (int i = 0; i != 2; ++i) note(seen, co_await outcome(cosock::connect(at)));
  note(seen, since(begin));
  note(seen, co_await outcome(cosock::connect(at)));  // the SYN is sent again after a second
  note(seen, since(begin));
}

const row rows[] = {{"a user timeout", echo_at, a_user_timeout},
                    {"keep-alive", echo_at, keep_alive},
                    {"a cut that heals", echo_at, a_cut_that_heals},
                    {"a black hole", echo_at, a_black_hole},
                    {"a SYN that is lost once", echo_at, a_syn_that_is_lost_once},
                    {"an unreachable host", echo_at, an_unreachable_host},
                    {"an unreachable peer", echo_at, an_unreachable_peer},
                    {"unreachable datagrams", nothing, unreachable_datagrams},
                    {"a full backlog", two_at_most, a_full_backlog}};

task<> client_of(const row& each, endpoint at, world& net, std::string& seen) {
  co_await cosock::sleep_for(1ms);  // the server listens by then
  const auto ended =
      co_await cosock::as_result(cosock::with_timeout(20s, each.client(at, net, seen)));
  if (ended.has_error()) note(seen, "ended by " + ended.error().message());
}

std::string on_the_kernel(const row& each, std::uint16_t port) {
  const endpoint at(cosock::address::loopback_v4(), port);
  const std::string ports = std::to_string(port);
  const auto nft = [](const std::string& command) {
    test::check(std::system(("nft " + command + " 2>/dev/null").c_str()) == 0, "nft");
  };
  const auto add = [&](const std::string& verdict) {
    for (const char* protocol : {"tcp", "udp"})
      for (const char* side : {"dport", "sport"})
        nft("add rule inet faults filter " + std::string(protocol) + ' ' + side + ' ' + ports +
            ' ' + verdict);
  };
  world net{[&] { add("drop"); }, [&] { add("reject with icmp type host-unreachable"); },
            [&] { nft("flush chain inet faults filter"); }};
  nft("add table inet faults");
  nft("'add chain inet faults filter { type filter hook input priority 0; }'");
  std::string seen;
  cosock::loop loop;
  loop.run([](const row& of, endpoint where, world& with, std::string& into) -> task<> {
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start([&] { return of.server(where); });
      co_await client_of(of, where, with, into);
      n.cancel();
    });
  }(each, at, net, seen));
  net.heal();
  return seen;
}

std::string on_the_simulation(const row& each, std::uint16_t port) {
  test::two_hosts hosts({.link = {.latency = 20us}});
  const endpoint at = hosts.at(port);
  world net{[&] { hosts.net.partition(hosts.server, hosts.client); },
            [&] {
              hosts.net.partition(hosts.server, hosts.client, cosock::testing::outage::unreachable);
            },
            [&] { hosts.net.heal(); }};
  std::string seen;
  hosts.server.start([&] { return each.server(at); });
  hosts.run_client([&] { return client_of(each, at, net, seen); });
  return seen;
}

}  // namespace

NETWORK_TEST_CASE(faults_look_the_same_on_the_kernel_and_on_a_simulated_network) {
  if (std::system("nft list ruleset > /dev/null 2>&1") != 0) {
    BOOST_TEST_MESSAGE("skipped: needs nft");
    return;
  }
  std::uint16_t port = 7001;
  for (const row& each : rows) {
    const std::string real = on_the_kernel(each, port);
    const std::string simulated = on_the_simulation(each, port);
    ++port;
    BOOST_TEST(simulated == real,
               each.name << "\n  kernel:    " << real << "\n  simulated: " << simulated);
  }
}
