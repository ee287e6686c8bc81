// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_parity_mtu
#include "netns.hpp"
#include "network_fixture.hpp"

#include <sys/syscall.h>

#include <future>
#include <string>
#include <thread>

// Datagrams that are larger than the path MTU, on kernels and on a simulated network: between the kernels of
// two hosts, which are network namespaces, that of a router has a link with a smaller MTU.

namespace {

using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::mtu_discovery;
using cosock::task;
using cosock::udp_socket;
using test::outcome;
using namespace std::chrono_literals;

constexpr std::uint16_t port = 7001;
constexpr std::size_t narrow = 1400;

struct hosts {
  const char* server;
  const char* client;
  std::size_t headers;
};
constexpr hosts v4 = {"10.0.0.1", "10.0.1.2", 28};
constexpr hosts v6 = {"2001:db8::1", "2001:db8:0:1::2", 48};

void note(std::string& seen, const std::string& what) { seen += what + "; "; }

/// Answers each datagram with its size, until one has no byte.
task<> answer_sizes(hosts at) {
  udp_socket s(endpoint(address::parse(at.server), port));
  std::string into(70'000, '\0');
  for (;;) {
    const auto got = co_await s.receive_from(into);
    co_await s.send_to(std::to_string(got.size), got.from);
    if (got.size == 0) co_return;
  }
}

/// Waits until the server runs: one datagram that is answered.
task<> reach(udp_socket& s) {
  for (;;) {
    char into[100];
    co_await s.send("x");
    if (co_await as_result(cosock::with_timeout(200ms, s.receive(into)))) co_return;
  }
}

/// What a send of so many bytes, headers included, ends with, and what comes back.
task<std::string> sends(udp_socket& s, hosts at, std::size_t bytes) {
  const std::string data(bytes - at.headers, 'x');
  std::string seen = co_await outcome(s.send(data));
  for (;;) {
    char into[100];
    const auto got = co_await as_result(cosock::with_timeout(30ms, s.receive(into)));
    const std::string answer =
        got ? "answer " + std::string(into, got->size) : got.error().message();
    if (answer == "answer 1") continue;  // of reach(), which has sent more than once
    co_return seen + ", " + answer + ", " + std::to_string(s.path_mtu());
  }
}

task<> program(hosts at, mtu_discovery mode, bool connects_v6_socket, std::string& seen) {
  const endpoint server(address::parse(at.server), port);
  udp_socket s(endpoint(connects_v6_socket ? address::any_v6() : address::parse(at.client), 0));
  try {
    static_cast<void>(s.path_mtu());
  } catch (const boost::system::system_error& e) {
    note(seen, e.code().message());
  }
  s.connect(server);
  co_await reach(s);
  s.set_mtu_discovery(mode);
  note(seen, std::to_string(s.path_mtu()));
  for (const std::size_t bytes : {1400, 1401, 1401, 1400, 1500, 1501, 4000, 1400})
    note(seen, co_await sends(s, at, bytes));
  // Another socket of the host knows it too; one that is not connected hears of no error.
  udp_socket other(endpoint(address::parse(at.client), 0));
  other.connect(server);
  note(seen, std::to_string(other.path_mtu()));
  udp_socket own(endpoint(address::parse(at.client), 0));
  own.connect(other.local_endpoint());
  note(seen, std::to_string(own.path_mtu()));
  own.set_mtu_discovery(mode);
  note(seen, co_await outcome(own.send(std::string(60'000, 'x'))));
}

task<> client(hosts at, mtu_discovery mode, bool connects_v6_socket, std::string& seen) {
  const auto ended =
      co_await as_result(cosock::with_timeout(20s, program(at, mode, connects_v6_socket, seen)));
  if (ended.has_error()) note(seen, "ended by " + ended.error().message());
  udp_socket s(endpoint(address::parse(at.client), 0));
  s.connect(endpoint(address::parse(at.server), port));
  co_await s.send("");
  char into[10];
  (void)co_await as_result(cosock::with_timeout(2s, s.receive(into)));
}

void run(const std::string& command) {
  test::check(std::system(command.c_str()) == 0, command.c_str());
}

/// A network namespace: that of a thread, which runs functions one after the other.
class kernel {
 public:
  kernel() {
    std::promise<long> id;
    thread_ = std::thread([&] {
      test::check(::unshare(CLONE_NEWNET) == 0, "unshare");
      test::bring_up("lo");
      id.set_value(::syscall(SYS_gettid));
      while (const std::function<void()> work = next_.get_future().get()) {
        next_ = {};
        work();
        done_.set_value();
      }
    });
    id_ = std::to_string(id.get_future().get());
  }
  ~kernel() {
    next_.set_value(nullptr);
    thread_.join();
  }
  const std::string& id() const noexcept { return id_; }
  void start(std::function<void()> work) { next_.set_value(std::move(work)); }
  void finish() {
    done_.get_future().get();
    done_ = {};
  }
  void call(const std::string& command) {
    start([&] { run(command); });
    finish();
  }

 private:
  std::promise<std::function<void()>> next_;
  std::promise<void> done_;
  std::string id_;
  std::thread thread_;
};

/// The client is this namespace. What the system has learned about a path ends with it.
std::string on_the_kernels(hosts at, mtu_discovery mode, bool connects_v6_socket) {
  kernel client_host;
  kernel router;
  kernel server;
  router.call(
      "ip link add r0 type veth peer name c0 && ip link add r1 type veth peer name s0 && "
      "ip link set c0 netns " +
      client_host.id() + " && ip link set s0 netns " + server.id() +
      " && ip addr add 10.0.1.1/24 dev r0 && ip addr add 10.0.0.254/24 dev r1 && "
      "ip -6 addr add 2001:db8:0:1::1/64 dev r0 nodad && "
      "ip -6 addr add 2001:db8::ff/64 dev r1 nodad && ip link set r1 mtu 1400 && "
      "ip link set r0 up && ip link set r1 up && "
      "echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding "
      "&& "
      // As many answers as there are datagrams.
      "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit && echo 0 > /proc/sys/net/ipv6/icmp/ratelimit");
  server.call(
      "ip addr add 10.0.0.1/24 dev s0 && ip -6 addr add 2001:db8::1/64 dev s0 nodad && "
      "ip link set s0 up mtu 1400 && ip route add default via 10.0.0.254 && "
      "ip -6 route add default via 2001:db8::ff");
  client_host.call(
      "ip addr add 10.0.1.2/24 dev c0 && ip -6 addr add 2001:db8:0:1::2/64 dev c0 nodad && "
      "ip link set c0 up && ip route add default via 10.0.1.1 && "
      "ip -6 route add default via 2001:db8:0:1::1");
  std::string seen;
  server.start([&] {
    cosock::loop loop;
    loop.run(answer_sizes(at));
  });
  client_host.start([&] {
    cosock::loop loop;
    loop.run(client(at, mode, connects_v6_socket, seen));
  });
  client_host.finish();
  server.finish();
  return seen;
}

std::string on_the_simulation(hosts at, mtu_discovery mode, bool connects_v6_socket) {
  std::string seen;
  cosock::testing::network net({.link = {.latency = 20us}});
  cosock::testing::host& one = net.host({v4.server, v6.server});
  cosock::testing::host& other = net.host({v4.client, v6.client});
  net.link(one, other, {.latency = 20us, .mtu = narrow});
  one.start([&] { return answer_sizes(at); });
  other.start([&] { return client(at, mode, connects_v6_socket, seen); });
  net.run();
  return seen;
}

}  // namespace

NETWORK_TEST_CASE(the_path_mtu_looks_the_same_on_kernels_and_on_a_simulated_network) {
  for (const auto mode : {mtu_discovery::off, mtu_discovery::fragment, mtu_discovery::dont_fragment,
                          mtu_discovery::probe})
    for (const int which : {0, 1, 2}) {
      const hosts at = which == 1 ? v6 : v4;
      const std::string real = on_the_kernels(at, mode, which == 2);
      const std::string simulated = on_the_simulation(at, mode, which == 2);
      BOOST_TEST(simulated == real, "mode " << static_cast<int>(mode) << " to " << at.server
                                            << "\n  kernel:    " << real
                                            << "\n  simulated: " << simulated);
    }
}
