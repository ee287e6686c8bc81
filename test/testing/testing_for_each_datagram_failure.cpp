// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/for_each_failure.hpp>

#define BOOST_TEST_MODULE testing_for_each_datagram_failure
#include "support.hpp"

#include <cosock/cancel.hpp>
#include <cosock/local.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/nursery.hpp>
#include <cosock/testing/memory_datagram.hpp>
#include <cosock/testing/memory_stream.hpp>
#include <cosock/udp.hpp>

#include <array>
#include <set>
#include <stdexcept>
#include <string>

namespace {

using boost::system::system_error;
using cosock::endpoint;
using cosock::task;
using cosock::testing::failure_counts;
using cosock::testing::failure_found;
using cosock::testing::failure_kind;
using cosock::testing::fault_points;
using cosock::testing::for_each_failure;
using cosock::testing::memory_datagram_pair;
using namespace std::chrono_literals;

/// The number of a request, and the answer: a letter each, and a text.
template <class Socket>
task<> answer_all(Socket& socket) {
  std::array<char, 100> request;
  for (;;) {
    const auto got = co_await socket.receive_from(request);
    const std::string text = std::string(request.data(), 1) + "42";
    co_await socket.send_to(text, got.from);
  }
}

/// A client that asks again, and forgets its request in the end.
template <class Socket>
class client {
 public:
  explicit client(Socket& socket) : socket_(socket) {}
  task<std::string> ask(char number) {
    const entry pending(pending_, number);
    for (int attempt = 1;; ++attempt) try {
        const std::string request = std::string(1, number) + "what?";
        co_await socket_.send(request);
        co_return co_await cosock::with_timeout(1s, answer(number));
      } catch (const system_error& e) {
        if (e.code() == cosock::error::cancelled || attempt == 3) throw;
      }
  }
  bool is_idle() const { return pending_.empty(); }

