// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// connect() to one endpoint: its options, its errors, and how it is cancelled.

#include <cosock/connect.hpp>

#define BOOST_TEST_MODULE connect_endpoint
#include "connect_fixture.hpp"
#include "manual_event.hpp"
#include "netns.hpp"
#include "raw_socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <optional>
#include <stdexcept>

using boost::system::system_error;
using boost::system::errc::connection_refused;
using cosock::address;
using cosock::as_result;
using cosock::connect;
using cosock::connect_options;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::task;
using cosock::task_handle;
using cosock::tcp_socket;
using cosock::with_timeout;
using test::black_hole;
using test::closed_port;
using test::code_of;
using test::contains;
using test::failure_of;
using test::finish;
using test::listener;
using test::raw_socket;
using test::refusal;
using test::run_until_idle;
using test::to_one;
using test::with_delay;
using namespace std::chrono_literals;

using connecting = task_handle<tcp_socket>;

namespace {

boost::test_tools::assertion_result has_v6(boost::unit_test::test_unit_id) {
  try {
    const closed_port some(address::loopback_v6());
    return true;
  } catch (const std::exception&) {
    BOOST_TEST_MESSAGE("skipped: this system has no IPv6");
    return false;
  }
}

}  // namespace

COROUTINE_TEST_CASE(a_connection_carries_bytes_both_ways) {
  listener server;
  tcp_socket client = co_await connect(server.at());
  raw_socket peer = server.accept();
  BOOST_TEST(client.remote_endpoint() == server.at());
  BOOST_TEST(co_await client.send("question") == 8u);
  BOOST_TEST(peer.receive() == "question");
  BOOST_TEST(::send(peer.fd(), "answer", 6, 0) == 6);
  char text[16];
  const std::size_t n = co_await client.receive(text);
  BOOST_TEST(std::string(text, n) == "answer");
  client.close();
  BOOST_TEST(peer.receive() == "");
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(has_v6))
BOOST_AUTO_TEST_CASE(a_connection_may_be_v6) {
  const auto body = []() -> task<> {
    listener server(address::loopback_v6());
    tcp_socket client = co_await connect(server.at());
    BOOST_TEST(client.remote_endpoint() == server.at());
    BOOST_TEST(client.local_endpoint().address() == address::loopback_v6());
  };
  test::run_case(body());
}

