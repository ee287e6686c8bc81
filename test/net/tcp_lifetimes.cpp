// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Loops, tasks and sockets that end under pending operations, and that nothing of them is left.

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp_lifetimes
#include "loop_endings.hpp"
#include "manual_event.hpp"
#include "raw_socket.hpp"
#include "stream_fixture.hpp"
#include "tcp_fixture.hpp"

#include <cosock/connect.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>
#include <malloc.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <memory>
#include <set>
#include <string>

namespace {

using namespace test;
using cosock::endpoint;
using cosock::loop;
using cosock::task_handle;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(lifetimes)

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_pending_operation_and_its_socket_outlives_it) {
  const std::size_t before = open_descriptors();
  for (const operation which : all_operations)
    for (const bool task_first : {false, true}) {
      BOOST_TEST_INFO_SCOPE(which << (task_first ? ", first the task" : ", first the loop"));
      auto on = std::make_unique<loop>();
      connection c = on->run(connect_pair());
      byte_pattern l;
      char into[8];
      on->run(clog(c.client, l));
      end_loop_under(std::move(on), task_first,
                     [&, which] { return perform(which, c.client, into, l, huge); });
      BOOST_TEST(!c.client.is_open());
      BOOST_TEST(c.client.native_handle() == -1);
      BOOST_TEST(thrown_by([&] { (void)c.client.local_endpoint(); }) ==
                 code(cosock::error::closed));
      BOOST_TEST(thrown_by([&] { c.client.shutdown_send(); }) == code(cosock::error::closed));
      loop other;
      const outcome o = other.run(perform(which, c.client, into, l, 8));
      BOOST_TEST(o.is(cosock::error::closed));
      BOOST_TEST(c.server.release() == -1);
      c.client.close();
      connection elsewhere = other.run(connect_pair());
      c.server = std::move(elsewhere.server);
    }
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_pending_accept) {
  for (const bool task_first : {false, true}) {
    auto on = std::make_unique<loop>();
    tcp_acceptor acceptor(*on, any_port_v4);
    end_loop_under(std::move(on), task_first, [&] { return outcome_of_accept(acceptor); });
    BOOST_TEST(!acceptor.is_open());
    BOOST_TEST(acceptor.native_handle() == -1);
    loop other;
    BOOST_TEST(other.run(outcome_of_accept(acceptor)).is(cosock::error::closed));
    BOOST_TEST(thrown_by([&] { (void)acceptor.local_endpoint(); }) == code(cosock::error::closed));
  }
}

/// The sockets are locals of the task that waits.
BOOST_AUTO_TEST_CASE(a_loop_ends_under_sockets_in_a_frame) {
  const std::size_t before = open_descriptors();
  for (const bool task_first : {false, true}) {
    auto on = std::make_unique<loop>();
    auto task = start_on(*on, []() -> cosock::task<> {
      tcp_acceptor acceptor(any_port_v4);
      connection c = co_await connect_pair();
      char into[8];
      const auto receive = [&]() -> cosock::task<> { co_await c.client.receive(into); };
      const auto accept = [&]() -> cosock::task<> { co_await acceptor.accept(); };
      co_await cosock::when_all(receive(), accept(),
                                cosock::with_timeout(1h, c.server.receive(into)));
    }());
    // Connecting may take the system a moment.
    for (int i = 0; i != 100; ++i) run_until_idle(*on);
    BOOST_TEST(!task->done());
    if (task_first) task.reset();
    on.reset();
  }
  BOOST_TEST(open_descriptors() == before);
}

/// Receives all that was sent, however much that was.
task<> discard(const tcp_socket& from, tcp_socket& to) {
  std::vector<char> into(64 << 10);
  for (int unacknowledged = 1; unacknowledged != 0; co_await cosock::yield()) {
    // First: what has been acknowledged then is here.
    BOOST_REQUIRE(::ioctl(from.native_handle(), TIOCOUTQ, &unacknowledged) == 0);
    while (to.try_receive(into)) continue;
  }
}

/// With a limit, because the case has none: a socket that is not usable may leave this waiting.
task<> usable(tcp_socket& a, tcp_socket& b) {
  co_await cosock::with_timeout(10s, round_trip(a, b));
}

/// A task that is dropped, and not its socket, leaves the socket usable.
BOOST_AUTO_TEST_CASE(a_dropped_operation_leaves_the_socket_usable) {
  loop on;
  connection c = on.run(connect_pair());
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    byte_pattern l;
    char into[8];
    on.run(clog(c.client, l));
    bool destroyed = false;
    bool resumed = false;
    auto task = start_on(
        on, wait_in([&] { return perform(which, c.client, into, l, huge); }, destroyed, resumed));
    run_until_idle(on);
    BOOST_TEST(!task->done());
    task.reset();
    BOOST_TEST(destroyed);
    // A send may have sent a part before it was dropped, and nobody was told how much.
    on.run(discard(c.client, c.server));
    on.run(usable(c.client, c.server));
  }
}

