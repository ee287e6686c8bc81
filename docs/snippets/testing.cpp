// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#define BOOST_TEST_MODULE testing
#include <boost/test/unit_test.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;

//! [case]
/// A test case whose body is a coroutine, with a loop and a limit of its own.
#define COROUTINE_TEST_CASE(name)                          \
  static cosock::task<> name##_body();                     \
  BOOST_AUTO_TEST_CASE(name) { run_case(name##_body()); }  \
  static cosock::task<> name##_body()

static cosock::task<> in_time(cosock::task<> body) {
  co_await cosock::with_timeout(60s, std::move(body));
}
static void run_case(cosock::task<> body) {
  cosock::loop loop;
  loop.run(in_time(std::move(body)));  // throws what leaves the body, into Boost.Test
}
//! [case]

//! [code]
// What is to be tested takes a byte_stream, not a tcp_socket.
cosock::task<> greet(cosock::byte_stream& peer) {
  cosock::buffered_reader lines(peer);
  co_await peer.send("who are you?\n");
  const auto name = co_await lines.read_line();
  if (!name) co_return;
  const std::string greeting = "hello " + std::string(*name) + '\n';
  co_await peer.send(greeting);
}
//! [code]

//! [pair]
COROUTINE_TEST_CASE(greets_by_name) {
  auto [server, client] = cosock::local_pair();
  const auto talk = [&]() -> cosock::task<> {
    cosock::buffered_reader lines(client);
    BOOST_TEST((co_await lines.read_line() == "who are you?"));
    co_await client.send("Ada\n");
    BOOST_TEST((co_await lines.read_line() == "hello Ada"));
  };
  co_await cosock::when_all(greet(server), talk());
}

COROUTINE_TEST_CASE(ends_if_the_peer_ends) {
  auto [server, client] = cosock::local_pair();
  client.shutdown_send();
  co_await greet(server);
}
//! [pair]

//! [pieces]
COROUTINE_TEST_CASE(a_line_may_come_in_pieces) {
  auto [server, client] = cosock::local_pair();
  const auto talk = [&]() -> cosock::task<> {
    for (const char letter : std::string("Ada\n")) {
      co_await client.send(cosock::buffer(&letter, 1));
      co_await cosock::yield();  // the server takes each before the next one is sent
    }
    client.shutdown_send();
  };
  co_await cosock::when_all(greet(server), talk());
}
//! [pieces]

//! [broken]
COROUTINE_TEST_CASE(a_peer_that_is_gone_is_an_error) {
  auto [server, client] = cosock::local_pair();
  client.close();
  const auto ended = co_await cosock::as_result(greet(server));
  BOOST_TEST((ended.error() == boost::system::errc::broken_pipe));
}
//! [broken]

//! [poll]
BOOST_AUTO_TEST_CASE(nothing_is_said_before_there_is_room) {
  cosock::loop loop;
  std::optional<cosock::semaphore::permit> taken;
  cosock::semaphore room(1);
  taken = room.try_acquire();

  auto waiting = loop.start([](cosock::semaphore& of) -> cosock::task<> {
    const auto permit = co_await of.acquire();
  }(room));
  loop.poll();
  BOOST_TEST(!waiting.done());  // it waits, for sure: everything that is ready has run

  taken.reset();
  loop.poll();
  BOOST_TEST(waiting.done());
  waiting.result();  // throws what left the task
}
//! [poll]

//! [acceptor]
/// Stands in for a tcp_acceptor: serve() takes whatever has accept() and close().
class failing_acceptor {
 public:
  cosock::task<cosock::tcp_socket> accept() {
    co_await cosock::yield();
    throw boost::system::system_error(
        make_error_code(boost::system::errc::function_not_supported));
  }
  void close() noexcept { closed = true; }
  bool closed = false;
};

COROUTINE_TEST_CASE(an_acceptor_that_fails_for_good_ends_the_server) {
  failing_acceptor acceptor;
  const auto ended = co_await cosock::as_result(cosock::serve(acceptor, greet));
  BOOST_TEST((ended.error() == boost::system::errc::function_not_supported));
  BOOST_TEST(acceptor.closed);
}
//! [acceptor]

//! [clock]
/// Waits for nothing, and remembers for how long it should have.
class impatient_clock final : public cosock::backoff_clock {
 public:
  std::chrono::steady_clock::time_point now() override { return now_; }
  cosock::task<> sleep_for(std::chrono::nanoseconds time) override {
    waits.push_back(time);
    now_ += time;
    co_await cosock::yield();
  }
  std::vector<std::chrono::nanoseconds> waits;

 private:
  std::chrono::steady_clock::time_point now_{};
};

COROUTINE_TEST_CASE(a_client_gives_up_after_three_attempts) {
  impatient_clock clock;
  cosock::reconnecting_client client({.max_attempts = 3, .seed = 1, .clock = &clock});
  const auto refused = []() -> cosock::task<cosock::tcp_socket> {
    co_await cosock::yield();
    throw boost::system::system_error(
        make_error_code(boost::system::errc::connection_refused));
  };
  const auto session = [](cosock::tcp_socket&) -> cosock::task<> { co_return; };
  const auto ended = co_await cosock::as_result(client.run(refused, session));
  BOOST_TEST((ended.error() == boost::system::errc::connection_refused));
  BOOST_TEST(clock.waits.size() == 2u);
}
//! [clock]

//! [port]
COROUTINE_TEST_CASE(over_a_real_socket_too) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});  // the system picks a port
  cosock::server handle;
  const auto client = [&]() -> cosock::task<> {
    auto peer = co_await cosock::connect(acceptor.local_endpoint());
    cosock::buffered_reader lines(peer);
    BOOST_TEST((co_await lines.read_line() == "who are you?"));
    handle.stop();
    co_await peer.send("Ada\n");
    BOOST_TEST((co_await lines.read_line() == "hello Ada"));
  };
  co_await cosock::when_all(cosock::serve(acceptor, greet, handle), client());
}
//! [port]