COROUTINE_TEST_CASE(the_descriptor_is_non_blocking_and_closed_on_exec) {
  listener server;
  const tcp_socket client = co_await connect(server.at());
  BOOST_TEST((::fcntl(client.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  BOOST_TEST((::fcntl(client.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
}

COROUTINE_TEST_CASE(a_port_nobody_listens_on_refuses_with_the_endpoint_in_the_text) {
  const closed_port closed;
  const std::size_t before = test::open_descriptors();
  const refusal why = co_await failure_of(connect(closed.at()));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(why.text == closed.at().to_string() + ": Connection refused");
  BOOST_TEST(test::open_descriptors() == before);
}

COROUTINE_TEST_CASE(an_endpoint_that_is_none_is_an_error_with_its_text) {
  const std::size_t before = test::open_descriptors();
  for (const char* bad :
       {"[fe80::1]:80", "255.255.255.255:80", "127.0.0.1:0", "[fe80::1%4000000]:1"}) {
    const refusal why = co_await failure_of(connect(endpoint::parse(bad)));
    BOOST_TEST(!!why.code);
    BOOST_TEST(contains(why.text, std::string(bad) + ": "), why.text);
  }
  BOOST_TEST(test::open_descriptors() == before);
}

NETWORK_COROUTINE_TEST_CASE(an_address_without_a_route_is_unreachable) {
  for (const char* far : {"192.0.2.1:80", "[2001:db8::1]:80"}) {
    const refusal why = co_await failure_of(connect(endpoint::parse(far)));
    BOOST_TEST(why.code == boost::system::errc::network_unreachable);
    BOOST_TEST(contains(why.text, far), why.text);
  }
}

COROUTINE_TEST_CASE(a_connection_to_oneself_is_refused) {
  connect_options options;
  {
    const closed_port some;
    options.local = some.at();
  }
  const std::size_t before = test::open_descriptors();
  const refusal why = co_await failure_of(connect(*options.local, options));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(contains(why.text, "Connection refused"), why.text);
  BOOST_TEST(test::open_descriptors() == before);

  // And nothing of it is left that would keep a server from the port.
  raw_socket server;
  BOOST_TEST(server.bind(*options.local) == 0);
}

COROUTINE_TEST_CASE(a_connection_is_made_from_the_local_endpoint) {
  listener server;
  connect_options options;
  options.local = endpoint::parse("127.0.0.2:0");
  const tcp_socket client = co_await connect(server.at(), options);
  BOOST_TEST(client.local_endpoint().address().to_string() == "127.0.0.2");
  BOOST_TEST(client.local_endpoint().port() != 0);

  // A fixed port, twice in a row: connections that linger do not stand in the way.
  for (int i = 0; i != 2; ++i) {
    {
      const closed_port some;
      options.local = some.at();
    }
    tcp_socket fixed = co_await connect(server.at(), options);
    BOOST_TEST(fixed.local_endpoint() == *options.local);
  }
}

COROUTINE_TEST_CASE(a_local_endpoint_that_is_not_there_is_named_in_the_text) {
  const closed_port closed;
  connect_options options;
  options.local = endpoint::parse("192.0.2.1:0");
  const refusal foreign = co_await failure_of(connect(closed.at(), options));
  BOOST_TEST(foreign.code == boost::system::errc::address_not_available);
  BOOST_TEST(contains(foreign.text, closed.at().to_string() + " from 192.0.2.1:0: "), foreign.text);

  options.local = endpoint::parse("[::1]:0");
  const refusal family = co_await failure_of(connect(closed.at(), options));
  BOOST_TEST(contains(family.text, " from [::1]:0: "), family.text);
}

COROUTINE_TEST_CASE(options_are_set_before_the_connection_is_made) {
  listener server;
  const tcp_socket plain = co_await connect(server.at());
  BOOST_TEST(plain.no_delay());
  connect_options options;
  options.no_delay = false;
  options.receive_buffer = 20'000;
  options.send_buffer = 30'000;
  const tcp_socket other = co_await connect(server.at(), options);
  BOOST_TEST(!other.no_delay());
  BOOST_TEST(other.receive_buffer() == 40'000);  // the system doubles them
  BOOST_TEST(other.send_buffer() == 60'000);
}

COROUTINE_TEST_CASE(fast_open_is_accepted_whether_or_not_the_system_has_it) {
  listener server;
  const int pending = 5;
  ::setsockopt(server.fd(), IPPROTO_TCP, TCP_FASTOPEN, &pending, sizeof pending);
  connect_options options;
  options.fast_open = true;
  for (int i = 0; i != 3; ++i) {  // with the cookie that the first one has got
    tcp_socket client = co_await connect(server.at(), options);
    BOOST_TEST(co_await client.send("early") == 5u);
    raw_socket peer = server.accept();
    BOOST_TEST(peer.receive() == "early");
  }
}

COROUTINE_TEST_CASE(a_thousand_connects_leak_no_descriptor) {
  listener server;
  const closed_port closed;
  const std::size_t before = test::open_descriptors();
  for (int i = 0; i != 1000; ++i) {
    const tcp_socket client = co_await connect(server.at());
    const raw_socket peer = server.accept();
    const auto refused = co_await as_result(connect(closed.at()));
    if (refused.error() != connection_refused) BOOST_ERROR(refused.error());
  }
  BOOST_TEST(test::open_descriptors() == before);
}

// UndefinedBehaviorSanitizer needs descriptors itself to look at memory.
#if !COSOCK_TEST_SANITIZED

BOOST_AUTO_TEST_CASE(no_descriptor_left_is_an_error_and_no_more) {
  test::in_child([] {
    const auto body = []() -> task<> {
      listener server;
      const rlimit least = {3, 3};
      rlimit before;
      ::getrlimit(RLIMIT_NOFILE, &before);
      const rlimit now = {least.rlim_cur, before.rlim_max};
      ::setrlimit(RLIMIT_NOFILE, &now);
      const refusal one = co_await failure_of(connect(server.at()));
      BOOST_TEST(one.code == boost::system::errc::too_many_files_open);
      const std::vector<endpoint> two(2, server.at());
      const refusal both = co_await failure_of(connect(two));
      BOOST_TEST(both.code == boost::system::errc::too_many_files_open);
      ::setrlimit(RLIMIT_NOFILE, &before);
      const tcp_socket good = co_await connect(server.at());
      BOOST_TEST(good.is_open());
    };
    test::run_case(body());
  });
}

#endif

COROUTINE_TEST_CASE(trying_again_without_end_lets_other_tasks_run) {
  const closed_port closed;
  const auto one = [](endpoint to) -> task<> {
    while ((co_await as_result(connect(to))).error() == connection_refused) continue;
    throw system_error(make_error_code(error::cancelled));
  };
  const auto ended = co_await as_result(with_timeout(10ms, one(closed.at())));
  BOOST_TEST(ended.error() == make_error_code(error::timed_out));
  const auto several = [](endpoint to) -> task<> {
    while ((co_await as_result(connect(std::vector<endpoint>(2, to)))).error() ==
           connection_refused)
      continue;
    throw system_error(make_error_code(error::cancelled));
  };
  const auto also = co_await as_result(with_timeout(10ms, several(closed.at())));
  BOOST_TEST(also.error() == make_error_code(error::timed_out));
}

BOOST_AUTO_TEST_CASE(cancelled_before_it_starts_it_connects_to_nobody) {
  listener server;
  const std::size_t without = test::open_descriptors();
  {
    loop l;
    const std::size_t before = test::open_descriptors();
    const std::vector<endpoint> list(2, server.at());
    connecting one = l.start(to_one(server.at()));
    connecting host = l.start(connect("127.0.0.1", server.at().port()));
    connecting several = l.start(connect(list));
    connecting none = l.start(connect(std::vector<endpoint>()));
    for (connecting* each : {&one, &host, &several, &none}) each->cancel();
    run_until_idle(l);
    for (connecting* each : {&one, &host, &several, &none}) {
      BOOST_REQUIRE(each->done());
      BOOST_TEST(code_of(*each) == make_error_code(error::cancelled));
    }
    BOOST_TEST(test::open_descriptors() == before);
  }
  BOOST_TEST(!server.has_connection());
  BOOST_TEST(test::open_descriptors() == without);
}

BOOST_AUTO_TEST_CASE(cancelled_while_pending_it_closes) {
  black_hole hole;
  loop l;
  run_until_idle(l);
  const std::size_t before = test::open_descriptors();
  connecting client = l.start(to_one(hole.at()));
  run_until_idle(l);
  BOOST_TEST(!client.done());
  BOOST_TEST(test::open_descriptors() == before + 1);
  client.cancel();
  finish(l, client);
  BOOST_TEST(code_of(client) == make_error_code(error::cancelled));
  BOOST_TEST(test::open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(destroyed_while_pending_it_closes) {
  black_hole hole;
  loop l;
  run_until_idle(l);
  const std::size_t before = test::open_descriptors();
  {
    connecting one = l.start(to_one(hole.at()));
    connecting several = l.start(connect(std::vector<endpoint>(3, hole.at()), with_delay(0ns)));
    run_until_idle(l);
    BOOST_TEST(test::open_descriptors() > before);
  }
  BOOST_TEST(test::open_descriptors() == before);
  run_until_idle(l);
}

BOOST_AUTO_TEST_CASE(a_loop_destroyed_while_it_is_pending_closes_it) {
  black_hole hole;
  const std::size_t before = test::open_descriptors();
  std::optional<loop> l(std::in_place);
  connecting one = l->start(to_one(hole.at()));
  connecting several = l->start(connect(std::vector<endpoint>(3, hole.at()), with_delay(0ns)));
  connecting host = l->start(connect("127.0.0.1", hole.at().port()));
  run_until_idle(*l);
  l.reset();
  BOOST_TEST(test::open_descriptors() == before);
  BOOST_CHECK_THROW((void)one.result(), std::logic_error);
  BOOST_CHECK_THROW((void)several.result(), std::logic_error);
  BOOST_CHECK_THROW((void)host.result(), std::logic_error);
}

COROUTINE_TEST_CASE(a_limit_ends_it) {
  black_hole hole;
  const std::size_t before = test::open_descriptors();
  const auto ended = co_await as_result(with_timeout(5ms, connect(hole.at())));
  BOOST_TEST(ended.error() == make_error_code(error::timed_out));
  const auto at_once = co_await as_result(with_timeout(0ms, connect(hole.at())));
  BOOST_TEST(at_once.error() == make_error_code(error::timed_out));
  BOOST_TEST(test::open_descriptors() == before);
}
