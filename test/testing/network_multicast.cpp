// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_multicast
#include "network_fixture.hpp"

#include <functional>
#include <map>
#include <string>
#include <vector>

// Groups on several hosts. What two hosts see is compared with the kernel in network_parity_multicast.cpp.

namespace {

using cosock::address;
using cosock::endpoint;
using cosock::task;
using cosock::udp_socket;
using cosock::testing::network;
using test::attempt;
using test::outcome;
using test::text;
using namespace std::chrono_literals;
namespace errc = boost::system::errc;

const address group_v4 = address::parse("239.7.7.1");
const address group_v6 = address::parse("ff15::7:1");
constexpr std::uint16_t port = 7001;

/// Adds what arrives to the text, as long as the host runs.
task<> listen(std::string& heard, address group) {
  udp_socket s(endpoint(group.is_v6() ? address::any_v6() : address::any_v4(), port));
  s.join(group);
  for (;;) {
    char into[100];
    const auto got = co_await s.receive_from(into);
    heard += std::string(into, got.size) + " from " + got.from.address().to_string() + "; ";
  }
}

task<> say(std::string what, address group, int hops = 1) {
  udp_socket s(endpoint(group.is_v6() ? address::any_v6() : address::any_v4(), 0));
  s.set_multicast_hops(hops);
  co_await s.send_to(what, endpoint(group, port));
}

/// Hosts that listen to a group, by their addresses.
struct listeners {
  explicit listeners(const cosock::testing::network_options& options = {}) : net(options) {}
  cosock::testing::host& add(const char* at, address group) {
    cosock::testing::host& h = net.host(at);
    h.start([this, at, group] { return listen(heard[at], group); });
    return h;
  }
  std::map<std::string, std::string> heard;  // before the network, whose programs use it
  network net;
};

}  // namespace

BOOST_AUTO_TEST_CASE(hops_decide_how_far_a_datagram_travels) {
  for (const bool v6 : {false, true}) {
    const address group = v6 ? group_v6 : group_v4;
    listeners all;
    const char* const near = v6 ? "2001:db8::2" : "10.0.0.2";
    const char* const far = v6 ? "2001:db8:0:1::2" : "10.0.1.2";
    all.add(near, group);
    all.add(far, group);
    const char* const own = v6 ? "2001:db8::1" : "10.0.0.1";
    cosock::testing::host& sender = all.add(own, group);
    sender.start([&]() -> task<> {
      for (const int hops : {0, 1, 2, 255}) {
        co_await cosock::sleep_for(1s);
        co_await say(std::to_string(hops), group, hops);
      }
    });
    all.net.run_for(10s);
    const std::string from = std::string(" from ") + own + "; ";
    BOOST_TEST(all.heard[own] == "0" + from + "1" + from + "2" + from + "255" + from);
    BOOST_TEST(all.heard[near] == "1" + from + "2" + from + "255" + from);
    BOOST_TEST(all.heard[far] == "2" + from + "255" + from);
  }
}

BOOST_AUTO_TEST_CASE(groups_of_a_subnet_or_of_a_host_do_not_leave_it) {
  struct row {
    const char* group;
    bool near;
    bool far;
  };
  for (const row& each : {row{"224.0.0.77", true, false},
                          {"224.0.1.77", true, true},
                          {"ff01::77", false, false},
                          {"ff02::77", true, false},
                          {"ff05::77", true, true}}) {
    BOOST_TEST_CONTEXT(each.group) {
      const address group = address::parse(each.group);
      const bool v6 = group.is_v6();
      listeners all;
      const char* const near = v6 ? "2001:db8::2" : "10.0.0.2";
      const char* const far = v6 ? "2001:db8:0:1::2" : "10.0.1.2";
      all.add(near, group);
      all.add(far, group);
      cosock::testing::host& sender = all.net.host(v6 ? "2001:db8::1" : "10.0.0.1");
      all.net.at(1s, [&] { sender.start([&] { return say("x", group, 9); }); });
      all.net.run_for(10s);
      BOOST_TEST(!all.heard[near].empty() == each.near);
      BOOST_TEST(!all.heard[far].empty() == each.far);
    }
  }
}

BOOST_AUTO_TEST_CASE(each_link_has_its_own_latency_losses_and_outages) {
  listeners all({.link = {.latency = 10ms}});
  cosock::testing::host& sender = all.net.host("10.0.0.1");
  cosock::testing::host& cut = all.add("10.0.0.2", group_v4);
  cosock::testing::host& lossy = all.add("10.0.0.3", group_v4);
  cosock::testing::host& doubled = all.add("10.0.0.4", group_v4);
  all.add("10.0.0.5", group_v4);
  all.net.link(sender, lossy, {.loss = 1});
  all.net.link(sender, doubled, {.duplication = 1});
  all.net.partition(sender, cut, cosock::testing::outage::unreachable);
  std::string answer = "none";
  sender.start([&]() -> task<> {
    udp_socket s(endpoint(address::any_v4(), 0));
    co_await cosock::sleep_for(1s);
    co_await s.send_to("x", endpoint(group_v4, port));
    char into[10];
    answer = co_await outcome(cosock::with_timeout(5s, s.receive(into)));  // nobody is told
  });
  all.net.run_for(1005ms);
  BOOST_TEST(all.heard["10.0.0.5"] == "");
  all.net.run_for(10s);
  BOOST_TEST(all.heard["10.0.0.5"] == "x from 10.0.0.1; ");
  BOOST_TEST(all.heard["10.0.0.2"] == "");
  BOOST_TEST(all.heard["10.0.0.3"] == "");
  BOOST_TEST(all.heard["10.0.0.4"] == "x from 10.0.0.1; x from 10.0.0.1; ");
  BOOST_TEST(answer != "none");
  BOOST_TEST(answer != "success");
}

