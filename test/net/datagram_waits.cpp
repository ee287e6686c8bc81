// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// How operations on every kind of datagram socket wait, and are cancelled.

#include <cosock/datagram.hpp>

#define BOOST_TEST_MODULE datagram_waits
#include "allocations.hpp"
#include "datagram_fixture.hpp"

#include <cosock/when.hpp>

#include <array>
#include <string>

namespace {

using namespace test;
using namespace test::datagram_kinds;
using boost::system::error_code;
using cosock::as_result;
using cosock::const_buffer;
using cosock::task;

DATAGRAM_CHECK(readiness) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  co_await a.wait_writable();
  BOOST_TEST(co_await failure_of(cosock::with_timeout(1ms, b.wait_readable())) ==
             code(cosock::error::timed_out));
  co_await a.send_to("here", b.local_endpoint());
  co_await b.wait_readable();
  BOOST_TEST(co_await size_of_next(b) == 4u);
}

DATAGRAM_CHECK(a_cancelled_operation_does_nothing) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  co_await a.send_to("kept", b.local_endpoint());
  for (const operation which : every_operation) {
    BOOST_TEST_INFO_SCOPE(which);
    cosock::cancel_scope scope;
    scope.cancel();
    error_code how;
    const auto inside = [&]() -> task<> {
      how = co_await perform<Kind>(which, b, a.local_endpoint());
    };
    (void)co_await as_result(scope.run(inside()));
    BOOST_TEST(how == code(cosock::error::cancelled));
  }
  char into[16];
  BOOST_TEST(co_await size_of_next(b) == 4u);
  BOOST_TEST(co_await failure_of(cosock::with_timeout(1ms, a.receive(into))) ==
             code(cosock::error::timed_out));
}

DATAGRAM_CHECK(a_waiting_operation_allocates_nothing) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  batch_of<Kind> batch(8, 64);
  const std::array<const_buffer, 3> three = {const_buffer("1"), const_buffer("22"),
                                             const_buffer("333")};
  const endpoint_of<Kind> to = b.local_endpoint();
  long allocated = 0;
  const auto receive = [&]() -> task<> {
    char into[16];
    for (int i = 0; i != 100; ++i) {
      co_await b.receive_from(into);
      co_await b.receive_batch(batch);
      if (batch.size() < 3) co_await b.receive_batch(batch);
    }
  };
  const auto send = [&]() -> task<> {
    for (int i = 0; i != 100; ++i) {
      if (i == 1) allocations_until_failure = 1'000'000;
      co_await cosock::yield();
      co_await a.send_to("one", to);
      co_await cosock::yield();
      co_await a.send_batch(three, to);
      co_await cosock::yield();
    }
    allocated = 1'000'000 - allocations_until_failure.exchange(-1);
  };
  co_await cosock::when_all(receive(), send());
  BOOST_TEST(allocated == 0);
}

DATAGRAM_CHECK(a_busy_receiver_does_not_starve_others) {
  socket_of<Kind> a = Kind::make();
  bool over = false;
  const auto flood = [&]() -> task<> {
    char into[16];
    while (!over) {
      co_await a.send_to("again", a.local_endpoint());
      co_await a.receive(into);
    }
  };
  const auto tick = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) co_await cosock::sleep_for(1ms);
    over = true;
  };
  co_await cosock::when_all(flood(), tick());
}

}  // namespace
