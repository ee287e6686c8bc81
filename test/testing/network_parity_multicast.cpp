// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_parity_multicast
#include "multicast_tools.hpp"
#include "network_fixture.hpp"

#include <sys/syscall.h>

#include <future>
#include <sstream>
#include <string>
#include <thread>

// Multicast between two hosts, on the kernel and on a simulated network: the two kernels are network
// namespaces, which a pair of interfaces connects.

namespace {

using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::task;
using cosock::udp_socket;
using test::attempt;
using test::group;
using test::heard_by;
using test::outcome;
using namespace std::chrono_literals;

constexpr std::uint16_t port = 7001;

address server_at(bool v6) { return address::parse(v6 ? "2001:db8::1" : "10.0.0.1"); }
address client_at(bool v6) { return address::parse(v6 ? "2001:db8::2" : "10.0.0.2"); }

udp_socket member(bool v6) {
  return udp_socket(endpoint(test::any(v6), port), {.reuse_address = true});
}

/// Does what the other host asks for, on two sockets of one port: the first is 0.
task<> agent(bool v6) {
  udp_socket control(endpoint(server_at(v6), 7000));
  udp_socket members[] = {member(v6), member(v6)};
  for (;;) {
    char command[100];
    const auto got = co_await control.receive_from(command);
    std::istringstream words(std::string(command, got.size));
    std::string verb;
    std::size_t which = 0;
    int number = 0;
    std::string sender;
    words >> verb >> which >> number >> sender;
    udp_socket& socket = members[which];
    const address to = group(v6, number);
    std::string answer;
    if (verb == "join")
      answer = attempt([&] { socket.join(to); });
    else if (verb == "leave")
      answer = attempt([&] { socket.leave(to); });
    else if (verb == "join_for")
      answer = attempt([&] { socket.join(to, address::parse(sender)); });
    else if (verb == "leave_for")
      answer = attempt([&] { socket.leave(to, address::parse(sender)); });
    else if (verb == "heard")
      answer = co_await heard_by(members[0]) + " / " + co_await heard_by(members[1]);
    co_await control.send_to(answer, got.from);
    if (verb == "end") co_return;
  }
}

/// The other host, as a program of this one sees it.
struct other_host {
  explicit other_host(bool v6)
      : v6(v6), control(endpoint(client_at(v6), 0)), sender(endpoint(test::any(v6), 0)) {}
  task<std::string> ask(std::string command) {
    for (;;) {  // until it has begun
      (void)co_await as_result(control.send_to(command, endpoint(server_at(v6), 7000)));
      char answer[200];
      const auto got = co_await as_result(cosock::with_timeout(2s, control.receive(answer)));
      if (got) co_return std::string(answer, got->size);
    }
  }
  task<> send(std::string text, int number) {
    co_await sender.send_to(text, endpoint(group(v6, number), port));
  }
  bool v6;
  udp_socket control;
  udp_socket sender;
};

void note(std::string& seen, const std::string& what) { seen += what + "; "; }

task<> members_hear(other_host& other, std::string& seen) {
  udp_socket own = member(other.v6);
  udp_socket stranger = member(other.v6);
  const auto all_hear = [&](std::string text) -> task<> {
    co_await other.send(text, 1);
    note(seen, co_await heard_by(own) + " / " + co_await heard_by(stranger) + " | " +
                   co_await other.ask("heard"));
  };
  co_await all_hear("nobody");
  note(seen, co_await other.ask("join 0 1"));
  co_await all_hear("one there");
  note(seen, attempt([&] { own.join(group(other.v6, 1)); }));
  co_await all_hear("one each");
  note(seen, co_await other.ask("join 1 1"));
  note(seen, co_await other.ask("join 1 2"));
  co_await all_hear("two there");
  co_await other.send("another group", 2);
  note(seen, co_await other.ask("heard"));
  other.sender.set_multicast_loopback(false);
  co_await all_hear("not here");
  other.sender.set_multicast_loopback(true);
  for (const int hops : {0, 1, 2}) {
    other.sender.set_multicast_hops(hops);
    co_await all_hear("hops " + std::to_string(hops));
  }
  note(seen, co_await other.ask("leave 0 1"));
  co_await all_hear("one has left");
  note(seen, attempt([&] { own.leave(group(other.v6, 1)); }));
  co_await all_hear("two have left");
  own.join(group(other.v6, 1));
  own.close();
  co_await all_hear("closed");
}

task<> memberships_that_fail(other_host& other, std::string& seen) {
  const std::string here = client_at(other.v6).to_string();
  for (const char* command : {"leave 0 1", "leave_for 0 1", "join 0 1", "join 0 1", "leave 0 2",
                              "leave_for 0 1", "leave 0 1", "leave 0 1"})
    note(seen, co_await other.ask(std::string(command) + " " + here));
  udp_socket own = member(other.v6);
  note(seen, attempt([&] { own.join(client_at(other.v6)); }));
  note(seen, attempt([&] { own.join(client_at(other.v6), client_at(other.v6)); }));
  if (!other.v6) note(seen, attempt([&] { own.join(group(true, 1)); }));
  if (other.v6) note(seen, attempt([&] { own.join(group(false, 1)); }));
}

task<> groups_for_one_sender(other_host& other, std::string& seen) {
  const std::string here = client_at(other.v6).to_string();
  const std::string nobody = other.v6 ? "2001:db8::9" : "10.0.0.9";
  const auto hears = [&](std::string text) -> task<> {
    co_await other.send(text, 3);
    note(seen, co_await other.ask("heard"));
  };
  note(seen, co_await other.ask("join_for 0 3 " + nobody));
  co_await hears("of another sender");
  note(seen, co_await other.ask("join_for 0 3 " + here));
  co_await hears("of its sender");
  note(seen, co_await other.ask("join_for 0 3 " + here));
  note(seen, co_await other.ask("join 0 3"));
  note(seen, co_await other.ask("leave_for 0 3 " + here));
  co_await hears("it has left");
  note(seen, co_await other.ask("leave_for 0 3 " + nobody));
  note(seen, co_await other.ask("leave_for 0 3 " + nobody));
  note(seen, co_await other.ask("join 0 3"));
  co_await hears("of all");
  note(seen, co_await other.ask("join_for 0 3 " + nobody));
  co_await hears("not of all any more");
  note(seen, co_await other.ask("leave 0 3"));
}

task<> bound_and_connected(other_host& other, std::string& seen) {
  const bool v6 = other.v6;
  udp_socket bound(endpoint(group(v6, 4), port), {.reuse_address = true});
  note(seen, bound.local_endpoint().to_string());
  bound.join(group(v6, 4));
  bound.join(group(v6, 5));
  co_await other.send("its address", 4);
  co_await other.send("another one", 5);
  note(seen, co_await heard_by(bound));
  co_await bound.send_to("from a group", endpoint(group(v6, 4), port));
  char into[100];
  const auto got = co_await bound.receive_from(into);
  note(seen, got.from.to_string());
  note(seen, attempt([&] { udp_socket(endpoint(group(v6, 4), port)); }));
  udp_socket connected = co_await cosock::connect_udp(endpoint(group(v6, 4), port));
  note(seen, connected.local_endpoint().address().to_string() + ' ' +
                 connected.remote_endpoint().to_string());
  co_await connected.send("from one that is connected");
  note(seen, co_await heard_by(bound));
  for (const std::size_t size : {65507, 65508, 65527, 65528}) {
    const std::string large(size, 'x');
    note(seen, co_await outcome(connected.send(large)));
  }
  udp_socket own(endpoint(client_at(v6), port), {.reuse_address = true});
  own.join(group(v6, 4));
  co_await other.send("not for a socket at an address", 4);
  note(seen, co_await heard_by(own));
  if (v6) note(seen, attempt([&] { udp_socket(endpoint(address::parse("ff02::77"), port)); }));
  note(seen, attempt([&] { udp_socket(endpoint(address::parse("224.0.0.77"), port)); }));
}

task<> options(other_host& other, std::string& seen) {
  udp_socket& s = other.sender;
  note(seen, std::to_string(s.multicast_hops()) + ' ' + std::to_string(s.multicast_loopback()));
  for (const int hops : {0, 255, 256, -1})
    note(seen,
         attempt([&] { s.set_multicast_hops(hops); }) + ' ' + std::to_string(s.multicast_hops()));
  s.set_multicast_loopback(false);
  note(seen, std::to_string(s.multicast_loopback()));
  note(seen, attempt([&] { s.set_multicast_interface({}); }));
  co_return;
}

struct row {
  const char* name;
  task<> (*program)(other_host& other, std::string& seen);
};
const row rows[] = {{"members hear", members_hear},
                    {"memberships that fail", memberships_that_fail},
                    {"groups for one sender", groups_for_one_sender},
                    {"bound and connected", bound_and_connected},
                    {"options", options}};

task<> drive(const row& each, bool v6, std::string& seen) {
  other_host other(v6);
  const auto ended = co_await as_result(cosock::with_timeout(20s, each.program(other, seen)));
  if (ended.has_error()) note(seen, "ended by " + ended.error().message());
  co_await other.ask("end");
}

void run(const std::string& command) {
  test::check(std::system(command.c_str()) == 0, command.c_str());
}

/// The second network namespace: that of a thread, whose loop runs the agent.
class second_kernel {
 public:
  second_kernel() {
    std::promise<long> id;
    std::promise<void> connected;
    std::promise<void> configured;
    thread_ = std::thread([&] {
      test::check(::unshare(CLONE_NEWNET) == 0, "unshare");
      test::bring_up("lo");
      id.set_value(::syscall(SYS_gettid));
      connected.get_future().get();
      configure("e0", 1);
      configured.set_value();
      for (std::function<void()> work; (work = next_.get_future().get());) {
        next_ = {};
        work();
        done_.set_value();
      }
    });
    run("ip link add d0 type veth peer name e0 && ip link set e0 netns " +
        std::to_string(id.get_future().get()));
    connected.set_value();
    configured.get_future().get();
    configure("d0", 2);
    test::wait_for_multicast("d0");  // when both ends are up
  }
  ~second_kernel() {
    next_.set_value(nullptr);
    thread_.join();
  }
  /// Runs the function in the other namespace, until finish().
  void start(std::function<void()> work) { next_.set_value(std::move(work)); }
  void finish() {
    done_.get_future().get();
    done_ = {};
  }