COROUTINE_TEST_CASE(an_operation_is_dropped_in_the_turn_in_which_it_completes) {
  connection c = co_await connect_pair();
  connection signal = co_await connect_pair();
  byte_pattern l;
  for (int round = 0; round != 100; ++round) {
    char into[8];
    std::unique_ptr<task_handle<outcome>> task;
    const auto drop = [&]() -> cosock::task<> {
      co_await signal.server.receive(into);
      task.reset();
    };
    co_await cosock::with_nursery([&](nursery& n) -> cosock::task<> {
      n.start(drop);
      co_await cosock::yield();
      task = start_on(loop::current(), perform(operation::receive, c.server, into, l, 0));
      co_await let_others_run();
      if (round % 2) co_await send(c.client, l, 8);
      co_await signal.client.send("!");
      if (round % 2 == 0) co_await send(c.client, l, 8);
    });
    // Either it was dropped before it could take anything, or it took all and nobody heard of it.
    int there = 0;
    BOOST_REQUIRE(::ioctl(c.server.native_handle(), FIONREAD, &there) == 0);
    if (there == 0) l.out = l.in;
    co_await drain(c.server, l);
  }
  co_await round_trip(c.client, c.server);
}

/// Tasks that have been told to receive but have not begun when the socket is closed: behind them
/// are more ready tasks than the loop runs in one go.
COROUTINE_TEST_CASE(a_socket_closed_before_a_started_operation_begins) {
  connection c = co_await connect_pair();
  char into[8];
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      c.client.close();
      co_return;
    });
    for (int i = 0; i != 3000; ++i) n.start([]() -> task<> { co_return; });
    const auto result = co_await cosock::as_result(
        cosock::when_any(c.client.receive(into), cosock::with_timeout(10s, forever())));
    BOOST_TEST(result.has_error());
    if (result.has_error()) BOOST_TEST(result.error() == code(cosock::error::closed));
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(resources)

namespace {

/// The descriptors that a program finds open when it starts.
std::set<int> seen_by_a_child() {
  int ends[2];
  BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  char sh[] = "sh";
  char option[] = "-c";
  char command[] = "for f in /proc/self/fd/*; do echo ${f##*/}; done";
  char* arguments[] = {sh, option, command, nullptr};
  pid_t child = 0;
  BOOST_REQUIRE(::posix_spawn(&child, "/bin/sh", &actions, nullptr, arguments, environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, n);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  BOOST_REQUIRE(status == 0);
  std::set<int> seen;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    seen.insert(std::stoi(text.substr(at)));
  return seen;
}

}  // namespace

BOOST_AUTO_TEST_CASE(no_descriptor_survives_exec) {
  const std::set<int> before = seen_by_a_child();
  BOOST_TEST(before.count(1) == 1u);
  loop on;
  on.run([](const std::set<int>& before) -> task<> {
    tcp_acceptor v4(any_port_v4);
    tcp_acceptor v6(any_port_v6);
    const endpoint to4 = v4.local_endpoint();
    const endpoint to6 = v6.local_endpoint();
    auto [client4, server4] = co_await cosock::when_all(cosock::connect(to4), v4.accept());
    auto [client6, server6] = co_await cosock::when_all(cosock::connect(to6), v6.accept());
    raw_socket raw(to4);
    ::fcntl(raw.fd(), F_SETFD, 0);
    const tcp_socket adopted = tcp_socket::adopt(raw.release());
    const tcp_socket server = co_await v4.accept();
    for (const int fd : {v4.native_handle(), v6.native_handle(), client4.native_handle(),
                         server4.native_handle(), client6.native_handle(), server6.native_handle(),
                         adopted.native_handle(), server.native_handle()})
      BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    BOOST_TEST((seen_by_a_child() == before));
  }(before));
}

COROUTINE_TEST_CASE(a_thousand_connections_leak_no_descriptor) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint to = acceptor.local_endpoint();
  const std::size_t before = open_descriptors();
  for (int i = 0; i != 1000; ++i) {
    auto [client, server] = co_await cosock::when_all(cosock::connect(to), acceptor.accept());
    if (i % 3 == 0) co_await round_trip(client, server);
    if (i % 3 == 1) server.abort();
    client.abort();
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_hundred_thousand_connections_leave_the_heap_where_it_was) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint to = acceptor.local_endpoint();
  const auto cycle = [&](int times) -> task<> {
    for (int i = 0; i != times; ++i) {
      auto [client, server] = co_await cosock::when_all(cosock::connect(to), acceptor.accept());
      client.abort();  // leaves no port behind that the system keeps for a minute
    }
  };
  co_await cycle(1000);
  const std::size_t before = ::mallinfo2().uordblks;
  co_await cycle(COSOCK_TEST_SANITIZED ? 5000 : 100'000);
  BOOST_TEST(::mallinfo2().uordblks <= before + 1024);
}

BOOST_AUTO_TEST_SUITE_END()
