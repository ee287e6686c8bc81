// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagram sockets of every kind that are closed, moved, busy or of another loop.

#include <cosock/datagram.hpp>

#define BOOST_TEST_MODULE datagram_ends
#include "datagram_fixture.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/when.hpp>

#include <memory>

namespace {

using namespace test;
using namespace test::datagram_kinds;
using boost::system::error_code;
using cosock::receive_result;
using cosock::task;

DATAGRAM_CHECK(a_closed_socket_says_so) {
  socket_of<Kind> s = Kind::make();
  const endpoint_of<Kind> to = s.local_endpoint();
  s.close();
  s.close();
  BOOST_TEST(!s.is_open());
  for (const operation which : every_operation)
    BOOST_TEST(co_await perform<Kind>(which, s, to) == code(cosock::error::closed));
  socket_of<Kind> never;
  for (const operation which : every_operation)
    BOOST_TEST(co_await perform<Kind>(which, never, to) == code(cosock::error::closed));
  BOOST_CHECK_EXCEPTION((void)s.local_endpoint(), boost::system::system_error,
                        is(cosock::error::closed));
}

DATAGRAM_CHECK(a_second_receiver_is_refused) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  error_code second;
  const auto first = [&]() -> task<std::size_t> {
    char into[16];
    const receive_result got = co_await b.receive(into);
    co_return got.size;
  };
  const auto other = [&]() -> task<> {
    co_await cosock::yield();
    char into[16];
    second = co_await failure_of(b.receive(into));
    co_await a.send_to("for the first", b.local_endpoint());
  };
  const auto [got, none] = co_await cosock::when_all(first(), other());
  BOOST_TEST(got == 13u);
  BOOST_TEST(second == code(cosock::error::busy));
}

DATAGRAM_CHECK(may_be_moved_while_it_waits) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  const endpoint_of<Kind> to = b.local_endpoint();
  const auto receive = [&]() -> task<std::size_t> {
    char into[16];
    const receive_result got = co_await b.receive(into);
    co_return got.size;
  };
  const auto move = [&]() -> task<> {
    co_await cosock::yield();
    socket_of<Kind> moved = std::move(b);
    co_await a.send_to("found", to);
    co_await cosock::sleep_for(1ms);
  };
  const auto [got, none] = co_await cosock::when_all(receive(), move());
  BOOST_TEST(got == 5u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_loop_that_ends_first, Kind, every_kind) {
  const std::size_t before = open_descriptors();
  {
    auto on = std::make_unique<cosock::loop>();
    socket_of<Kind> survivor;
    auto running = on->start([](socket_of<Kind>& s) -> task<> {
      s = Kind::make();
      batch_of<Kind> batch(4, 16);
      co_await s.receive_batch(batch);
    }(survivor));
    test::run_until_idle(*on);
    BOOST_TEST(!running.done());
    on.reset();
    BOOST_TEST(!survivor.is_open());
  }
  BOOST_TEST(open_descriptors() == before);
}

DATAGRAM_CHECK(another_loop_is_refused) {
  cosock::loop* const own = &cosock::loop::current();
  std::unique_ptr<socket_of<Kind>> s;
  std::thread([&] {
    cosock::loop other;
    other.run([](std::unique_ptr<socket_of<Kind>>& s) -> task<> {
      s = std::make_unique<socket_of<Kind>>(Kind::make());
      co_return;
    }(s));
    own->post([] {});
    // The socket stays; its loop has gone, and with it the descriptor.
  }).join();
  char into[1];
  BOOST_TEST(co_await failure_of(s->receive(into)) == code(cosock::error::closed));
}

DATAGRAM_CHECK(descriptors_are_counted) {
  const std::size_t before = open_descriptors();
  {
    socket_of<Kind> a = Kind::make();
    socket_of<Kind> b = std::move(a);
    BOOST_TEST(open_descriptors() == before + 1);
    BOOST_TEST((::fcntl(b.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
    a = std::move(b);
    const int fd = a.release();
    BOOST_TEST(a.release() == -1);
    a = socket_of<Kind>::adopt(fd);
    co_await a.send_to("to myself", a.local_endpoint());
    char into[16];
    const auto got = co_await a.receive_from(into);
    BOOST_TEST(got.size == 9u);
  }
  BOOST_TEST(open_descriptors() == before);
}

}  // namespace