 private:
  static void configure(const std::string& interface, int number) {
    const std::string n = std::to_string(number);
    run("ip addr add 10.0.0." + n + "/24 dev " + interface + " && ip -6 addr add 2001:db8::" + n +
        "/64 dev " + interface + " nodad && ip link set " + interface +
        " up multicast on && ip route add 224.0.0.0/4 dev " + interface);
  }
  std::promise<std::function<void()>> next_;
  std::promise<void> done_;
  std::thread thread_;
};

std::string on_the_kernel(second_kernel& other, const row& each, bool v6) {
  other.start([v6] {
    cosock::loop loop;
    loop.run(agent(v6));
  });
  std::string seen;
  cosock::loop loop;
  loop.run(drive(each, v6, seen));
  other.finish();
  return seen;
}

std::string on_the_simulation(const row& each, bool v6) {
  test::two_hosts hosts({.link = {.latency = 20us}});
  std::string seen;
  hosts.server.start([&] { return agent(v6); });
  hosts.run_client([&] { return drive(each, v6, seen); });
  return seen;
}

}  // namespace

NETWORK_TEST_CASE(multicast_looks_the_same_on_the_kernel_and_on_a_simulated_network) {
  second_kernel other;
  for (const row& each : rows)
    for (const bool v6 : {false, true}) {
      const std::string real = on_the_kernel(other, each, v6);
      const std::string simulated = on_the_simulation(each, v6);
      BOOST_TEST(simulated == real, each.name << (v6 ? ", IPv6" : ", IPv4") << "\n  kernel:    "
                                              << real << "\n  simulated: " << simulated);
    }
}
