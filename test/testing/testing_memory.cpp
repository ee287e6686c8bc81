// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/memory_stream.hpp>

#define BOOST_TEST_MODULE testing_memory
#include "support.hpp"

#include <cosock/serve.hpp>
#include <cosock/testing/memory_listener.hpp>
#include <cosock/when.hpp>

#include <array>
#include <optional>
#include <stdexcept>
#include <string>

// That they are streams in all respects is shown in io/stream.cpp.

namespace {

using boost::system::system_error;
using cosock::as_result;
using cosock::byte_stream;
using cosock::error;
using cosock::task;
using cosock::testing::lockstep_pair;
using cosock::testing::memory_listener;
using cosock::testing::memory_pair;
using cosock::testing::memory_stream;
using test::is;
using namespace std::chrono_literals;
namespace errc = boost::system::errc;

const auto zero_of = [](const char* name) {
  return [name](const std::invalid_argument& e) { return test::contains(e.what(), name); };
};

}  // namespace

COROUTINE_TEST_CASE(room_and_piece_limit_what_one_transfer_moves) {
  auto [a, b] = memory_pair({.room = 10, .piece = 4});
  BOOST_TEST(co_await a.send_some("0123456789") == 4u);
  BOOST_TEST(a.try_send_some("456789ab").value() == 4u);
  BOOST_TEST(a.try_send_some("89ab").value() == 2u);
  BOOST_TEST(!a.try_send_some("ab"));
  BOOST_TEST(b.available() == 10u);
  BOOST_TEST(a.available() == 0u);
  std::array<char, 16> into;
  BOOST_TEST(co_await b.receive(into) == 4u);
  BOOST_TEST(a.try_send_some("ab").value() ==
             2u);  // to the end of the memory, and from its beginning
  std::string all(into.data(), 4);
  while (const auto n = b.try_receive(into)) all.append(into.data(), *n);
  BOOST_TEST(all == "0123456789ab");
}

COROUTINE_TEST_CASE(a_reset_is_seen_behind_the_bytes_that_were_sent_before) {
  auto [a, b] = memory_pair();
  co_await a.send("last");
  a.abort();
  a.abort();
  BOOST_TEST(!a.is_open());
  std::array<char, 16> into;
  BOOST_TEST(co_await b.receive(into) == 4u);
  for (int i = 0; i != 2; ++i) {
    BOOST_CHECK_EXCEPTION(co_await b.receive(into), system_error, is(errc::connection_reset));
    BOOST_CHECK_EXCEPTION(co_await b.send("x"), system_error, is(errc::connection_reset));
  }
}

COROUTINE_TEST_CASE(ends_move_while_they_wait_and_are_destroyed_in_any_order) {
  auto [a, b] = memory_pair();
  std::optional<memory_stream> moved;
  std::array<char, 16> into;
  const auto receive = [&]() -> task<> { BOOST_TEST(co_await b.receive(into) == 2u); };
  const auto move = [&]() -> task<> {
    co_await cosock::yield();
    moved.emplace(std::move(b));
    BOOST_TEST(!b.is_open());
    BOOST_TEST(b.available() == 0u);
    co_await a.send("it");
  };
  co_await cosock::when_all(receive(), move());
  auto [c, d] = memory_pair();
  a = std::move(c);  // ends the first connection
  BOOST_TEST(co_await moved->receive(into) == 0u);
  BOOST_CHECK_EXCEPTION(co_await moved->send("x"), system_error, is(errc::broken_pipe));
  co_await d.send("new");
  BOOST_TEST(co_await a.receive(into) == 3u);
  moved.reset();
}

COROUTINE_TEST_CASE(a_lockstep_send_waits_until_all_its_bytes_were_asked_for) {
  auto [a, b] = lockstep_pair();
  bool sent = false;
  const auto send = [&]() -> task<> {
    co_await a.send("abcdef");
    sent = true;
  };
  const auto receive = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) co_await cosock::yield();
    BOOST_TEST(!sent);
    std::array<char, 4> into;
    BOOST_TEST(co_await b.receive(into) == 4u);
    for (int i = 0; i != 5; ++i) co_await cosock::yield();
    BOOST_TEST(!sent);
    BOOST_TEST(co_await b.receive(into) == 2u);
  };
  co_await cosock::when_all(send(), receive());
  BOOST_TEST(sent);
  BOOST_TEST(!a.try_send_some("x"));
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, a.wait_writable()), system_error,
                        is(error::timed_out));
}

