// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>
#include <cosock/testing/check_stream.hpp>
#include <cosock/testing/faulty.hpp>
#include <cosock/testing/faulty_datagram.hpp>
#include <cosock/testing/for_each_failure.hpp>
#include <cosock/testing/memory_datagram.hpp>
#include <cosock/testing/memory_listener.hpp>
#include <cosock/testing/memory_stream.hpp>
#include <cosock/testing/scripted.hpp>
#include <cosock/testing/virtual_loop.hpp>

#define BOOST_TEST_MODULE testing
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
namespace testing = cosock::testing;

//! [case]
/// A test case whose body is a coroutine. It has its own loop, whose time does not wait.
#define COROUTINE_TEST_CASE(name)                          \
  static cosock::task<> name##_body();                     \
  BOOST_AUTO_TEST_CASE(name) { run_case(name##_body()); }  \
  static cosock::task<> name##_body()

static void run_case(cosock::task<> body) {
  testing::virtual_loop loop;
  loop.run(std::move(body));  // rethrows the exceptions of the body, for Boost.Test
}
//! [case]

//! [code]
// The code under test takes a byte_stream, not a tcp_socket.
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
  auto [server, client] = testing::memory_pair();
  const auto converse = [](cosock::byte_stream& client) -> cosock::task<> {
    cosock::buffered_reader lines(client);
    BOOST_TEST((co_await lines.read_line() == "who are you?"));
    co_await client.send("Ada\n");
    BOOST_TEST((co_await lines.read_line() == "hello Ada"));
  };
  co_await cosock::when_all(greet(server), converse(client));
}

COROUTINE_TEST_CASE(returns_at_end_of_stream) {
  auto [server, client] = testing::memory_pair();
  client.shutdown_send();
  co_await greet(server);
}
//! [pair]

//! [pieces]
COROUTINE_TEST_CASE(line_arrives_in_pieces) {
  auto [server, client] = testing::memory_pair({.room = 4, .piece = 1});
  const auto converse = [](cosock::byte_stream& client) -> cosock::task<> {
    cosock::buffered_reader lines(client);
    BOOST_TEST((co_await lines.read_line() == "who are you?"));
    co_await client.send("Ada\n");
    BOOST_TEST((co_await lines.read_line() == "hello Ada"));
  };
  co_await cosock::when_all(greet(server), converse(client));
}
//! [pieces]

//! [script]
COROUTINE_TEST_CASE(greets_a_client_that_thinks) {
  testing::scripted client(
      testing::script().expect("who are you?\n").wait(1h).send("Ada\n").expect("hello Ada\n"));
  co_await greet(client);
  client.require_played();  // throws script_error: what was expected, and what came
}
//! [script]

//! [faulty]
COROUTINE_TEST_CASE(connection_breaks_in_the_middle_of_the_name) {
  auto [server, client] = testing::memory_pair();
  testing::faulty broken(std::move(server), {.receive = {.error_at = 2}});
  co_await client.send("Ada\n");
  const auto result = co_await cosock::as_result(greet(broken));
  BOOST_TEST((result.error() == boost::system::errc::connection_reset));
}

COROUTINE_TEST_CASE(greets_over_slow_and_short_transfers) {
  for (std::uint64_t seed = 0; seed != 100; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      testing::fault_plan plan = testing::random_faults(seed, 20);
      testing::scripted client(
          testing::script().expect("who are you?\n").send("Ada\n").expect("hello Ada\n"));
      testing::faulty slow(client, plan);
      (void)co_await cosock::as_result(greet(slow));  // fails or not, but always ends
    }
  }
}
//! [faulty]

//! [faulty_datagrams]
// The code under test: asks until it is answered.
cosock::task<std::string> ask(cosock::datagram_socket<>& socket, const cosock::endpoint& server) {
  for (;;) {
    co_await socket.send_to("who are you?", server);
    char name[100];
    const auto got = co_await cosock::as_result(cosock::with_timeout(1s, socket.receive(name)));
    if (got) co_return std::string(name, got->size);
  }
}

