// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A handshake and a conversation in which every operation of the transport, every turn and every allocation
// fails once, on either side: each ends with an error, and a sanitizer finds no leak.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_failures
#include "tls_fixture.hpp"

#include <cosock/testing/allocation_failures.hpp>
#include <cosock/testing/for_each_failure.hpp>

#include <memory>

namespace {

using cosock::task;
using cosock::tls_stream;
using cosock::testing::fault_points;
using test::client_context;
using test::server_context;

task<> as_client(std::unique_ptr<cosock::byte_stream> wire) {
  tls_stream ours =
      co_await cosock::tls_over(client_context(), std::move(wire), "localhost", {.resume = false});
  char into[10];
  co_await ours.send("a question");
  co_await ours.receive_exactly(into);
  co_await ours.finish();
}

task<> as_server(std::unique_ptr<cosock::byte_stream> wire) {
  tls_stream ours = co_await cosock::tls_accept(server_context(), std::move(wire));
  char into[10];
  co_await ours.receive_exactly(into);
  co_await ours.send("the answer");
  co_await ours.finish();
}

/// The transport of one side fails; the other side sees what a peer sees then.
void fail_one_side(bool of_server) {
  const test::alarm_clock guard;
  static_cast<void>(client_context());
  static_cast<void>(server_context());
  const auto body = [of_server](fault_points& points) -> task<> {
    auto [one, other] = cosock::testing::memory_pair();
    std::unique_ptr<cosock::byte_stream> ours;
    std::unique_ptr<cosock::byte_stream> theirs;
    if (of_server) {
      ours = std::make_unique<test::memory_stream>(std::move(one));
      theirs = std::make_unique<cosock::testing::faulty>(points.wrap(std::move(other)));
    } else {
      ours = std::make_unique<cosock::testing::faulty>(points.wrap(std::move(one)));
      theirs = std::make_unique<test::memory_stream>(std::move(other));
    }
    co_await cosock::when_all(as_client(std::move(ours)), as_server(std::move(theirs)));
  };
  const auto runs = cosock::testing::for_each_failure(body);
  BOOST_TEST_MESSAGE(runs.operations << " operations, " << runs.cancellations << " turns, "
                                     << runs.allocations << " allocations");
  BOOST_TEST(runs.operations > 5u);
  BOOST_TEST(runs.errors > 5u);
  BOOST_TEST(runs.cancellations > 0u);
  BOOST_TEST(runs.allocations > 10u);
}

BOOST_AUTO_TEST_CASE(every_failure_of_a_client_ends_in_order) { fail_one_side(false); }
BOOST_AUTO_TEST_CASE(every_failure_of_a_server_ends_in_order) { fail_one_side(true); }

}  // namespace
