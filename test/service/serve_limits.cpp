// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The number of connections, and errors of accept() that pass or not.

#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_limits
#include "fake_acceptor.hpp"
#include "manual_event.hpp"
#include "netns.hpp"
#include "serve_fixture.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/loops.hpp>
#include <cosock/sync.hpp>
#include <cosock/when.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <array>
#include <stdexcept>
#include <vector>

namespace {

using namespace test;
using boost::system::error_code;
using cosock::as_result;
using cosock::endpoint;
using cosock::local_stream_socket;
using cosock::nursery;
using cosock::serve_options;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

BOOST_AUTO_TEST_SUITE(limits)

COROUTINE_TEST_CASE(no_more_connections_than_it_is_told) {
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  server_handle handle;
  serve_options options;
  options.max_connections = 2;
  const auto clients = [&]() -> task<> {
    std::vector<tcp_socket> all;
    for (int i = 0; i != 5; ++i) {
      all.push_back(co_await cosock::connect(at));
      co_await all.back().send("ping");
    }
    // Served in the order in which they came, as those before them end.
    for (std::size_t i = 0; i != all.size(); ++i) {
      char answer[4];
      co_await all[i].receive_exactly(answer);
      BOOST_TEST(handle.counters().accepted <= i + 2);
      BOOST_TEST(handle.counters().active <= 2u);
      all[i].close();
    }
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), clients());
  BOOST_TEST(handle.counters().accepted == 5u);
  BOOST_TEST(handle.counters().peak == 2u);
}

COROUTINE_TEST_CASE(the_backlog_is_as_asked_for) {
  tcp_acceptor acceptor(any_port);
  const int fd = acceptor.native_handle();
  server_handle handle;
  serve_options options;
  options.backlog = 11;
  const auto check = [&]() -> task<> {
    tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await round_trip(client));
    tcp_info info = {};
    socklen_t size = sizeof info;
    BOOST_REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
    BOOST_TEST(info.tcpi_sacked == 11u);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), check());
  fake_acceptor fake;
  BOOST_CHECK_THROW(co_await cosock::serve(fake, &echo, options), std::logic_error);
}

COROUTINE_TEST_CASE(the_default_limit_is_shared_by_several_loops) {
  rlimit before;
  BOOST_REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit low = before;
  low.rlim_cur = 64;
  BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  std::array<std::size_t, 2> peak = {};
  const auto one = [&](unsigned index) -> task<> {
    fake_acceptor acceptor;
    server_handle handle;
    // As many as it takes at once, of descriptors that come from elsewhere.
    const auto clients = [&]() -> task<> {
      for (int i = 0; i != 60; ++i) acceptor.give(local_stream_socket());
      for (int i = 0; i != 200; ++i) co_await cosock::yield();
      handle.stop();
    };
    serve_options options;
    options.drain = 0s;
    const auto wait = [](local_stream_socket&) -> task<> { co_await forever(); };
    co_await cosock::when_all(cosock::serve(acceptor, wait, handle, options), clients());
    peak[index] = handle.counters().peak;
  };
  co_await cosock::run_loops(2, one);
  BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  for (const std::size_t n : peak) {
    BOOST_TEST(n >= 5u);
    BOOST_TEST(n <= 28u);
  }
}

COROUTINE_TEST_CASE(errors_that_pass_are_waited_out) {
  fake_acceptor acceptor;
  server_handle handle;
  const auto clients = [&]() -> task<> {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
      acceptor.fail(error);
      local_stream_socket s = acceptor.connect();
      BOOST_TEST(co_await round_trip(s));
    }
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), clients());
  BOOST_TEST(handle.counters().rejected == 4u);
  BOOST_TEST(handle.counters().accepted == 4u);
}