BOOST_AUTO_TEST_CASE(a_host_that_is_lost_is_no_member_until_it_joins_again) {
  listeners all;
  cosock::testing::host& sender = all.net.host("10.0.0.1");
  cosock::testing::host& crashes = all.add("10.0.0.2", group_v4);
  cosock::testing::host& stops = all.add("10.0.0.3", group_v4);
  sender.start([]() -> task<> {
    for (int i = 0; i != 3; ++i) {
      co_await cosock::sleep_for(1s);
      co_await say(std::to_string(i), group_v4);
    }
  });
  all.net.at(1500ms, [&] { crashes.crash(); });
  all.net.at(1500ms, [&] { stops.stop(); });
  all.net.at(2500ms, [&] { crashes.restart(); });
  all.net.at(2500ms, [&] { stops.restart(); });
  all.net.run_for(10s);
  for (const char* at : {"10.0.0.2", "10.0.0.3"})
    BOOST_TEST(all.heard[at] == "0 from 10.0.0.1; 2 from 10.0.0.1; ");
}

BOOST_FIXTURE_TEST_CASE(a_dual_stack_socket_hears_groups_of_both_families, test::two_hosts) {
  std::string heard;
  server.start([&]() -> task<> {
    udp_socket both(endpoint(address::any_v6(), port));
    both.join(group_v4);
    both.join(group_v6);
    for (;;) {
      char into[100];
      const auto got = co_await both.receive_from(into);
      heard += std::string(into, got.size) + " from " + got.from.address().to_string() + "; ";
    }
  });
  run_client([&]() -> task<> {
    co_await cosock::sleep_for(1s);
    co_await say("v4", group_v4);
    co_await say("v6", group_v6);
    co_await cosock::sleep_for(1s);
  });
  BOOST_TEST(heard == "v4 from ::ffff:10.0.0.2; v6 from 2001:db8::2; ");
}

BOOST_FIXTURE_TEST_CASE(batches_go_to_groups, test::two_hosts) {
  std::string heard;
  server.start([&]() -> task<> {
    udp_socket s(endpoint(address::any_v4(), port));
    s.join(group_v4);
    udp_socket::batch into(8, 100);
    for (;;) {
      co_await s.receive_batch(into);
      for (const auto& each : into)
        heard += std::string(static_cast<const char*>(each.data().data()), each.size());
    }
  });
  run_client([&]() -> task<> {
    co_await cosock::sleep_for(1s);
    udp_socket s(endpoint(address::any_v4(), 0));
    const std::vector<cosock::const_buffer> all = {cosock::buffer("a", 1), cosock::buffer("b", 1)};
    BOOST_TEST(co_await s.send_batch(all, endpoint(group_v4, port)) == 2u);
    co_await cosock::sleep_for(1s);
  });
  BOOST_TEST(heard == "ab");
}

BOOST_AUTO_TEST_CASE(a_host_has_one_interface_and_its_families_only) {
  network net;
  std::string seen;
  net.host("10.0.0.1").start([&]() -> task<> {
    udp_socket v4(endpoint(address::any_v4(), 0));
    udp_socket both(endpoint(address::any_v6(), 0));
    const auto one = cosock::network_interface::by_index(1);
    seen += attempt([&] { v4.join(group_v4, one); }) + "; ";
    seen += attempt([&] { v4.set_multicast_interface(one); }) + "; ";
    seen += attempt([&] { both.join(group_v6); }) + "; ";
    seen += co_await outcome(both.send_to("x", endpoint(group_v6, 1)));
  });
  net.run();
  BOOST_TEST(seen == text(errc::no_such_device) + "; " + text(errc::no_such_device) + "; " +
                         text(errc::no_such_device) + "; " + text(errc::network_unreachable));
}

BOOST_AUTO_TEST_CASE(a_run_follows_from_its_seed) {
  const auto run = [](std::uint64_t seed) {
    listeners all({.seed = seed, .link = {.jitter = 10ms, .loss = 0.3}});
    for (const char* at : {"10.0.0.2", "10.0.0.3", "10.0.0.4"}) all.add(at, group_v4);
    all.net.host("10.0.0.1").start([]() -> task<> {
      for (int i = 0; i != 20; ++i) {
        co_await cosock::sleep_for(1s);
        co_await say(std::to_string(i), group_v4);
      }
    });
    all.net.run_for(30s);
    return all.net.trace_hash();
  };
  BOOST_TEST(run(1) == run(1));
  BOOST_TEST(run(1) != run(2));
}
