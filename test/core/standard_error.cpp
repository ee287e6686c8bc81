// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/cosock.hpp>

#define BOOST_TEST_MODULE standard_error
#include "support.hpp"

#include <sys/wait.h>

#include <csignal>
#include <stdexcept>

namespace {

using namespace test;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

/// The status of a child process whose standard error is a pipe that nobody reads, negative where a
/// signal ended it.
int status_without_reader(int (*program)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    ::signal(SIGPIPE, SIG_DFL);
    int ends[2];
    if (::pipe(ends) != 0 || ::dup2(ends[1], 2) != 2) ::_exit(99);
    ::close(ends[0]);
    ::close(ends[1]);
    ::_exit(program());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool has_pending_signal() {
  sigset_t pending;
  ::sigpending(&pending);
  return sigismember(&pending, SIGPIPE) != 0;
}

task<> fail() {
  co_await cosock::yield();
  throw std::runtime_error("the reason");
}

/// The first connection fails, the second one is answered.
task<> serve_two() {
  tcp_acceptor acceptor(cosock::endpoint::parse("127.0.0.1:0"));
  const cosock::endpoint at = acceptor.local_endpoint();
  cosock::server_handle handle;
  int served = 0;
  const auto handler = [&](tcp_socket& client) -> task<> {
    if (++served == 1) throw std::runtime_error("the reason");
    co_await client.send(cosock::const_buffer("x", 1));
  };
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await cosock::serve(acceptor, handler, handle); });
    char byte[1];
    tcp_socket first = co_await cosock::connect(at);
    static_cast<void>(co_await cosock::as_result(first.receive(cosock::mutable_buffer(byte, 1))));
    tcp_socket second = co_await cosock::connect(at);
    co_await second.receive_exactly(cosock::mutable_buffer(byte, 1));
    handle.stop();
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_error_that_nobody_reads_gives_its_status) {
  BOOST_TEST(status_without_reader([] { return cosock::run(fail()); }) == 1);
}

BOOST_AUTO_TEST_CASE(a_usage_error_that_nobody_reads_gives_its_status) {
  BOOST_TEST(status_without_reader([] { return cosock::usage_error("usage: test"); }) == 2);
}

BOOST_AUTO_TEST_CASE(a_server_goes_on_whose_errors_nobody_reads) {
  const int status = status_without_reader([] {
    const int ended = cosock::run(serve_two());
    return has_pending_signal() ? 98 : ended;
  });
  BOOST_TEST(status == 0);
}
