// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve
#include "fake_acceptor.hpp"
#include "manual_event.hpp"
#include "netns.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/loops.hpp>
#include <cosock/when.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace test;
using boost::system::error_code;
using boost::system::system_error;
using cosock::as_result;
using cosock::byte_stream;
using cosock::cancel_scope;
using cosock::endpoint;
using cosock::event;
using cosock::local_stream_socket;
using cosock::nursery;
using cosock::serve_options;
using cosock::server;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
namespace errc = boost::system::errc;

const endpoint any_port(cosock::address::loopback_v4(), 0);

task<> echo(byte_stream& s) {
  char buffer[4096];
  while (std::size_t n = co_await s.receive(buffer)) co_await s.send(cosock::buffer(buffer, n));
}

/// Asks a server, and says whether it has answered.
task<bool> round_trip(byte_stream& s, std::string_view text = "ping") {
  co_await s.send(text);
  std::string answer(text.size(), '\0');
  co_await s.receive_exactly(answer);
  co_return answer == text;
}

/// Whether the other side has closed.
task<bool> has_ended(byte_stream& s) {
  char one[1];
  const auto n = co_await as_result(s.receive(one));
  co_return !n || *n == 0;
}

/// An observer that keeps what it is told.
struct observed {
  void operator()(const std::exception_ptr& e) { errors.push_back(cosock::describe(e)); }
  std::vector<std::string> errors;
};

BOOST_AUTO_TEST_SUITE(handlers)

/// Every form of a handler serves a client.
template <class Handler>
task<> serves(Handler handler) {
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  server handle;
  const auto client = [&]() -> task<> {
    tcp_socket s = co_await cosock::connect(at);
    BOOST_TEST(co_await round_trip(s));
    s.shutdown_send();
    BOOST_TEST(co_await has_ended(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle), client());
  BOOST_TEST(!acceptor.is_open());
  const cosock::serve_counters all = handle.counters();
  BOOST_TEST(all.accepted == 1u);
  BOOST_TEST(all.active == 0u);
  BOOST_TEST(all.peak == 1u);
  BOOST_TEST(all.failed == 0u);
  BOOST_TEST(all.rejected == 0u);
  BOOST_TEST(all.bytes_in == 4u);
  BOOST_TEST(all.bytes_out == 4u);
}

task<> by_value(tcp_socket s) { co_await echo(s); }
task<> by_reference(tcp_socket& s) { co_await echo(s); }
task<> with_connection(tcp_socket s, const cosock::connection& c) {
  BOOST_TEST(c.peer() == s.remote_endpoint());
  BOOST_TEST(c.local() == s.local_endpoint());
  co_await echo(s);
}
task<> with_connection_by_reference(byte_stream& s, const cosock::connection& c) {
  BOOST_TEST(c.peer().port() != 0);
  BOOST_TEST(c.local().port() != 0);
  co_await echo(s);
}

COROUTINE_TEST_CASE(any_form_of_handler) {
  co_await serves(&by_value);
  co_await serves(&by_reference);
  co_await serves(&echo);
  co_await serves(&with_connection);
  co_await serves(&with_connection_by_reference);
  const auto kept = std::make_shared<int>(7);
  const auto lambda = [kept](auto& s) -> task<> {
    BOOST_TEST(*kept == 7);
    co_await echo(s);
  };
  co_await serves(lambda);
}

COROUTINE_TEST_CASE(local_acceptors_too) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  const auto at = acceptor.local_endpoint();
  server handle;
  const auto client = [&]() -> task<> {
    local_stream_socket s = co_await cosock::connect(at);
    BOOST_TEST(co_await round_trip(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), client());
}

COROUTINE_TEST_CASE(what_leaves_a_handler_costs_its_connection_only) {
  fake_acceptor acceptor;
  server handle;
  observed told;
  serve_options options;
  options.on_error = told;
  const auto handler = [](local_stream_socket& s) -> task<> {
    char c[1];
    co_await s.receive(c);
    if (*c == 's') throw std::runtime_error("a string");
    if (*c == 'i') throw 7;
    if (*c == 'c') throw system_error(make_error_code(cosock::error::cancelled));
    co_await echo(s);
  };
  const auto clients = [&]() -> task<> {
    for (const char* what : {"s", "i", "c", "e"}) {
      local_stream_socket s = acceptor.connect();
      co_await s.send(std::string_view(what));
      if (*what == 'e')
        BOOST_TEST(co_await round_trip(s));
      else
        BOOST_TEST(co_await has_ended(s));
    }
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), clients());
  const std::vector<std::string> expected = {"a string", "unknown error"};
  BOOST_TEST(told.errors == expected);
  BOOST_TEST(handle.counters().failed == 2u);
  BOOST_TEST(handle.counters().accepted == 4u);
}

