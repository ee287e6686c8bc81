// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/finish.hpp>

#define BOOST_TEST_MODULE finish
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"

#include <cosock/connect.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/local.hpp>
#include <cosock/tcp.hpp>
#include <cosock/tcp_options.hpp>
#include <cosock/when.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <string>

namespace {

int shutdowns = 0;

}  // namespace

extern "C" int shutdown(int fd, int how) noexcept {
  static const auto real = reinterpret_cast<int (*)(int, int)>(::dlsym(RTLD_NEXT, "shutdown"));
  ++shutdowns;
  return real(fd, how);
}

namespace {

using namespace test;
using cosock::as_result;
using cosock::endpoint;
using cosock::finish_options;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::tcp_socket;

struct tcp_pair {
  tcp_socket first;
  tcp_socket second;
};

task<tcp_pair> connected() {
  cosock::tcp_acceptor acceptor(endpoint(cosock::address::loopback_v4(), 0));
  auto [one, other] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  co_return tcp_pair{std::move(one), std::move(other)};
}

/// Receives to the end, and closes.
task<std::size_t> read_and_close(byte_stream& s) {
  std::size_t all = 0;
  char into[4096];
  while (const std::size_t n = co_await s.receive(into)) all += n;
  s.close();
  co_return all;
}

template <class Stream>
task<> ends_in_order(Stream one, Stream other) {
  co_await other.send("unread");
  co_await one.send("the last words");
  auto [ended, got] = co_await cosock::when_all(one.finish(1min), read_and_close(other));
  BOOST_TEST(ended);
  BOOST_TEST(got == 14u);
  BOOST_TEST(!one.is_open());
}

COROUTINE_TEST_CASE(both_sides_end_in_order) {
  auto [one, other] = co_await connected();
  co_await ends_in_order(std::move(one), std::move(other));
  auto [a, b] = cosock::local_pair();
  co_await ends_in_order(std::move(a), std::move(b));
  auto [c, d] = cosock::local_pair<local_seqpacket_socket>();
  co_await ends_in_order(std::move(c), std::move(d));
}

COROUTINE_TEST_CASE(no_system_call_where_the_end_was_received) {
  auto [one, other] = co_await connected();
  other.shutdown_send();
  char into[1];
  BOOST_TEST(co_await one.receive(into) == 0u);
  shutdowns = 0;
  BOOST_TEST(co_await one.finish());
  BOOST_TEST(shutdowns == 0);
  BOOST_TEST(co_await other.receive(into) == 0u);

  auto [a, b] = cosock::local_pair();
  b.close();
  const auto got = co_await a.receive_with_descriptors(into, 1);
  BOOST_TEST(got.end);
  BOOST_TEST(co_await a.finish());
  auto [c, d] = cosock::local_pair<local_seqpacket_socket>();
  d.close();
  BOOST_TEST((co_await c.receive_message(into)).end);
  BOOST_TEST(co_await c.finish());
  BOOST_TEST(shutdowns == 0);
}

COROUTINE_TEST_CASE(time_ends_the_wait) {
  auto [one, other] = co_await connected();
  co_await one.send("hello");
  BOOST_TEST(!co_await one.finish(finish_options{.timeout = 5ms}));
  BOOST_TEST(!one.is_open());
  BOOST_TEST(co_await read_and_close(other) == 5u);
}

COROUTINE_TEST_CASE(bytes_end_the_wait) {
  auto [one, other] = co_await connected();
  co_await other.send(std::string(1001, 'x'));
  BOOST_TEST(!co_await one.finish({.timeout = 1min, .max_discard = 1000}));
  BOOST_TEST(!one.is_open());
  auto [two, more] = co_await connected();
  co_await more.send("x");
  BOOST_TEST(!co_await two.finish({.timeout = 1min, .max_discard = 0}));
  auto [three, most] = co_await connected();
  co_await most.send(std::string(100'000, 'x'));
  most.close();
  BOOST_TEST(co_await three.finish(
      {.timeout = std::chrono::nanoseconds::max(), .max_discard = static_cast<std::size_t>(-1)}));
}

COROUTINE_TEST_CASE(messages_longer_than_a_buffer_are_discarded) {
  auto [one, other] = cosock::local_pair<local_seqpacket_socket>();
  co_await other.send(std::string(50'000, 'x'));
  co_await other.send("y");
  other.close();
  BOOST_TEST(co_await one.finish(1min));
}

COROUTINE_TEST_CASE(no_time_closes) {
  for (const auto none : {0ns, -1ns, std::chrono::nanoseconds::min()}) {
    auto [one, other] = co_await connected();
    BOOST_TEST(!co_await one.finish(none));
    BOOST_TEST(!one.is_open());
    BOOST_TEST(co_await read_and_close(other) == 0u);
  }
}

COROUTINE_TEST_CASE(cancelled_it_closes_at_once) {
  auto [one, other] = co_await connected();
  cosock::cancel_scope scope;
  pending_op finishing;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, finishing, [&] { return scope.run(one.finish(1min)); });
    co_await let_others_run();
    BOOST_TEST(!finishing.done);
    scope.cancel();
    co_await ended(finishing);
  });
  BOOST_TEST(finishing.result.is(cosock::error::cancelled));
  BOOST_TEST(!one.is_open());

  auto [two, more] = co_await connected();
  BOOST_TEST((co_await outcome_of(scope.run(two.finish(1min)))).is(cosock::error::cancelled));
  BOOST_TEST(!two.is_open());
  BOOST_TEST(co_await read_and_close(more) == 0u);
}

COROUTINE_TEST_CASE(a_destroyed_task_closes) {
  auto [one, other] = co_await connected();
  co_await one.send("x");
  {
    const auto running = cosock::loop::current().start(
        [](tcp_socket& s) -> task<> { co_await s.finish(1min); }(one));
    co_await let_others_run();
    BOOST_TEST(!running.done());
  }
  BOOST_TEST(!one.is_open());
  BOOST_TEST(co_await read_and_close(other) == 1u);
}

COROUTINE_TEST_CASE(busy_and_closed) {
  auto [one, other] = co_await connected();
  pending_op receiving;
  char into[1];
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, receiving, [&] { return one.receive(into); });
    co_await let_others_run();
    BOOST_TEST((co_await outcome_of(one.finish())).is(cosock::error::busy));
    BOOST_TEST(one.is_open());
    co_await other.send("x");
  });
  BOOST_TEST(receiving.result.bytes == 1u);
  one.close();
  BOOST_TEST((co_await outcome_of(one.finish())).is(cosock::error::closed));
  tcp_socket none;
  BOOST_TEST((co_await outcome_of(none.finish())).is(cosock::error::closed));
}

