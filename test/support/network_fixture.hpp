// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Two hosts of a simulated network, and programs for them.

#include <cosock/cosock.hpp>
#include <cosock/testing/network.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

namespace test {

using namespace std::chrono_literals;

/// Everything up to the end of the stream.
inline cosock::task<std::string> all_of(cosock::byte_stream& from) {
  return cosock::receive_to_end(from, 64 << 20);
}

inline cosock::task<> echo(cosock::tcp_socket& peer) {
  char buffer[4096];
  try {
    while (const std::size_t n = co_await peer.receive(cosock::buffer(buffer)))
      co_await peer.send(cosock::buffer(buffer, n));
  } catch (const boost::system::system_error& e) {
    if (e.code() == cosock::error::cancelled) throw;  // others are what the tests are about
  }
}

inline cosock::task<> echo_server() {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::any_v6(), 7));
  co_await cosock::serve(acceptor, echo);
}

/// The message of the system_error that the function throws; "success" if it throws none.
template <class F>
std::string attempt(F f) {
  try {
    f();
    return "success";
  } catch (const boost::system::system_error& e) {
    return e.code().message();
  }
}

/// The error that the operation ends with; "success" if it ends without one.
template <class Operation>
cosock::task<std::string> outcome(Operation operation) {
  const auto result = co_await cosock::as_result(std::move(operation));
  co_return result.has_error() ? result.error().message() : "success";
}

/// The message of a system error.
inline std::string text(boost::system::errc::errc_t e) {
  return boost::system::errc::make_error_code(e).message();
}

struct two_hosts {
  explicit two_hosts(const cosock::testing::network_options& options = {}) : net(options) {}

  /// Runs the network until the client's program has ended.
  template <class F>
  void run_client(F program, cosock::time_span limit = std::chrono::hours(1)) {
    bool ended = false;
    client.start([&]() -> cosock::task<> {
      co_await program();
      ended = true;
    });
    const cosock::time_span end = net.elapsed() + limit;
    while (!ended && net.elapsed() < end) net.run_for(1s);
    BOOST_TEST(ended);
  }
  cosock::endpoint at(std::uint16_t port) const { return {server.addresses()[0], port}; }

  cosock::testing::network net;
  cosock::testing::host& server = net.host({"10.0.0.1", "2001:db8::1"}, "server.test");
  cosock::testing::host& client = net.host({"10.0.0.2", "2001:db8::2"}, "client.test");
};

/// The same with a latency of 10 ms.
struct two_far_hosts : two_hosts {
  two_far_hosts() : two_hosts({.link = {.latency = 10ms}}) {}
};

}  // namespace test
