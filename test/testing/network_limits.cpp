// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_limits
#include "network_fixture.hpp"

#include <cosock/testing/virtual_loop.hpp>

#include <functional>
#include <stdexcept>
#include <vector>

// Limits of simulated hosts, names that cannot be looked up, peers that are half open, and what the
// network refuses.

namespace {

namespace errc = boost::system::errc;
using cosock::address;
using cosock::endpoint;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::testing::network;
using test::outcome;
using test::text;
using test::two_far_hosts;
using test::two_hosts;
using namespace std::chrono_literals;

std::string own(cosock::error e) { return make_error_code(e).message(); }

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_full_backlog_leaves_clients_waiting, two_far_hosts) {
  server.start([]() -> task<> {
    tcp_acceptor acceptor(endpoint(address::any_v4(), 7), {.backlog = 2});
    co_await cosock::sleep_for(2500ms);
    std::vector<tcp_socket> all;
    for (;;) all.push_back(co_await acceptor.accept());
  });
  std::vector<std::int64_t> connected;
  run_client([&]() -> task<> {
    co_await cosock::sleep_for(1ms);
    const auto begin = cosock::now();
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      const auto one = [&]() -> task<> {
        const tcp_socket s = co_await cosock::connect(at(7));
        connected.push_back((cosock::now() - begin) / 1s);
        co_await cosock::sleep_for(10s);
      };
      for (int i = 0; i != 5; ++i) {
        n.start(one);
        co_await cosock::sleep_for(100ms);
      }
    });
  });
  // Three fit. The others try again after 1 s and 2 s more.
  const std::vector<std::int64_t> expected = {0, 0, 0, 3, 3};
  BOOST_TEST(connected == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_host_without_descriptors_accepts_when_one_is_closed, two_far_hosts) {
  server.start(test::echo_server);
  server.limit_descriptors(3);  // the acceptor and two connections
  std::vector<std::string> answered;
  std::string own_limit;
  run_client([&]() -> task<> {
    const auto ping = [](tcp_socket& s) -> task<> {
      char byte = 'x';
      co_await s.send(cosock::buffer(&byte, 1));
      co_await s.receive(cosock::buffer(&byte, 1));
    };
    tcp_socket a = co_await cosock::connect(at(7));
    tcp_socket b = co_await cosock::connect(at(7));
    tcp_socket c = co_await cosock::connect(at(7));
    for (tcp_socket* s : {&a, &b, &c})
      answered.push_back(co_await outcome(cosock::with_timeout(5s, ping(*s))));
    a.close();
    answered.push_back(co_await outcome(cosock::with_timeout(5s, ping(c))));
    client.limit_descriptors(2);
    own_limit = co_await outcome(cosock::connect(at(7)));
  });
  const std::vector<std::string> expected = {"success", "success", own(cosock::error::timed_out),
                                             "success"};
  BOOST_TEST(answered == expected, boost::test_tools::per_element());
  BOOST_TEST(own_limit == text(errc::too_many_files_open));
}

BOOST_FIXTURE_TEST_CASE(a_half_open_peer_is_found_by_keep_alive, two_far_hosts) {
  std::string seen;
  std::int64_t after = 0;
  server.start([&]() -> task<> {
    tcp_acceptor acceptor(endpoint(address::any_v4(), 7));
    tcp_socket peer = co_await acceptor.accept();
    peer.set_keep_alive({.idle = 10s, .interval = 2s, .count = 3});
    const auto begin = cosock::now();
    char byte;
    seen = co_await outcome(peer.receive(cosock::buffer(&byte, 1)));
    after = (cosock::now() - begin) / 1s;
  });
  client.start([&]() -> task<> {
    const tcp_socket s = co_await cosock::connect(at(7));
    co_await cosock::sleep_for(1h);
  });
  // Probes that are answered change nothing.
  net.run_for(60s);
  BOOST_TEST(seen == "");
  client.crash();
  net.run_for(60s);
  BOOST_TEST(seen == text(errc::timed_out));
  BOOST_TEST(after >= 60);
  BOOST_TEST(after <= 76);
}

BOOST_FIXTURE_TEST_CASE(without_keep_alive_a_half_open_connection_lasts, two_far_hosts) {
  bool ended = false;
  server.start([&]() -> task<> {
    tcp_acceptor acceptor(endpoint(address::any_v4(), 7));
    tcp_socket peer = co_await acceptor.accept();
    char byte;
    co_await outcome(peer.receive(cosock::buffer(&byte, 1)));
    ended = true;
  });
  client.start([&]() -> task<> {
    const tcp_socket s = co_await cosock::connect(at(7));
    co_await cosock::sleep_for(1h);
  });
  net.at(1s, [this] { client.crash(); });
  net.run_for(24h);
  BOOST_TEST(!ended);
}

BOOST_FIXTURE_TEST_CASE(names_are_found_slowly_not_at_all_or_wrongly, two_far_hosts) {
  server.start(test::echo_server);
  net.set_name("slow.test", {"10.0.0.1"}, {.delay = 3s});
  net.set_name("silent.test", {"10.0.0.1"}, {.answers = false});
  net.set_name("failing.test", {}, {.fails = true});
  net.set_name("wrong.test", {"10.9.9.9"});
  net.set_name("empty.test", {});
  std::vector<std::string> seen;
  std::int64_t slow = 0;
  run_client([&]() -> task<> {
    const auto begin = cosock::now();
    seen.push_back(co_await outcome(cosock::connect("slow.test", 7)));
    slow = (cosock::now() - begin) / 1s;
    for (const char* name : {"failing.test", "wrong.test", "empty.test", "missing.test"})
      seen.push_back(co_await outcome(cosock::connect(name, 7)));
    seen.push_back(co_await outcome(cosock::connect("silent.test", 7, {.timeout = 5s})));
    const auto found = co_await cosock::resolve("SERVER.test.", 80);
    seen.push_back(std::to_string(found.size()));
    seen.push_back(co_await cosock::reverse_resolve(address::parse("10.0.0.1")));
  });
  const std::vector<std::string> expected = {"success",
                                             own(cosock::error::resolver_failed),
                                             text(errc::host_unreachable),
                                             own(cosock::error::host_not_found),
                                             own(cosock::error::host_not_found),
                                             own(cosock::error::timed_out),
                                             "2",
                                             "server.test"};
  BOOST_TEST(seen == expected, boost::test_tools::per_element());
  BOOST_TEST(slow == 3);
}

