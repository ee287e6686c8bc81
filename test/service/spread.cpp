// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/acceptors.hpp>

#define BOOST_TEST_MODULE spread
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/loop.hpp>
#include <cosock/mailbox.hpp>
#include <cosock/nursery.hpp>
#include <cosock/serve.hpp>
#include <cosock/when.hpp>

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

namespace {

using namespace test;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::endpoint;
using cosock::nursery;
using cosock::spread;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_acceptors;
using cosock::tcp_socket;

const endpoint any_port(cosock::address::loopback_v4(), 0);

/// Loops that serve until the test has ended. Each tells a client its index, and keeps the
/// connection until the client closes it.
class servers {
 public:
  explicit servers(unsigned n) : acceptors(any_port, n) {}

  template <class Test>
  task<> run(unsigned accepting, Test test) {
    const auto start = [this, accepting](unsigned index) { return serve_one(index, accepting); };
    const auto body = [&]() -> task<> {
      for (unsigned i = 0; i != acceptors.size(); ++i) co_await ready_.receive();
      co_await test();
    };
    co_await cosock::when_any(cosock::run_loops(acceptors.size(), start), body());
  }
  /// The connections of each loop, by what the clients were told.
  std::vector<unsigned> held() const {
    std::vector<unsigned> each(acceptors.size());
    for (const client& c : clients) ++each[c.index];
    return each;
  }
  unsigned fullest() const {
    const std::vector<unsigned> each = held();
    return *std::max_element(each.begin(), each.end());
  }
  task<> open(unsigned n) {
    while (n--) {
      tcp_socket socket = co_await cosock::connect(acceptors.local_endpoint());
      char index = 0;
      co_await socket.receive_exactly(cosock::buffer(&index, 1));
      clients.push_back({std::move(socket), static_cast<unsigned>(index)});
    }
  }
  /// Returns when the loops have noticed that clients have closed.
  task<> agree() {
    for (;;) {
      bool equal = true;
      const std::vector<unsigned> each = held();
      for (unsigned i = 0; i != each.size(); ++i)
        equal = equal && acceptors.connections(i) == each[i];
      if (equal) co_return;
      co_await cosock::yield();
    }
  }

  struct client {
    tcp_socket socket;
    unsigned index;
  };
  tcp_acceptors acceptors;
  std::vector<client> clients;

 private:
  task<> serve_one(unsigned index, unsigned accepting) {
    tcp_acceptor acceptor = acceptors.acceptor(index);
    const auto tell = told_;
    const auto handler = [index](tcp_socket client) -> task<> {
      const char name = static_cast<char>(index);
      co_await client.send(cosock::buffer(&name, 1));
      char end = 0;
      co_await client.receive(cosock::buffer(&end, 1));
    };
    const auto ready = [&]() -> task<> {
      static_cast<void>(tell.try_send('.'));
      co_await forever();
    };
    if (index < accepting)
      co_await cosock::when_all(cosock::serve(acceptor, handler, {.drain = 0s}), ready());
    else
      co_await ready();
  }
  cosock::mailbox<char> ready_{64};
  const cosock::mailbox<char>::sender told_ = ready_.make_sender();
};

BOOST_AUTO_TEST_SUITE(even)

COROUTINE_TEST_CASE(sixteen_connections_are_four_for_each_of_four_loops) {
  servers all(4);
  const auto test = [&]() -> task<> {
    double sum = 0;
    unsigned worst = 0;
    constexpr int runs = 30;
    for (int i = 0; i != runs; ++i) {
      co_await all.open(16);
      sum += all.fullest() / 4.0;
      worst = std::max(worst, all.fullest());
      co_await all.agree();
      all.clients.clear();
      co_await all.agree();
    }
    BOOST_TEST(sum / runs <= 1.07);
    BOOST_TEST(worst <= 5u);
  };
  co_await all.run(4, test);
}

COROUTINE_TEST_CASE(connections_that_were_closed_do_not_count) {
  servers all(4);
  const auto test = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) {
      co_await all.open(16 - static_cast<unsigned>(all.clients.size()));
      BOOST_TEST(all.fullest() == 4u);
      std::erase_if(all.clients, [](const servers::client& c) { return c.index < 2; });
      co_await all.agree();
    }
  };
  co_await all.run(4, test);
}

