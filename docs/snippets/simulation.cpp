// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The code of docs/simulation.md.

#include "check.hpp"

#include <cosock/cosock.hpp>
#include <cosock/testing/network.hpp>
#include <cosock/testing/seed.hpp>

#include <chrono>
#include <string>

using namespace std::chrono_literals;
namespace testing = cosock::testing;

namespace {

//! [programs]
// Two programs, as they run in production.
cosock::task<> answer(cosock::tcp_socket& peer) {
  cosock::buffered_reader lines(peer);
  while (const auto line = co_await lines.read_line()) {
    const std::string reply = "you said " + std::string(*line) + '\n';
    co_await peer.send(reply);
  }
}
cosock::task<> run_server() {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse("0.0.0.0:4000"));
  co_await cosock::serve(acceptor, answer);
}

cosock::task<> ask(std::string& reply) {
  cosock::tcp_socket server = co_await cosock::connect("echo.test", 4000);
  co_await server.send("hello\n");
  cosock::buffered_reader lines(server);
  reply = std::string((co_await lines.read_line()).value());
}
//! [programs]

void first_test() {
  //! [first]
  std::string reply;
  testing::network net({.link = {.latency = 20ms}});
  testing::host& server = net.host("10.0.0.1", "echo.test");
  testing::host& client = net.host("10.0.0.2");
  server.start([] { return run_server(); });
  client.start([&] { return ask(reply); });
  net.run_for(1s);
  check(reply == "you said hello");
  //! [first]
}

//! [client]
// Stays connected, and asks every second.
cosock::task<> ask_again_and_again(int& answers) {
  const auto session = [&](cosock::tcp_socket& server) -> cosock::task<> {
    server.set_user_timeout(5s);
    cosock::buffered_reader lines(server);
    for (;; co_await cosock::sleep_for(1s)) {
      co_await server.send("still there?\n");
      if (!co_await lines.read_line()) co_return;
      ++answers;
    }
  };
  cosock::reconnecting_client client({.cap = 5s});
  co_await client.run("echo.test", 4000, session);
}
//! [client]

void outages() {
  //! [outages]
  int answers = 0;
  testing::network net({.seed = testing::seed_from_environment(1),
                        .link = {.latency = 20ms, .jitter = 5ms, .loss = 0.01}});
  testing::host& server = net.host("10.0.0.1", "echo.test");
  testing::host& client = net.host("10.0.0.2");
  server.start([] { return run_server(); });
  client.start([&] { return ask_again_and_again(answers); });

  net.at(60s, [&] { net.partition(server, client); });  // nobody is told
  net.at(90s, [&] { net.heal(); });
  net.at(120s, [&] { server.crash(); });  // peers hear nothing, not even a reset
  net.at(125s, [&] { server.restart(); });
  net.at(180s, [&] { server.stop(); });  // as kill -9: the kernel closes the sockets
  net.at(182s, [&] { server.restart(); });
  net.run_for(10min);  // takes a few milliseconds
  check(answers > 500);
  //! [outages]
}

//! [multicast]
// Servers announce themselves to a group, and clients listen to it.
cosock::task<> announce() {
  cosock::udp_socket s(cosock::endpoint::parse("0.0.0.0:0"));
  for (;; co_await cosock::sleep_for(1s))
    co_await s.send_to("a server is here", cosock::endpoint::parse("239.1.2.3:5000"));
}
cosock::task<> discover(cosock::address& found) {
  cosock::udp_socket s(cosock::endpoint::parse("0.0.0.0:5000"));
  s.join(cosock::address::parse("239.1.2.3"));
  char text[100];
  found = (co_await s.receive_from(text)).from.address();
}

void near_and_far() {
  cosock::address near;
  cosock::address far;
  testing::network net;
  net.host("10.0.0.1").start([] { return announce(); });
  net.host("10.0.0.2").start([&] { return discover(near); });
  net.host("10.0.1.1").start([&] { return discover(far); });  // on another subnet
  net.run_for(10s);
  check(near == cosock::address::parse("10.0.0.1"));
  check(far == cosock::address());
}
//! [multicast]

}  // namespace

int main() {
  first_test();
  outages();
  near_and_far();
}