COROUTINE_TEST_CASE(a_reset_while_it_waits_is_an_error) {
  auto [one, other] = co_await connected();
  pending_op finishing;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, finishing, [&] { return one.finish(1min); });
    co_await let_others_run();
    other.abort();
  });
  BOOST_TEST(finishing.result.error == errc::connection_reset);
  BOOST_TEST(!one.is_open());
}

COROUTINE_TEST_CASE(a_wanted_reset_is_not_waited_for) {
  auto [one, other] = co_await connected();
  one.set_linger(0s);
  BOOST_TEST(!co_await one.finish(1min));
  char into[1];
  BOOST_TEST((co_await outcome_of(other.receive(into))).error == errc::connection_reset);
}

COROUTINE_TEST_CASE(a_stream_without_half_close_is_closed) {
  int ends[2];
  BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  auto from = cosock::descriptor_stream::adopt(ends[0]);
  auto to = cosock::descriptor_stream::adopt(ends[1]);
  co_await to.send("all");
  BOOST_TEST(!co_await to.finish(1min));
  BOOST_TEST(!to.is_open());
  BOOST_TEST(co_await read_and_close(from) == 3u);
}

COROUTINE_TEST_CASE(a_stream_of_another_kind) {
  const auto s = co_await make_scripted_stream();
  s->push("unread");
  s->end();
  BOOST_TEST(co_await s->finish(1min));
  BOOST_TEST(s->is_shut());
  BOOST_TEST(!s->is_open());
  const auto failing = co_await make_scripted_stream();
  failing->fail_receive(ETIMEDOUT);
  BOOST_TEST((co_await outcome_of(failing->finish(1min))).error == errc::timed_out);
  BOOST_TEST(!failing->is_open());
}

}  // namespace