COROUTINE_TEST_CASE(asks_again_when_the_first_question_is_lost) {
  cosock::udp_socket server({cosock::address::loopback_v4(), 0});
  cosock::udp_socket client({cosock::address::loopback_v4(), 0});
  const testing::datagram_fault lost[] = {{.at = 0, .dropped = true}};
  testing::faulty_datagram_socket lossy(client, {.send = {.list = lost}});
  const auto answer = [&]() -> cosock::task<> {
    char question[100];
    const auto got = co_await server.receive_from(question);
    co_await server.send_to("Ada", got.from);
  };
  const auto [name, nothing] =
      co_await cosock::when_all(ask(lossy, server.local_endpoint()), answer());
  BOOST_TEST(name == "Ada");
  BOOST_TEST(lossy.datagrams_sent() == 2u);
}
//! [faulty_datagrams]

cosock::task<> answer_all(cosock::datagram_socket<>& socket) {
  char question[100];
  for (;;) {
    const auto got = co_await socket.receive_from(question);
    co_await socket.send_to("Ada", got.from);
  }
}

//! [failures]
BOOST_AUTO_TEST_CASE(every_operation_fails_once) {
  const auto body = [](testing::fault_points& points) -> cosock::task<> {
    auto [near, far] = testing::memory_pair();
    auto server = points.wrap(std::move(near));
    co_await far.send("Ada\n");
    co_await greet(server);
  };
  const auto runs = testing::for_each_failure(body);
  BOOST_TEST(runs.errors == 3u);  // a send, a receive, a send
}
//! [failures]

//! [datagram_failures]
BOOST_AUTO_TEST_CASE(every_datagram_is_lost_once) {
  const auto body = [](testing::fault_points& points) -> cosock::task<> {
    auto [near, far] = testing::memory_datagram_pair();
    const cosock::endpoint server = far.local_endpoint();
    auto client = points.wrap(std::move(near));
    co_await cosock::when_any(ask(client, server), answer_all(far));
  };
  const auto runs = testing::for_each_failure(body);
  BOOST_TEST(runs.losses == 2u);  // the question, the answer
  BOOST_TEST(runs.errors == 2u);
}
//! [datagram_failures]

//! [conformance]
/// One line for each kind of stream, and a Boost.Test case for each promise.
struct stream_suite {
  stream_suite(const char* name, testing::stream_maker make, testing::stream_traits traits = {}) {
    auto* suite = BOOST_TEST_SUITE(name);
    for (const testing::stream_check& check : testing::stream_checks()) {
      if (!check.applies(traits)) continue;
      const auto run = [=] { BOOST_TEST(check.run(make, traits) == ""); };
      suite->add(boost::unit_test::make_test_case(run, std::string(check.name()), __FILE__, __LINE__));
    }
    boost::unit_test::framework::master_test_suite().add(suite);
  }
};

cosock::task<testing::stream_pair> make_my_stream() { co_return testing::memory_pair(); }
static const stream_suite my_stream("my_stream", make_my_stream);
//! [conformance]

//! [conformance_at_once]
BOOST_AUTO_TEST_CASE(my_stream_keeps_its_promises) {
  testing::check_stream(make_my_stream, [](std::string_view check, std::string_view failure) {
    BOOST_TEST(failure.empty(), check << ": " << failure);
  });
}
//! [conformance_at_once]

//! [broken]
COROUTINE_TEST_CASE(closed_peer_is_an_error) {
  auto [server, client] = testing::memory_pair();
  client.close();
  const auto result = co_await cosock::as_result(greet(server));
  BOOST_TEST((result.error() == boost::system::errc::broken_pipe));
}
//! [broken]