COROUTINE_TEST_CASE(a_handler_may_close_its_stream_itself) {
  fake_acceptor acceptor;
  server handle;
  const auto handler = [](local_stream_socket& s) -> task<> {
    s.close();
    co_await cosock::yield();
  };
  const auto client = [&]() -> task<> {
    local_stream_socket s = acceptor.connect();
    BOOST_TEST(co_await has_ended(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle), client());
  BOOST_TEST(handle.counters().failed == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(stopping)

COROUTINE_TEST_CASE(stop_while_nothing_happens_returns) {
  tcp_acceptor acceptor(any_port);
  server handle;
  const auto stop = [&]() -> task<> {
    co_await cosock::yield();
    handle.stop();
    handle.stop();
    BOOST_TEST(handle.is_stopping());
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), stop());
  BOOST_TEST(!acceptor.is_open());
}

COROUTINE_TEST_CASE(stop_before_it_begins_returns_at_once) {
  tcp_acceptor acceptor(any_port);
  server handle;
  handle.stop();
  co_await cosock::serve(acceptor, &echo, handle);
  BOOST_TEST(!acceptor.is_open());
}

COROUTINE_TEST_CASE(cancelled_before_it_begins) {
  tcp_acceptor acceptor(any_port);
  cancel_scope scope;
  scope.cancel();
  const auto ended = co_await as_result(scope.run(cosock::serve(acceptor, &echo)));
  BOOST_TEST(ended.error() == cosock::error::cancelled);
  BOOST_TEST(!acceptor.is_open());
}

/// Those who end within the limit lose nothing, the others are cancelled.
template <class Stop>
task<> drains(Stop stop, bool cancelled) {
  fake_acceptor acceptor;
  server handle;
  observed told;
  serve_options options;
  options.drain = 50ms;
  options.on_error = told;
  cancel_scope scope;
  error_code how;
  const auto serving = [&]() -> task<> {
    const auto ended =
        co_await as_result(scope.run(cosock::serve(acceptor, &echo, handle, options)));
    if (!ended) how = ended.error();
  };
  const auto clients = [&]() -> task<> {
    local_stream_socket quick = acceptor.connect();
    local_stream_socket slow = acceptor.connect();
    BOOST_TEST(co_await round_trip(quick));
    BOOST_TEST(co_await round_trip(slow));
    BOOST_TEST(handle.counters().active == 2u);
    stop(scope, handle);
    while (!acceptor.closed) co_await cosock::yield();
    BOOST_TEST(co_await round_trip(quick, "still served"));
    quick.shutdown_send();
    BOOST_TEST(co_await has_ended(quick));
    BOOST_TEST(handle.counters().active == 1u);
    BOOST_TEST(co_await has_ended(slow));  // at the limit
    stop(scope, handle);
  };
  co_await cosock::when_all(serving(), clients());
  BOOST_TEST(how == (cancelled ? make_error_code(cosock::error::cancelled) : error_code()));
  BOOST_TEST(told.errors.empty());
  BOOST_TEST(handle.counters().failed == 0u);
  BOOST_TEST(handle.counters().active == 0u);
}

COROUTINE_TEST_CASE(stop_drains) {
  co_await drains([](cancel_scope&, server& handle) { handle.stop(); }, false);
}
COROUTINE_TEST_CASE(cancellation_drains) {
  co_await drains([](cancel_scope& scope, server&) { scope.cancel(); }, true);
}

COROUTINE_TEST_CASE(no_drain_cancels_at_once) {
  fake_acceptor acceptor;
  server handle;
  serve_options options;
  options.drain = 0ns;
  const auto client = [&]() -> task<> {
    local_stream_socket s = acceptor.connect();
    BOOST_TEST(co_await round_trip(s));
    handle.stop();
    BOOST_TEST(co_await has_ended(s));
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), client());
}

/// A handler that does not listen to cancellation holds the server up, and is not left behind.
COROUTINE_TEST_CASE(a_handler_that_refuses_to_end_is_waited_for) {
  fake_acceptor acceptor;
  server handle;
  serve_options options;
  options.drain = 0ns;
  event let_go;
  bool over = false;
  const auto handler = [&](local_stream_socket&) -> task<> {
    co_await cosock::shielded(let_go.wait());
    over = true;
  };
  const auto stop = [&]() -> task<> {
    local_stream_socket s = acceptor.connect();
    while (handle.counters().active == 0) co_await cosock::yield();
    handle.stop();
    for (int i = 0; i != 5; ++i) co_await cosock::yield();
    BOOST_TEST(handle.counters().active == 1u);
    let_go.set();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), stop());
  BOOST_TEST(over);
}

