// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Programs that end by exit() inside a task, with static objects and threads of the library.

#include <cosock/loop.hpp>

#define BOOST_TEST_MODULE exit
#include "name_server.hpp"

#include <cosock/asio.hpp>
#include <cosock/resolve.hpp>
#include <cosock/run.hpp>
#include <cosock/tcp.hpp>
#include <cosock/time.hpp>

#include <boost/asio/io_context.hpp>

#include <optional>

using cosock::address;
using cosock::endpoint;
using cosock::loop;
using cosock::nursery;
using cosock::resolve;
using cosock::task;
using cosock::task_handle;
using namespace std::chrono_literals;

namespace {

/// Its destructor, run for a local of a task that called exit(), ends the process in another way.
struct local {
  ~local() { std::_Exit(3); }
};

/// Calls exit(), with a child, a socket and look-ups on threads pending.
task<> program(int status) {
  const local not_destroyed;
  cosock::tcp_acceptor acceptor(endpoint(address::loopback_v4(), 0));
  const auto accept = [&acceptor]() -> task<> { (void)co_await acceptor.accept(); };
  const auto look_up = [](std::string host) -> task<> { (void)co_await resolve(host, 80); };
  const auto body = [&](nursery& in) -> task<> {
    const local neither;
    in.start(accept);
    for (int i = 0; i != 3; ++i) in.start(look_up, "silent.test");
    for (int i = 0; i != 3; ++i) co_await resolve("127.0.0.1", "http");
    std::exit(status);
  };
  co_await cosock::with_nursery(body);
}

/// The status of a child process that runs the function.
template <class F>
int status_of(F function) {
  std::cout.flush();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    test::enter_network();
    static const test::silent_name_server silent;
    function();
    std::_Exit(4);
  }
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#define EXIT_TEST_CASE(name)                                                              \
  static void name##_body();                                                              \
  BOOST_AUTO_TEST_CASE(name, *boost::unit_test::precondition(test::may_have_a_network)) { \
    BOOST_TEST(status_of(&name##_body) == 7);                                             \
  }                                                                                       \
  static void name##_body()

}  // namespace

EXIT_TEST_CASE(in_a_program_of_run) {
  (void)cosock::run([]() -> task<int> {
    co_await program(7);
    co_return 0;
  }());
}

EXIT_TEST_CASE(in_a_loop_on_the_stack) {
  loop l;
  l.run(program(7));
}

EXIT_TEST_CASE(in_a_static_loop) {
  static loop l;
  l.run(program(7));
}

EXIT_TEST_CASE(in_a_static_loop_that_is_polled) {
  static loop l;
  static task_handle<void> work = l.start(program(7));
  for (;;) l.poll();
}

EXIT_TEST_CASE(in_a_static_task_of_a_static_loop) {
  static loop l;
  static task_handle<void> other = l.start([]() -> task<> { co_await cosock::sleep_for(1h); }());
  static task_handle<void> work = l.start(program(7));
  for (;;) l.run_some();
}

EXIT_TEST_CASE(in_a_loop_inside_another_one) {
  static loop outer;
  outer.run([]() -> task<> {
    static loop inner;
    inner.run(program(7));
    co_return;
  }());
}

EXIT_TEST_CASE(in_a_task_of_a_static_io_context) {
  static boost::asio::io_context context;
  cosock::spawn(context, program(7), [](std::exception_ptr) {});
  context.run();
}

EXIT_TEST_CASE(with_a_static_socket) {
  static loop l;
  static std::optional<cosock::tcp_acceptor> acceptor;
  l.run([]() -> task<> {
    acceptor.emplace(endpoint(address::loopback_v4(), 0));
    co_await program(7);
  }());
}

EXIT_TEST_CASE(after_a_loop_was_destroyed_with_look_ups_on_their_way) {
  for (int i = 0; i != 50; ++i) {
    loop l;
    const auto work = l.start(resolve("127.0.0.1", "http"));
    for (int turns = 0; turns != i % 8; ++turns) l.poll();
  }
  std::exit(7);
}