 private:
  struct entry {
    entry(std::set<char>& of, char key) : set(of), number(key) { set.insert(number); }
    ~entry() { set.erase(number); }
    std::set<char>& set;
    const char number;
  };
  task<std::string> answer(char number) {
    std::array<char, 100> reply;
    for (;;) {
      const auto got = co_await socket_.receive(reply);
      if (got.size > 1 && reply[0] == number) co_return std::string(reply.data() + 1, got.size - 1);
    }
  }
  Socket& socket_;
  std::set<char> pending_;
};

/// Two requests over `socket`, which may fail.
template <class Socket>
task<> ask_twice(Socket& socket) {
  client asking(socket);
  for (const char number : {'1', '2'}) {
    const auto idle = [&] {
      if (!asking.is_idle()) throw std::logic_error("a request is left");
    };
    try {
      if (co_await asking.ask(number) != "42") throw std::logic_error("another answer");
    } catch (const system_error&) {
      idle();
      throw;
    }
    idle();
  }
}

template <class Socket, class Server>
task<> beside_server(Socket& socket, Server& server) {
  const auto work = [&](cosock::nursery& tasks) -> task<> {
    tasks.start([&] { return answer_all(server); });
    co_await ask_twice(socket);
    tasks.cancel();
  };
  co_await cosock::with_nursery(work);
}

auto found(failure_kind kind, std::size_t step, std::string part) {
  return [=](const failure_found& e) {
    BOOST_TEST_MESSAGE(e.what());
    return e.kind() == kind && e.step() == step && test::contains(e.what(), part);
  };
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_send_and_receive_fails_once_in_each_way) {
  const test::alarm_clock guard;
  const failure_counts runs = for_each_failure([](fault_points& points) -> task<> {
    auto [a, b] = memory_datagram_pair();
    auto socket = points.wrap(std::move(a));
    co_await beside_server(socket, b);
  });
  BOOST_TEST(runs.operations == 4u);
  BOOST_TEST(runs.errors == 4u);
  BOOST_TEST(runs.losses == 4u);
  BOOST_TEST(runs.ends == 0u);
  BOOST_TEST(runs.cancellations > runs.operations);
}

BOOST_AUTO_TEST_CASE(operations_of_udp_and_local_sockets_fail_too) {
  const test::alarm_clock guard;
  const failure_counts udp = for_each_failure([](fault_points& points) -> task<> {
    cosock::udp_socket server({cosock::address::loopback_v4(), 0});
    auto socket = points.wrap(co_await cosock::connect_udp(server.local_endpoint()));
    co_await socket.send("?");
    std::array<char, 10> into;
    // Two answers, so that a lost one is not waited for in real time.
    cosock::udp_socket other({cosock::address::loopback_v4(), 0});
    auto receiver = points.wrap(other);
    for (int i = 0; i != 2; ++i) co_await server.send_to("!", other.local_endpoint());
    co_await receiver.receive(into);
  });
  BOOST_TEST(udp.operations == 2u);
  BOOST_TEST(udp.errors == 2u);
  BOOST_TEST(udp.losses == 2u);

  const failure_counts local = for_each_failure([](fault_points& points) -> task<> {
    auto [near, far] = cosock::local_pair<cosock::local_datagram_socket>();
    auto socket = points.wrap(near);
    co_await socket.send("hello");
  });
  BOOST_TEST(local.operations == 1u);
  BOOST_TEST(local.errors == 1u);
}

/// A batch can fail after each of its datagrams.
BOOST_AUTO_TEST_CASE(batches_fail_in_part) {
  const test::alarm_clock guard;
  std::multiset<std::size_t> sent;
  std::multiset<std::size_t> received;
  const failure_counts runs = for_each_failure([&](fault_points& points) -> task<> {
    auto [a, b] = memory_datagram_pair();
    auto from = points.wrap(std::move(a));
    auto to = points.wrap(std::move(b));
    const std::array<cosock::const_buffer, 3> three = {cosock::buffer("a"), cosock::buffer("b"),
                                                       cosock::buffer("c")};
    std::size_t count = 3;
    try {
      co_await from.send_batch(three);
    } catch (const cosock::transfer_error& e) {
      count = e.datagrams_transferred();
    } catch (const system_error& e) {
      if (e.code() == cosock::error::cancelled) throw;
      count = 0;
    }
    sent.insert(count);
    if (count == 0) co_return;
    cosock::datagram_batch batch(10, 10);
    received.insert(co_await cosock::with_timeout(1s, to.receive_batch(batch)));
  });
  BOOST_TEST(runs.operations == 4u);  // each datagram, and the receive
  BOOST_TEST(runs.errors == 4u);
  BOOST_TEST(runs.losses == 4u);
  for (const std::size_t part : {0, 1, 2}) BOOST_TEST(sent.count(part) == 1u);
  BOOST_TEST(received.count(2) >= 4u);  // three and a loss; a batch that has failed at the third
  BOOST_TEST(received.count(1) == 1u);
}

/// As without faults: its error does not close the socket, and the next operation is another one.
BOOST_AUTO_TEST_CASE(operation_after_one_that_was_cancelled_fails_too) {
  const test::alarm_clock guard;
  int failures = 0;
  const failure_counts runs = for_each_failure([&](fault_points& points) -> task<> {
    auto [a, b] = memory_datagram_pair();
    auto socket = points.wrap(std::move(a));
    std::array<char, 10> into;
    for (int i = 0; i != 3; ++i) try {
        co_await cosock::with_timeout(1s, socket.receive(into));
      } catch (const system_error& e) {
        if (e.code() == cosock::error::cancelled) throw;
        if (e.code() != cosock::error::timed_out) ++failures;
      }
  });
  BOOST_TEST(runs.operations == 3u);
  BOOST_TEST(runs.errors == 3u);
  BOOST_TEST(failures == 3);
}

BOOST_AUTO_TEST_CASE(readiness_is_that_of_the_socket_below) {
  const test::alarm_clock guard;
  for_each_failure([](fault_points& points) -> task<> {
    auto [a, b] = memory_datagram_pair();
    auto socket = points.wrap(std::move(a));
    std::array<char, 10> into;
    try {
      co_await cosock::with_timeout(1s, socket.receive(into));
    } catch (const system_error& e) {
      if (e.code() != cosock::error::timed_out) throw;
    }
    try {
      co_await cosock::with_timeout(1s, socket.wait_readable());
      throw std::logic_error("readable without a datagram");
    } catch (const system_error& e) {
      if (e.code() != cosock::error::timed_out) throw;
    }
    co_await b.send("x");
    co_await socket.wait_readable();
  });
}

BOOST_AUTO_TEST_CASE(clients_that_do_not_expect_a_failure_are_found) {
  const test::alarm_clock guard;
  // Waits for an answer without end.
  const auto patient = [](fault_points& points) -> task<> {
    auto [a, b] = memory_datagram_pair();
    auto socket = points.wrap(std::move(a));
    co_await socket.send("?");
    std::array<char, 10> into;
    const auto asked = co_await b.receive_from(into);
    co_await b.send_to("!", asked.from);
    co_await socket.receive(into);
  };
  BOOST_CHECK_EXCEPTION(for_each_failure(patient), failure_found,
                        found(failure_kind::loss, 1, "it does not end"));
  // Counts a request that was not sent.
  const auto forgetful = [](fault_points& points) -> task<> {
    auto [a, b] = memory_datagram_pair();
    auto socket = points.wrap(std::move(a));
    int pending = 0;
    try {
      for (int i = 0; i != 2; ++i) {
        ++pending;
        co_await socket.send("?");
        --pending;
      }
    } catch (const system_error& e) {
      if (e.code() != cosock::error::cancelled && pending != 0)
        throw std::logic_error("a request is left");
    }
  };
  BOOST_CHECK_EXCEPTION(
      for_each_failure(forgetful), failure_found,
      found(failure_kind::error, 1, "a request is left; to repeat it: COSOCK_STEP=error:1"));
}

/// The numbers of the operations of a stream and of a socket are in one sequence.
BOOST_AUTO_TEST_CASE(streams_end_and_sockets_lose_their_datagrams) {
  const test::alarm_clock guard;
  const failure_counts runs = for_each_failure([](fault_points& points) -> task<> {
    auto [a, b] = cosock::testing::memory_pair();
    auto stream = points.wrap(std::move(a));
    auto [c, d] = memory_datagram_pair();
    auto socket = points.wrap(c);
    co_await stream.send("x");
    co_await socket.send("x");
    co_await stream.send("x");
  });
  BOOST_TEST(runs.operations == 3u);
  BOOST_TEST(runs.errors == 3u);
  BOOST_TEST(runs.ends == 2u);
  BOOST_TEST(runs.losses == 1u);
}