COROUTINE_TEST_CASE(many_connections_drain) {
  constexpr int many = COSOCK_TEST_SANITIZED ? 200 : 1000;
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  server handle;
  serve_options options;
  options.drain = 200ms;
  int finished = 0;
  const auto clients = [&]() -> task<> {
    std::vector<tcp_socket> all;
    for (int i = 0; i != many; ++i) {
      all.push_back(co_await cosock::connect(at));
      co_await all.back().send("ping");
    }
    while (handle.counters().bytes_out < 4u * many) co_await cosock::yield();
    handle.stop();
    for (int i = 0; i != many; i += 2) {  // every other one ends in time
      all[static_cast<std::size_t>(i)].shutdown_send();
      std::string answer(4, '\0');
      co_await all[static_cast<std::size_t>(i)].receive_exactly(answer);
      BOOST_TEST(answer == "ping");
      if (co_await has_ended(all[static_cast<std::size_t>(i)])) ++finished;
    }
    for (int i = 1; i < many; i += 2) {
      std::string answer(4, '\0');
      co_await all[static_cast<std::size_t>(i)].receive_exactly(answer);
      BOOST_TEST(co_await has_ended(all[static_cast<std::size_t>(i)]));
    }
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), clients());
  BOOST_TEST(finished == many / 2);
  BOOST_TEST(handle.counters().accepted == static_cast<unsigned>(many));
  BOOST_TEST(handle.counters().peak == static_cast<unsigned>(many));
  BOOST_TEST(handle.counters().failed == 0u);
}

BOOST_AUTO_TEST_CASE(a_loop_that_ends_first) {
  const std::size_t before = open_descriptors();
  {
    auto on = std::make_unique<cosock::loop>();
    tcp_acceptor acceptor(*on, any_port);
    auto running = on->start([](tcp_acceptor& acceptor) -> task<> {
      server handle;
      const auto client = [&]() -> task<> {
        tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
        co_await round_trip(s);
        co_await forever();
      };
      co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), client());
    }(acceptor));
    for (int i = 0; i != 20; ++i) on->poll();
    on.reset();
    BOOST_TEST(!acceptor.is_open());
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_handle_is_for_one_server) {
  tcp_acceptor one(any_port);
  tcp_acceptor two(any_port);
  server handle;
  const auto second = [&]() -> task<> {
    co_await cosock::yield();
    bool refused = false;
    try {
      co_await cosock::serve(two, &echo, handle);
    } catch (const std::logic_error&) {
      refused = true;
    }
    BOOST_TEST(refused);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(one, &echo, handle), second());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(limits)

COROUTINE_TEST_CASE(no_more_connections_than_it_is_told) {
  tcp_acceptor acceptor(any_port);
  const endpoint at = acceptor.local_endpoint();
  server handle;
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
  server handle;
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
    server handle;
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
  server handle;
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
  server handle;
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

/// The wait doubles: in 100 ms there is time for 5 + 10 + 20 + 40 ms, and no more.
COROUTINE_TEST_CASE(it_does_not_spin) {
  fake_acceptor acceptor;
  for (int i = 0; i != 100; ++i) acceptor.fail(EMFILE);
  const auto ended =
      co_await as_result(cosock::with_timeout(100ms, cosock::serve(acceptor, &echo)));
  BOOST_TEST(ended.error() == cosock::error::timed_out);
  BOOST_TEST(acceptor.tries <= 6);
}

COROUTINE_TEST_CASE(room_ends_the_wait) {
  fake_acceptor acceptor;
  server handle;
  const auto clients = [&]() -> task<> {
    local_stream_socket first = acceptor.connect();
    BOOST_TEST(co_await round_trip(first));
    for (int i = 0; i != 5; ++i) acceptor.fail(EMFILE);  // the next wait is 160 ms
    while (handle.counters().rejected != 5) co_await cosock::yield();
    local_stream_socket second = acceptor.connect();
    first.close();
    const auto begun = std::chrono::steady_clock::now();
    BOOST_TEST(co_await round_trip(second));
    if (!COSOCK_TEST_SANITIZED) BOOST_TEST((std::chrono::steady_clock::now() - begun < 100ms));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle), clients());
}

COROUTINE_TEST_CASE(other_errors_end_it_after_the_drain) {
  for (const int error : {EBADF, EINVAL, ENOTSOCK, ENOSYS}) {
    fake_acceptor acceptor;
    server handle;
    bool served = false;
    const auto client = [&]() -> task<> {
      local_stream_socket s = acceptor.connect();
      BOOST_TEST(co_await round_trip(s));
      acceptor.fail(error);
      while (!acceptor.closed) co_await cosock::yield();
      served = co_await round_trip(s, "drained");
    };
    const auto serving = [&]() -> task<> {
      const auto ended = co_await as_result(cosock::serve(acceptor, &echo, handle));
      BOOST_TEST(ended.error() == error_code(error, boost::system::system_category()));
    };
    co_await cosock::when_all(serving(), client());
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
    server handle;
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
  server handle;
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