//! [poll]
BOOST_AUTO_TEST_CASE(task_waits_for_permit) {
  cosock::loop loop;
  std::optional<cosock::semaphore::permit> permit;
  cosock::semaphore semaphore(1);
  permit = semaphore.try_acquire();

  auto waiting = loop.start([](cosock::semaphore& semaphore) -> cosock::task<> {
    const auto acquired = co_await semaphore.acquire();
  }(semaphore));
  loop.poll();
  BOOST_TEST(!waiting.done());  // it waits: poll() has run everything that is ready

  permit.reset();
  loop.poll();
  BOOST_TEST(waiting.done());
  waiting.result();  // rethrows an exception of the task
}
//! [poll]

//! [stream]
/// A peer that has sent everything in advance, and never reads. A stream of the program itself.
class silent_peer final : public cosock::custom_stream {
 public:
  explicit silent_peer(std::string sent) : sent_(std::move(sent)) {}

 private:
  std::size_t do_receive(std::span<const cosock::mutable_buffer> into,
                          boost::system::error_code&) noexcept override {
    const std::size_t n = std::min(into[0].size(), sent_.size());
    std::memcpy(into[0].data(), sent_.data(), n);
    sent_.erase(0, n);
    return n;  // 0 when nothing is left: the end of the stream
  }
  std::size_t do_send(std::span<const cosock::const_buffer>,
                       boost::system::error_code& error) noexcept override {
    error = make_error_code(boost::system::errc::operation_would_block);
    return 0;  // notify_writable() is never called, so a send waits until it is cancelled
  }
  void do_shutdown_send(boost::system::error_code&) noexcept override {}
  std::string sent_;
};

COROUTINE_TEST_CASE(peer_that_does_not_read_costs_the_time_limit) {
  silent_peer peer("Ada\n");
  const auto result = co_await cosock::as_result(cosock::with_timeout(1ms, greet(peer)));
  BOOST_TEST((result.error() == cosock::error::timed_out));
}
//! [stream]

//! [acceptor]
COROUTINE_TEST_CASE(server_without_a_port) {
  testing::memory_listener listener;
  cosock::server_handle handle;
  const auto client = [&]() -> cosock::task<> {
    auto peer = co_await listener.connect();
    cosock::buffered_reader lines(peer);
    BOOST_TEST((co_await lines.read_line() == "who are you?"));
    handle.stop();
    co_await peer.send("Ada\n");
    BOOST_TEST((co_await lines.read_line() == "hello Ada"));
  };
  co_await cosock::when_all(cosock::serve(listener, greet, handle), client());
}

COROUTINE_TEST_CASE(permanent_accept_error_ends_server) {
  testing::memory_listener listener;
  listener.fail({ENOSYS, boost::system::system_category()});
  const auto result = co_await cosock::as_result(cosock::serve(listener, greet));
  BOOST_TEST((result.error() == boost::system::errc::function_not_supported));
  BOOST_TEST(!listener.is_open());
}
//! [acceptor]

//! [clock]
BOOST_AUTO_TEST_CASE(client_waits_longer_after_each_failure) {
  std::vector<std::chrono::nanoseconds> waits;
  auto keep = [&](const cosock::retry_event& event) { waits.push_back(event.delay); };
  cosock::reconnecting_client client({.max_attempts = 20, .seed = 1, .on_retry = keep});
  const auto refused = []() -> cosock::task<cosock::tcp_socket> {
    co_await cosock::yield();
    throw boost::system::system_error(
        make_error_code(boost::system::errc::connection_refused));
  };
  const auto session = [](cosock::tcp_socket&) -> cosock::task<> { co_return; };
  cosock::testing::virtual_loop loop;
  BOOST_CHECK_THROW(loop.run(client.run(refused, session)), boost::system::system_error);
  BOOST_TEST(waits.size() == 19u);
  BOOST_TEST((waits.front() <= 100ms && waits.back() <= 30s));
  BOOST_TEST((loop.elapsed() > 1min));  // the test takes a millisecond
}
//! [clock]

//! [port]
COROUTINE_TEST_CASE(greets_over_tcp) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});  // the system picks a port
  cosock::server_handle handle;
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
