// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE fork_asio
#include "support.hpp"

#include <cosock/local.hpp>

#include <boost/asio/io_context.hpp>

#include <sys/socket.h>
#include <sys/wait.h>

BOOST_AUTO_TEST_CASE(a_loop_in_a_context_goes_on_with_it_in_a_child) {
  using namespace std::chrono_literals;
  const test::alarm_clock guard;
  boost::asio::io_context context;
  int sender = -1;
  bool done = false;
  const auto receive = [&]() -> cosock::task<> {
    auto [a, b] = cosock::local_pair();
    sender = a.native_handle();
    char byte[1];
    co_await b.receive_exactly(cosock::mutable_buffer(byte, 1));
    co_await cosock::sleep_for(1ms);
    done = true;
  };
  cosock::spawn(context, receive());
  while (context.poll() != 0) continue;
  BOOST_REQUIRE(sender >= 0);
  const auto go_on = [&] {
    const bool sent = ::send(sender, "x", 1, MSG_NOSIGNAL) == 1;
    context.run();
    return sent && done;
  };
  context.notify_fork(boost::asio::execution_context::fork_prepare);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    context.notify_fork(boost::asio::execution_context::fork_child);
    ::_exit(go_on() ? 0 : 99);
  }
  context.notify_fork(boost::asio::execution_context::fork_parent);
  int status = 0;
  ::waitpid(child, &status, 0);
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  BOOST_TEST(go_on());
}
