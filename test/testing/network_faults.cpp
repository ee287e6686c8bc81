// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_faults
#include "network_fixture.hpp"
#include "runs.hpp"

#include <cosock/testing/virtual_loop.hpp>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <vector>

// Partitions, hosts that crash, stop and come back, and what their peers see; and that a seed decides it
// all.

namespace {

namespace errc = boost::system::errc;
using cosock::endpoint;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::testing::outage;
using test::outcome;
using test::text;
using test::two_far_hosts;
using test::two_hosts;
using namespace std::chrono_literals;

std::int64_t seconds_since(cosock::clock::time_point begin) { return (cosock::now() - begin) / 1s; }

/// Sends a byte and receives the answer.
task<> ping(tcp_socket& s) {
  char byte = 'x';
  co_await s.send(cosock::buffer(&byte, 1));
  if (co_await s.receive(cosock::buffer(&byte, 1)) == 0) throw std::runtime_error("end");
}

/// What becomes of a client that pings each second.
task<> ping_without_end(endpoint to, std::string& end, std::int64_t& after) {
  const auto begin = cosock::now();
  tcp_socket s = co_await cosock::connect(to);
  s.set_user_timeout(20s);
  for (;;) {
    try {
      co_await ping(s);
    } catch (const boost::system::system_error& e) {
      end = e.code().message();
      break;
    } catch (const std::runtime_error& e) {
      end = e.what();
      break;
    }
    co_await cosock::sleep_for(1s);
  }
  after = seconds_since(begin);
}

struct pinging : two_far_hosts {
  pinging() {
    server.start(test::echo_server);
    client.start([this] { return ping_without_end(at(7), end, after); });
  }
  std::string end;
  std::int64_t after = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_partition_that_is_healed_in_time_is_a_delay, pinging) {
  net.at(10s, [this] { net.partition(server, client); });
  net.at(20s, [this] { net.heal(); });
  net.run_for(60s);
  BOOST_TEST(end == "");
}

BOOST_FIXTURE_TEST_CASE(a_partition_that_lasts_ends_at_the_user_timeout, pinging) {
  net.at(10s, [this] { net.partition(server, client); });
  net.run_for(60s);
  BOOST_TEST(end == text(errc::timed_out));
  BOOST_TEST(after == 30);
}

BOOST_FIXTURE_TEST_CASE(a_partition_in_one_direction_is_no_less, pinging) {
  net.at(10s, [this] { net.partition_one_way(server, client); });
  net.run_for(60s);
  BOOST_TEST(end == text(errc::timed_out));
}

BOOST_FIXTURE_TEST_CASE(a_router_that_answers_is_heard_when_the_connection_gives_up, pinging) {
  net.at(10s, [this] { net.partition(server, client, outage::unreachable); });
  net.run_for(60s);
  BOOST_TEST(end == text(errc::host_unreachable));
}

BOOST_FIXTURE_TEST_CASE(peers_of_a_host_that_crashes_hear_nothing, pinging) {
  net.at(10500ms, [this] { server.crash(); });
  net.run_for(25s);
  BOOST_TEST(end == "");
  net.run_for(25s);
  BOOST_TEST(end == text(errc::timed_out));
  BOOST_TEST(after == 31);
  BOOST_TEST(!server.is_running());
}

BOOST_FIXTURE_TEST_CASE(a_host_that_comes_back_knows_no_old_connection, pinging) {
  net.at(10500ms, [this] { server.crash(); });
  net.at(12s, [this] { server.restart(); });
  net.run_for(60s);
  BOOST_TEST(end == text(errc::connection_reset));
  BOOST_TEST(after >= 12);
  BOOST_TEST(after <= 14);
}

BOOST_FIXTURE_TEST_CASE(peers_of_a_host_that_is_stopped_hear_of_it_at_once, pinging) {
  net.at(10500ms, [this] { server.stop(); });
  net.run_for(15s);
  // The end of the stream, which answers the next ping.
  BOOST_TEST(end == "end");
  BOOST_TEST(after == 11);
}

BOOST_FIXTURE_TEST_CASE(a_stopped_host_refuses_until_it_is_restarted, two_far_hosts) {
  std::vector<std::string> seen;
  server.start(test::echo_server);
  net.at(10s, [this] { server.stop(); });
  net.at(20s, [this] { server.restart(); });
  run_client([&]() -> task<> {
    for (int i = 0; i != 3; ++i) {
      co_await cosock::sleep_for(8s);
      seen.push_back(co_await outcome(cosock::connect(at(7))));
    }
  });
  const std::vector<std::string> expected = {"success", text(errc::connection_refused), "success"};
  BOOST_TEST(seen == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_connection_into_a_black_hole_gives_up_after_two_minutes, two_far_hosts) {
  std::string seen;
  std::int64_t after = 0;
  net.partition(server, client);
  run_client([&]() -> task<> {
    const auto begin = cosock::now();
    seen = co_await outcome(cosock::connect(at(7)));
    after = seconds_since(begin);
  });
  BOOST_TEST(seen == text(errc::timed_out));
  BOOST_TEST(after == 127);
}

BOOST_FIXTURE_TEST_CASE(connect_by_name_falls_back_to_the_other_family, two_far_hosts) {
  server.start([]() -> task<> {
    tcp_acceptor acceptor(endpoint(cosock::address::any_v4(), 7));
    co_await cosock::serve(acceptor, test::echo);
  });
  std::string family;
  run_client([&]() -> task<> {
    tcp_socket s = co_await cosock::connect("server.test", 7);
    family = s.remote_endpoint().address().is_v4() ? "v4" : "v6";
  });
  BOOST_TEST(family == "v4");
}

BOOST_FIXTURE_TEST_CASE(a_reconnecting_client_outlives_its_server, two_far_hosts) {
  int sessions = 0;
  server.start(test::echo_server);
  client.start([&]() -> task<> {
    cosock::reconnecting_client again;
    const auto session = [&sessions](tcp_socket& s) -> task<> {
      ++sessions;
      s.set_user_timeout(5s);
      for (;;) {
        co_await ping(s);
        co_await cosock::sleep_for(1s);
      }
    };
    co_await again.run("server.test", 7, session);
  });
  for (int i = 1; i != 10; ++i) {
    net.at(i * 60s, [this] { server.crash(); });
    net.at(i * 60s + 20s, [this] { server.restart(); });
  }
  net.run_for(600s);
  BOOST_TEST(sessions == 10);
}

BOOST_FIXTURE_TEST_CASE(tasks_of_a_host_that_ends_are_destroyed, two_far_hosts) {
  int alive = 0;
  struct counted {
    explicit counted(int& n) : n(n) { ++n; }
    ~counted() { --n; }
    int& n;
  };
  server.start([&alive]() -> task<> {
    const counted c(alive);
    co_await cosock::sleep_for(1h);
  });
  net.run_for(1s);
  BOOST_TEST(alive == 1);
  server.stop();
  BOOST_TEST(alive == 0);
  server.restart();
  net.run_for(1s);
  BOOST_TEST(alive == 1);
  server.crash();
  BOOST_TEST(alive == 0);
}

BOOST_FIXTURE_TEST_CASE(a_program_may_end_its_own_host, two_far_hosts) {
  bool reached = false;
  client.start([&]() -> task<> {
    client.crash();
    reached = true;
    co_await cosock::sleep_for(1s);
    BOOST_ERROR("the host has crashed");
  });
  net.run_for(10s);
  BOOST_TEST(reached);
  BOOST_TEST(!client.is_running());
}

BOOST_FIXTURE_TEST_CASE(what_a_program_throws_comes_out_of_the_network, two_far_hosts) {
  client.start([]() -> task<> {
    co_await cosock::sleep_for(5s);
    throw std::runtime_error("of the program");
  });
  BOOST_CHECK_EXCEPTION(net.run_for(10s), std::runtime_error, [](const std::runtime_error& e) {
    return e.what() == std::string("of the program");
  });
  BOOST_TEST((net.elapsed() >= 5s && net.elapsed() < 5100ms));
  net.run_for(5s);
  BOOST_TEST((net.elapsed() >= 10s));
}

BOOST_FIXTURE_TEST_CASE(a_network_in_which_nothing_will_happen_is_an_error, two_far_hosts) {
  client.start([]() -> task<> {
    cosock::event never;
    co_await never.wait();
  });
  BOOST_CHECK_EXCEPTION(net.run(), cosock::testing::stuck, [](const cosock::testing::stuck& e) {
    BOOST_TEST_MESSAGE(e.what());
    return std::string(e.what()).find("on the host client.test:") != std::string::npos;
  });
}

BOOST_FIXTURE_TEST_CASE(a_task_that_never_waits_is_an_error, two_far_hosts) {
  client.start([]() -> task<> {
    for (;;) co_await cosock::yield();
  });
  BOOST_CHECK_THROW(net.run_for(1s), std::runtime_error);
}

namespace {

/// The hash of ten minutes with everything in them.
std::uint64_t hash_of(std::uint64_t seed) {
  two_hosts hosts(
      {.seed = seed, .link = {.latency = 10ms, .jitter = 30ms, .loss = 0.02, .reordering = 0.01}});
  hosts.server.start(test::echo_server);
  hosts.client.start([]() -> task<> {
    cosock::reconnecting_client client;
    const auto session = [](tcp_socket& s) -> task<> {
      s.set_user_timeout(5s);
      for (;;) {
        co_await ping(s);
        co_await cosock::sleep_for(100ms);
      }
    };
    co_await client.run("server.test", 7, session);
  });
  for (int i = 1; i != 10; ++i) {
    hosts.net.at(i * 60s, [&] { hosts.net.partition(hosts.server, hosts.client); });
    hosts.net.at(i * 60s + 10s, [&] { hosts.net.heal(); });
  }
  hosts.net.run_for(600s);
  return hosts.net.trace_hash();
}

}  // namespace

// The hash is the same with each compiler, build type and sanitizer. It changes with the model of the
// network only, and then here.
BOOST_AUTO_TEST_CASE(a_seed_has_one_hash) {
  const int runs = test::number_of_runs(20);
  for (int i = 0; i != runs; ++i) BOOST_TEST(hash_of(1) == 2281676206421576752u);
}

BOOST_AUTO_TEST_CASE(each_seed_has_another_hash) {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed != 6; ++seed) hashes.insert(hash_of(seed));
  BOOST_TEST(hashes.size() == 5u);
}

namespace {

/// The order in which ten tasks of a host run that become ready at the same time.
std::vector<int> order_of_tasks(const cosock::testing::network_options& options) {
  two_hosts hosts(options);
  std::vector<int> order;
  hosts.client.start([&order]() -> task<> {
    const auto note = [&order](int i) -> task<> {
      co_await cosock::sleep_for(1s);
      order.push_back(i);
    };
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      for (int i = 0; i != 10; ++i) n.start(note, i);
      co_return;
    });
  });
  hosts.net.run();
  return order;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_shuffled_order_of_the_tasks_of_a_host_is_that_of_the_seed) {
  using cosock::testing::task_order;
  const std::vector<int> in_order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  BOOST_TEST(order_of_tasks({.seed = 1}) == in_order);
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 0; seed != 20; ++seed) {
    const std::vector<int> order = order_of_tasks({.seed = seed, .order = task_order::shuffled});
    BOOST_TEST(order == order_of_tasks({.seed = seed, .order = task_order::shuffled}));
    BOOST_TEST(std::is_permutation(order.begin(), order.end(), in_order.begin()));
    orders.insert(order);
  }
  BOOST_TEST(orders.size() == 20u);
}