COROUTINE_TEST_CASE(a_program_that_relies_on_buffers_is_found_by_a_lockstep_pair) {
  const auto greets_first = [](byte_stream& s) -> task<> {
    std::array<char, 5> into;
    co_await s.send("hello");
    co_await s.receive_exactly(into);
  };
  auto [a, b] = memory_pair();
  co_await cosock::when_all(greets_first(a), greets_first(b));
  auto [c, d] = lockstep_pair();
  BOOST_CHECK_EXCEPTION(
      co_await cosock::with_timeout(1ms, cosock::when_all(greets_first(c), greets_first(d))),
      system_error, is(error::timed_out));
}

COROUTINE_TEST_CASE(what_is_zero_is_refused_by_name) {
  BOOST_CHECK_EXCEPTION(static_cast<void>(memory_pair({.room = 0})), std::invalid_argument,
                        zero_of("room is 0; it is at least 1"));
  BOOST_CHECK_EXCEPTION(static_cast<void>(memory_pair({.piece = 0})), std::invalid_argument,
                        zero_of("piece is 0; it is at least 1"));
  BOOST_CHECK_EXCEPTION(memory_listener({.backlog = 0}), std::invalid_argument,
                        zero_of("backlog is 0; it is at least 1"));
  BOOST_CHECK_EXCEPTION(memory_listener({.connection = {.room = 0}}), std::invalid_argument,
                        zero_of("room or piece of 0"));
  co_return;
}

BOOST_AUTO_TEST_CASE(a_pair_needs_a_loop) {
  BOOST_CHECK_THROW(static_cast<void>(memory_pair()), std::logic_error);
}

COROUTINE_TEST_CASE(serve_takes_connections_of_a_listener) {
  memory_listener listener;
  cosock::server_handle handle;
  const auto echo = [](byte_stream& peer) -> task<> {
    std::array<char, 16> into;
    while (const std::size_t n = co_await peer.receive(into))
      co_await peer.send(cosock::buffer(into, n));
  };
  const auto clients = [&]() -> task<> {
    for (int i = 0; i != 100; ++i) {
      memory_stream client = co_await listener.connect();
      co_await client.send("echo");
      std::array<char, 4> into;
      co_await client.receive_exactly(into);
      BOOST_TEST(std::string(into.data(), 4) == "echo");
    }
    listener.fail({EMFILE, boost::system::system_category()});  // temporary
    memory_stream last = co_await listener.connect();
    last.close();
    handle.stop();
  };
  const auto ignored = [](const std::exception_ptr&) {};
  co_await cosock::when_all(cosock::serve(listener, echo, handle, {.on_error = ignored}),
                            clients());
  BOOST_TEST(!listener.is_open());
  BOOST_CHECK_EXCEPTION(co_await listener.connect(), system_error, is(errc::connection_refused));
  BOOST_TEST(handle.counters().accepted >= 100u);
  BOOST_CHECK_EXCEPTION(co_await listener.accept(), system_error, is(error::closed));
  BOOST_CHECK_EXCEPTION(listener.fail(make_error_code(errc::io_error)), system_error,
                        is(error::closed));
}

COROUTINE_TEST_CASE(a_full_backlog_makes_connect_wait_and_fail_throw) {
  memory_listener listener({.backlog = 1});
  memory_stream first = co_await listener.connect();
  BOOST_CHECK_THROW(listener.fail(make_error_code(errc::io_error)), std::length_error);
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, listener.connect()), system_error,
                        is(error::timed_out));
  const auto refused = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await listener.connect(), system_error, is(errc::connection_refused));
  };
  const auto close = [&]() -> task<> {
    co_await cosock::yield();
    listener.close();
  };
  co_await cosock::when_all(refused(), close());
  std::array<char, 4> into;
  BOOST_TEST(co_await first.receive(into) == 0u);  // it was not accepted
}