COROUTINE_TEST_CASE(connections_that_died_while_they_waited_are_skipped) {
  fake_acceptor acceptor;
  server_handle handle;
  const auto clients = [&]() -> task<> {
    for (const int error : {ECONNABORTED, EPROTO, ECONNABORTED}) acceptor.fail(error);
    local_stream_socket s = acceptor.connect();
    BOOST_TEST(co_await round_trip(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), clients());
  BOOST_TEST(handle.counters().accepted == 1u);
  BOOST_TEST(handle.counters().rejected == 0u);
}

/// The wait doubles up to 1 s: in 10 s there is time for 5 + 10 + ... + 640 ms, and 8 s.
VIRTUAL_TEST_CASE(it_does_not_spin) {
  fake_acceptor acceptor;
  for (int i = 0; i != 100; ++i) acceptor.fail(EMFILE);
  const auto ended = co_await as_result(cosock::with_timeout(10s, cosock::serve(acceptor, &echo)));
  BOOST_TEST(ended.error() == cosock::error::timed_out);
  BOOST_TEST(acceptor.tries == 17);
}

VIRTUAL_TEST_CASE(room_ends_the_wait) {
  fake_acceptor acceptor;
  server_handle handle;
  cosock::event over;
  const auto handler = [&](local_stream_socket&) -> task<> { co_await over.wait(); };
  const auto clients = [&]() -> task<> {
    acceptor.give(local_stream_socket());
    for (int i = 0; i != 12; ++i) acceptor.fail(EMFILE);
    acceptor.give(local_stream_socket());
    co_await cosock::sleep_for(4500ms);  // the next try is after 5275 ms
    BOOST_TEST(handle.counters().rejected == 12u);
    BOOST_TEST(handle.counters().accepted == 1u);
    over.set();
    co_await cosock::sleep_for(1ms);
    BOOST_TEST(handle.counters().accepted == 2u);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle), clients());
}

COROUTINE_TEST_CASE(other_errors_end_it_after_the_drain) {
  for (const int error : {EBADF, EINVAL, ENOTSOCK, ENOSYS}) {
    fake_acceptor acceptor;
    server_handle handle;
    bool served = false;
    const auto client = [&]() -> task<> {
      local_stream_socket s = acceptor.connect();
      BOOST_TEST(co_await round_trip(s));
      acceptor.fail(error);
      while (!acceptor.closed) co_await cosock::yield();
      served = co_await round_trip(s, "drained");
    };
    const auto serve_state = [&]() -> task<> {
      const auto ended = co_await as_result(cosock::serve(acceptor, &echo, handle));
      BOOST_TEST(ended.error() == error_code(error, boost::system::system_category()));
    };
    co_await cosock::when_all(serve_state(), client());
    BOOST_TEST(served);
  }
}

/// With few descriptors and many clients every client is served in the end.
CHILD_COROUTINE_TEST_CASE(few_descriptors_and_many_clients) {
  constexpr int many = 500;
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  // The clients are in a process of their own, which has descriptors enough.
  const pid_t child = ::fork();
  if (child == 0) {
    cosock::loop on;
    int served = 0;
    on.run([](endpoint at, int& served) -> task<> {
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        for (int i = 0; i != many; ++i)
          n.start([at, &served]() -> task<> {
            tcp_socket s = co_await cosock::connect(at);
            if (co_await round_trip(s)) ++served;
          });
        co_return;
      });
    }(at, served));
    ::_exit(served == many ? 0 : 1);
  }
  rlimit limit;
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = 64;
  BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  {
    server_handle handle;
    serve_options options;
    const auto watch = [&]() -> task<> {
      int status = -1;
      while (::waitpid(child, &status, WNOHANG) == 0) co_await cosock::sleep_for(1ms);
      BOOST_TEST(status == 0);
      handle.stop();
    };
    co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), watch());
    BOOST_TEST(handle.counters().accepted == static_cast<unsigned>(many));
    BOOST_TEST(handle.counters().peak < 64u);
    BOOST_TEST(handle.counters().rejected == 0u);
  }
}

/// The same where the limit is not respected: the system refuses, and the server waits.
CHILD_COROUTINE_TEST_CASE(the_system_refuses_for_real) {
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  server_handle handle;
  serve_options options;
  options.max_connections = 10'000;
  std::vector<tcp_socket> clients;
  for (int i = 0; i != 10; ++i) clients.push_back(co_await cosock::connect(at));
  rlimit limit;
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = static_cast<rlim_t>(clients.back().native_handle() + 4);  // for three of them
  BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  const auto ask = [&]() -> task<> {
    for (tcp_socket& each : clients) {
      BOOST_TEST(co_await round_trip(each));
      each.close();
    }
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), ask());
  BOOST_TEST(handle.counters().accepted == 10u);
  BOOST_TEST(handle.counters().rejected > 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
