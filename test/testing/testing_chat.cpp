// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The chat of the tutorial, as it is in the page, with every failure at every step.

#include <cosock/testing/for_each_failure.hpp>

#define BOOST_TEST_MODULE testing_chat
#include "chat_stand_ins.hpp"
#include "support.hpp"

#include <cosock/testing/allocation_failures.hpp>

#include <string>

/// The server of docs/snippets/chat_6.cpp.
cosock::task<> run_server(std::string endpoint);

namespace {

using cosock::task;

/// A client that sends its lines and then receives to the end. An error ends it.
task<> talk(std::string lines, bool ends, std::string& received) {
  auto server = co_await chat::tcp_acceptor::current->listener.connect();
  try {
    co_await server.send(lines);
    if (ends) server.shutdown_send();
    char into[512];
    while (const std::size_t n = co_await server.receive(into)) received.append(into, n);
  } catch (const boost::system::system_error& e) {
    if (e.code() == cosock::error::cancelled) throw;
  }
}

/// Some members of the chat come and go, and one stays until the server shuts down.
task<> hold_a_chat(cosock::testing::fault_points& points, std::string& received) {
  chat::tcp_acceptor::points = &points;
  cosock::cancel_scope running;
  std::string others;
  const auto serve = [&]() -> task<> {
    try {
      co_await running.run(run_server("127.0.0.1:7000"));
    } catch (const boost::system::system_error& e) {
      if (e.code() != cosock::error::cancelled || !running.is_cancelled()) throw;
    }
  };
  const auto work = [&](cosock::nursery& tasks) -> task<> {
    tasks.start([&]() -> task<> { co_await serve(); });
    while (!chat::tcp_acceptor::current) co_await cosock::yield();
    const std::string name = "ada\n";
    const std::string commands = "/who\n/join x\n/leave\n/join\n/no\nhello\n";
    tasks.start([&]() -> task<> { co_await talk("eve\n", false, others); });
    co_await talk(name + commands + std::string(5000, 'x') + "\n/quit\n", false, received);
    co_await talk("\nbob\nbye\n", true, others);
    running.cancel();
  };
  co_await cosock::with_nursery(work);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_chat_of_the_tutorial_survives_every_failure) {
  const test::alarm_clock guard;
  std::string first;
  const auto body = [&](cosock::testing::fault_points& points) -> task<> {
    std::string received;
    co_await hold_a_chat(points, received);
    if (first.empty()) first = received;
  };
  const auto runs = cosock::testing::for_each_failure(body);
  BOOST_TEST(test::contains(first, "* welcome, ada"));
  BOOST_TEST(test::contains(first, "ada: hello\n"));
  BOOST_TEST(test::contains(first, "! line too long: the limit is 4096 bytes\n"));
  BOOST_TEST_MESSAGE(runs.operations << " operations, " << runs.cancellations << " turns, "
                                     << runs.allocations << " allocations");
  BOOST_TEST(runs.operations > 10u);
  BOOST_TEST(runs.cancellations > 5u);
  BOOST_TEST(runs.allocations > 10u);
}