COROUTINE_TEST_CASE(a_loop_that_never_accepts_keeps_no_client_waiting) {
  servers all(4);
  const auto test = [&]() -> task<> {
    co_await all.open(48);  // by the hash of the system, a quarter of them arrive at loop 3
    BOOST_TEST(all.held()[3] == 0u);
    BOOST_TEST(all.fullest() == 16u);
  };
  co_await all.run(3, test);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(on_the_way)

/// Two acceptors on one loop, so that a test decides what happens between two steps; and a
/// connection.
struct pair {
  tcp_acceptors acceptors{any_port, 2};
  tcp_acceptor first = acceptors.acceptor(0);
  tcp_acceptor second = acceptors.acceptor(1);
  tcp_socket client, server;

  task<> connect() {
    client = co_await cosock::connect(acceptors.local_endpoint());
    server = co_await first.accept();
  }
  std::size_t count(unsigned index) const { return acceptors.connections(index); }
  task<> check(tcp_socket accepted) {
    BOOST_TEST(accepted.remote_endpoint() == client.local_endpoint());
    co_await client.send("x");
    char byte = 0;
    co_await accepted.receive_exactly(cosock::buffer(&byte, 1));
    BOOST_TEST(byte == 'x');
  }
};

COROUTINE_TEST_CASE(a_moved_connection_counts_at_its_new_loop) {
  pair two;
  co_await two.connect();
  BOOST_TEST(two.count(0) == 1u);
  BOOST_TEST(two.acceptors.move_to(1, two.server));
  BOOST_TEST(!two.server.is_open());
  BOOST_TEST(two.count(0) == 0u);
  BOOST_TEST(two.count(1) == 1u);
  tcp_socket moved = co_await two.second.accept();
  BOOST_TEST(two.count(1) == 1u);
  co_await two.check(std::move(moved));
  BOOST_TEST(two.count(1) == 0u);
}

COROUTINE_TEST_CASE(a_released_connection_does_not_count) {
  pair two;
  co_await two.connect();
  tcp_socket outside = tcp_socket::adopt(two.server.release());
  BOOST_TEST(two.count(0) == 0u);
  BOOST_TEST(two.acceptors.move_to(1, outside));  // of another origin
  BOOST_TEST(two.count(1) == 1u);
  co_await two.check(co_await two.second.accept());
}

COROUTINE_TEST_CASE(a_cancelled_accept_leaves_its_connection_to_another_loop) {
  pair two;
  co_await two.connect();
  cancel_scope scope;
  const auto accepting = [&]() -> task<> {
    const auto result = co_await as_result(scope.run(two.second.accept()));
    BOOST_TEST(result.error() == cosock::error::cancelled);
  };
  const auto cancelling = [&]() -> task<> {
    BOOST_TEST(two.acceptors.move_to(1, two.server));
    scope.cancel();
    co_await two.check(co_await two.first.accept());
  };
  co_await cosock::when_all(accepting(), cancelling());
  BOOST_TEST(two.count(0) + two.count(1) == 0u);
}

COROUTINE_TEST_CASE(a_closed_acceptor_leaves_its_connection_to_another_loop) {
  pair two;
  co_await two.connect();
  BOOST_TEST(two.acceptors.move_to(1, two.server));
  two.second.close();
  BOOST_TEST(two.count(1) == 0u);
  co_await two.check(co_await two.first.accept());
}

COROUTINE_TEST_CASE(a_connection_waits_while_no_loop_accepts) {
  pair two;
  co_await two.connect();
  BOOST_TEST(two.acceptors.move_to(1, two.server));
  for (int i = 0; i != 10; ++i) co_await cosock::yield();
  BOOST_TEST(two.count(1) == 0u);
  const auto accepted = two.first.try_accept();
  BOOST_REQUIRE(accepted.has_value());
  BOOST_TEST(two.count(0) == 1u);
}

COROUTINE_TEST_CASE(connections_of_a_closed_acceptor_are_served_by_another) {
  pair two;
  constexpr unsigned n = 16;
  std::vector<tcp_socket> clients, accepted;
  const auto accepting = [&]() -> task<> {
    while (accepted.size() != n) accepted.push_back(co_await two.first.accept());
  };
  const auto connecting = [&]() -> task<> {
    for (unsigned i = 0; i != n; ++i)
      clients.push_back(co_await cosock::connect(two.acceptors.local_endpoint()));
    two.second.close();
  };
  co_await cosock::when_all(connecting(), accepting());
  BOOST_TEST(two.count(0) == n);
}

COROUTINE_TEST_CASE(a_connection_to_a_loop_that_has_ended_comes_back) {
  tcp_acceptors acceptors(any_port, 2);
  tcp_acceptor first = acceptors.acceptor(0);
  tcp_socket client = co_await cosock::connect(acceptors.local_endpoint());
  {
    cosock::loop other;
    const auto accept = [&]() -> task<> {
      tcp_acceptor second = acceptors.acceptor(1);
      for (;;) {
        tcp_socket socket = co_await second.accept();
        BOOST_TEST(acceptors.move_to(0, socket));  // the system may have chosen the other socket
      }
    };
    const auto waiting = other.start(accept());
    while (other.poll() != 0) continue;
    tcp_socket socket = co_await first.accept();
    BOOST_TEST(acceptors.move_to(1, socket));
    BOOST_TEST(acceptors.connections(1) == 1u);
  }
  BOOST_TEST(acceptors.connections(1) == 0u);
  const tcp_socket back = co_await first.accept();
  BOOST_TEST(back.remote_endpoint() == client.local_endpoint());
}

COROUTINE_TEST_CASE(the_last_acceptor_closes_what_nobody_accepts) {
  pair two;
  co_await two.connect();
  BOOST_TEST(two.acceptors.move_to(1, two.server));
  two.first.close();
  two.second.close();
  char byte = 0;
  const auto end = co_await as_result(two.client.receive(cosock::buffer(&byte, 1)));
  BOOST_TEST((!end || *end == 0));
}

COROUTINE_TEST_CASE(the_rest_is_what_was_passed) {
  pair two;
  co_await two.connect();
  BOOST_TEST(two.acceptors.move_to(1, two.server));
  std::optional<tcp_socket> rest = two.second.accept_rest();
  BOOST_REQUIRE(rest.has_value());
  BOOST_TEST(!two.second.accept_rest().has_value());
  BOOST_TEST(two.count(1) == 1u);
  // Nothing is passed to it from now on, until it accepts.
  BOOST_TEST(!two.acceptors.move_to(1, *rest));
  BOOST_TEST(rest->is_open());
  co_await two.check(*std::move(rest));
}

COROUTINE_TEST_CASE(the_queue_of_the_system_is_not_part_of_the_rest) {
  pair two;
  const tcp_socket client = co_await cosock::connect(two.acceptors.local_endpoint());
  BOOST_TEST(!two.first.accept_rest().has_value());
  BOOST_TEST(!two.second.accept_rest().has_value());
  auto accepted = two.first.try_accept();
  if (!accepted) accepted = two.second.try_accept();
  BOOST_REQUIRE(accepted.has_value());
  BOOST_TEST(accepted->remote_endpoint() == client.local_endpoint());
}

COROUTINE_TEST_CASE(the_rest_of_the_last_loop_is_what_nobody_accepted) {
  pair two;
  co_await two.connect();
  BOOST_TEST(two.acceptors.move_to(1, two.server));
  two.second.close();
  std::optional<tcp_socket> rest = two.first.accept_rest();
  BOOST_REQUIRE(rest.has_value());
  BOOST_TEST(two.count(0) == 1u);
  co_await two.check(*std::move(rest));
}

COROUTINE_TEST_CASE(a_plain_acceptor_has_no_rest) {
  tcp_acceptor plain(any_port);
  const tcp_socket client = co_await cosock::connect(plain.local_endpoint());
  BOOST_TEST(!plain.accept_rest().has_value());
  BOOST_TEST(plain.try_accept().has_value());
  plain.close();
  BOOST_CHECK_THROW(static_cast<void>(plain.accept_rest()), boost::system::system_error);
}

/// A server that has a connection already, and that stops when another one was passed to it, before
/// its accept() returns that.
task<> stop_with_a_passed_connection(cosock::serve_options options) {
  pair two;
  cosock::server_handle handle;
  const auto echo = [](tcp_socket& client) -> task<> {
    char byte;
    while (co_await client.receive(cosock::buffer(&byte, 1)) != 0)
      co_await client.send(cosock::buffer(&byte, 1));
  };
  const auto ask = [](tcp_socket& client) -> task<> {
    co_await client.send("x");
    char byte = 0;
    co_await client.receive_exactly(cosock::buffer(&byte, 1));
    BOOST_TEST(byte == 'x');
  };
  co_await two.connect();
  tcp_socket early_client = std::move(two.client), early_server = std::move(two.server);
  co_await two.connect();
  const auto body = [&]() -> task<> {
    BOOST_TEST(two.acceptors.move_to(1, early_server));
    co_await ask(early_client);
    BOOST_TEST(two.acceptors.move_to(1, two.server));
    handle.stop();
    two.first.close();
    co_await ask(two.client);
    co_await ask(early_client);
    BOOST_TEST(handle.counters().accepted == 2u);
    BOOST_TEST(!two.second.is_open());
    two.client.close();
    early_client.close();
  };
  co_await cosock::when_all(cosock::serve(two.second, echo, handle, options), body());
}

COROUTINE_TEST_CASE(a_server_that_stops_serves_what_was_passed_to_it) {
  co_await stop_with_a_passed_connection({});
}

COROUTINE_TEST_CASE(a_server_that_is_full_serves_what_was_passed_to_it_when_it_stops) {
  co_await stop_with_a_passed_connection({.max_connections = 1});
}

COROUTINE_TEST_CASE(connections_in_the_queues_stay_for_another_process) {
  std::vector<cosock::unique_descriptor> kept;
  std::vector<tcp_socket> clients, accepted;
  {
    pair two;
    for (const int fd : {two.first.native_handle(), two.second.native_handle()})
      kept.push_back(cosock::unique_descriptor::adopt(::dup(fd)));
    for (int i = 0; i != 16; ++i)
      clients.push_back(co_await cosock::connect(two.acceptors.local_endpoint()));
    two.first.close();
    two.second.close();
  }
  // As the other process would.
  auto acceptors = tcp_acceptors::adopt(std::move(kept), 2);
  tcp_acceptor first = acceptors.acceptor(0), second = acceptors.acceptor(1);
  const auto accept_all = [&](tcp_acceptor& from) -> task<> {
    while (accepted.size() != clients.size()) accepted.push_back(co_await from.accept());
  };
  co_await cosock::when_any(accept_all(first), accept_all(second));
  BOOST_TEST(accepted.size() == clients.size());
  for (tcp_socket& client : clients) co_await client.send("x");
  for (tcp_socket& server : accepted) {
    char byte = 0;
    co_await server.receive_exactly(cosock::buffer(&byte, 1));
  }
}

COROUTINE_TEST_CASE(a_closed_acceptor_takes_no_connection) {
  pair two;
  co_await two.connect();
  two.second.close();
  BOOST_TEST(!two.acceptors.move_to(1, two.server));
  BOOST_TEST(two.server.is_open());
  BOOST_TEST(two.count(0) == 1u);
  tcp_socket closed;
  BOOST_TEST(!two.acceptors.move_to(0, closed));
  BOOST_CHECK_THROW(static_cast<void>(two.acceptors.move_to(2, two.server)), std::logic_error);
}

COROUTINE_TEST_CASE(connections_outlive_the_acceptors) {
  tcp_socket server, client;
  {
    pair two;
    co_await two.connect();
    server = std::move(two.server);
    client = std::move(two.client);
  }
  co_await server.send("x");
  char byte = 0;
  co_await client.receive_exactly(cosock::buffer(&byte, 1));
  BOOST_TEST(byte == 'x');
}

BOOST_AUTO_TEST_SUITE_END()

COROUTINE_TEST_CASE(the_system_may_choose) {
  tcp_acceptors acceptors(any_port, 1, {}, spread::kernel);
  tcp_acceptor only = acceptors.acceptor(0);
  const tcp_socket client = co_await cosock::connect(acceptors.local_endpoint());
  tcp_socket server = co_await only.accept();
  BOOST_TEST(server.remote_endpoint() == client.local_endpoint());
  BOOST_TEST(acceptors.connections(0) == 0u);
  BOOST_CHECK_THROW(static_cast<void>(acceptors.move_to(0, server)), std::logic_error);
}

COROUTINE_TEST_CASE(a_connection_goes_to_the_loop_of_its_processor) {
  cpu_set_t before;
  BOOST_REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  const auto n = static_cast<unsigned>(CPU_COUNT(&before));
  tcp_acceptors acceptors(any_port, n, {}, spread::cpu);
  std::vector<tcp_acceptor> all;
  for (unsigned i = 0; i != n; ++i) all.push_back(acceptors.acceptor(i));
  unsigned index = 0;
  for (int cpu = 0; cpu != CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    BOOST_REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    for (int i = 0; i != 8; ++i) {
      const tcp_socket client = co_await cosock::connect(acceptors.local_endpoint());
      const tcp_socket server = co_await all[index].accept();
      BOOST_TEST(server.remote_endpoint() == client.local_endpoint());
    }
    ++index;
  }
  BOOST_REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
}

}  // namespace