BOOST_FIXTURE_TEST_CASE(a_dump_tells_which_name_is_looked_up, two_hosts) {
  net.set_name("silent.test", {}, {.answers = false});
  client.start([]() -> task<> { (void)co_await cosock::resolve("silent.test", 80); });
  std::string text;
  try {
    net.run();
  } catch (const cosock::testing::stuck& e) {
    text = e.what();
  }
  BOOST_TEST(text.find(": the look-up of silent.test, for ") != text.npos, text);
}

BOOST_FIXTURE_TEST_CASE(a_real_descriptor_on_a_simulated_host_is_refused, two_hosts) {
  std::string seen;
  run_client([&]() -> task<> {
    try {
      int fds[2];
      BOOST_REQUIRE(::pipe(fds) == 0);
      const auto writing = cosock::unique_descriptor::adopt(fds[1]);
      const auto reading = cosock::descriptor_stream::adopt(fds[0]);
    } catch (const std::logic_error& e) {
      seen = e.what();
    }
    co_return;
  });
  BOOST_TEST(seen ==
             "cosock: a task on a simulated host uses a real descriptor: it has the sockets of the "
             "testing::network only");
}

BOOST_AUTO_TEST_CASE(a_network_is_not_run_inside_a_task_and_is_one_of_its_thread) {
  network net;
  BOOST_CHECK_THROW(network(), std::logic_error);
  cosock::testing::host& h = net.host("10.0.0.1");
  std::string seen;
  h.start([&]() -> task<> {
    try {
      net.run_for(1s);
    } catch (const std::logic_error& e) {
      seen = e.what();
    }
    co_return;
  });
  net.run();
  BOOST_TEST(seen == "cosock: a testing::network is run inside a task");
}

BOOST_AUTO_TEST_CASE(what_makes_no_sense_is_refused_with_a_text_that_says_what_is_accepted) {
  network net;
  cosock::testing::host& a = net.host("10.0.0.1", "a.test");
  cosock::testing::host& b = net.host("10.0.0.2");
  const auto refusal = [](const std::function<void()>& f) {
    try {
      f();
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  BOOST_TEST(refusal([&] { net.host("10.0.0.3", "A.test"); }) ==
             "cosock: network::host: there is a host \"A.test\" already");
  BOOST_TEST(refusal([&] { net.host("10.0.0.1"); }) ==
             "cosock: network::host: 10.0.0.1 is the address of another host, a.test");
  BOOST_TEST(refusal([&] {
               net.host({"10.0.0.3", "::ffff:10.0.0.3"});
             }) == "cosock: network::host: 10.0.0.3 is given twice");
  BOOST_TEST(refusal([&] { net.host("10.0.0"); }) ==
             "cosock: network::host: \"10.0.0\" is no address: write 10.0.0.1 or 2001:db8::1");
  for (const char* text : {"127.0.0.1", "::1", "224.0.0.1", "0.0.0.0"})
    BOOST_TEST(refusal([&] { net.host(text); }) ==
               "cosock: network::host: " + std::string(text) + " cannot be the address of a host");
  for (const char* text : {"10.0.0.9", "localhost", "a b", ".test", "-\n"})
    BOOST_TEST(refusal([&] { net.host("10.0.0.3", text); }) ==
               "cosock: network::host: \"" + std::string(text) +
                   "\" is no name of a host: write one such as chat.test");
  BOOST_TEST(refusal([&] { net.link(a, b, {.loss = 1.5}); }) ==
             "cosock: link_options::loss 1.500000 is not from 0 to 1");
  BOOST_TEST(refusal([&] { net.link(a, b, {.duplication = -0.5}); }) ==
             "cosock: link_options::duplication -0.500000 is not from 0 to 1");
  BOOST_TEST(refusal([&] { net.link(a, b, {.latency = -1ns}); }) ==
             "cosock: link_options::latency -1 ns is not from 0 to a year");
  BOOST_TEST(refusal([&] { net.link(a, b, {.bandwidth = 0}); }) ==
             "cosock: link_options::bandwidth 0 is not positive; std::nullopt means no limit");
  BOOST_TEST(refusal([&] { a.limit_descriptors(-1); }) ==
             "cosock: host::limit_descriptors: -1 is not from 0 to 65536");
  net.run_for(1s);
  BOOST_TEST(refusal([&] { net.at(500ms, [] {}); }) == "cosock: network::at: the time has passed");
}

BOOST_AUTO_TEST_CASE(a_network_without_a_running_program_lets_time_pass) {
  network net;
  net.host("10.0.0.1");
  std::vector<int> order;
  net.at(3s, [&] { order.push_back(3); });
  net.at(1s, [&] { order.push_back(1); });
  net.run_for(2s);
  BOOST_TEST(order.size() == 1u);
  net.run_for(2s);
  BOOST_TEST((order == std::vector<int>{1, 3}));
  BOOST_TEST((net.elapsed() == 4s));
  net.run();
}
