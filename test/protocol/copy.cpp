// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/copy.hpp>

#define BOOST_TEST_MODULE copy
#include "manual_event.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <cosock/connect.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/nursery.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>
#include <pty.h>
#include <termios.h>

#include <memory>
#include <string>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::copy_both;
using cosock::copy_result;
using cosock::error;
using cosock::nursery;
using cosock::task;
using cosock::tcp_socket;
using cosock::with_nursery;
using test::byte_pattern;
using test::is;
using test::let_others_run;
using test::scripted_stream;
namespace errc = boost::system::errc;

/// Two connections, and a proxy between them.
struct chain {
  tcp_socket client;
  tcp_socket front;
  tcp_socket back;
  tcp_socket server;
};
task<std::pair<tcp_socket, tcp_socket>> connected() {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  const auto at = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(cosock::connect(at), acceptor.accept());
  co_return std::pair(std::move(client), std::move(server));
}
task<> make(chain& c) {
  auto one = co_await connected();
  auto other = co_await connected();
  c.client = std::move(one.first);
  c.front = std::move(one.second);
  c.back = std::move(other.first);
  c.server = std::move(other.second);
}

/// Pipes of at least so many bytes that are open.
std::size_t pipes(int bytes) {
  std::size_t ends = 0;
  for (int fd = 0; fd != 400; ++fd) ends += ::fcntl(fd, F_GETPIPE_SZ) >= bytes;
  return ends / 2;
}

/// The number of bytes of a transfer_error.
task<std::size_t> bytes_of_error(task<std::uint64_t> copying, boost::system::error_code expected) {
  try {
    const auto bytes = co_await std::move(copying);
    BOOST_ERROR("copied " << bytes << " bytes without an error");
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST(e.code() == expected);
    co_return e.bytes_transferred();
  } catch (const system_error& e) {
    BOOST_TEST(e.code() == expected);
  }
  co_return 0;
}

}  // namespace

COROUTINE_TEST_CASE(a_copy_is_whole_whatever_the_pieces) {
  for (const std::size_t buffer : {0u, 1u, 3u, 1000u}) {
    const auto from = co_await test::make_scripted_stream();
    const auto to = co_await test::make_scripted_stream();
    from->push("one");
    from->push_each("two");
    from->push("and three");
    from->end();
    BOOST_TEST((co_await cosock::copy(*from, *to, {.buffer = buffer})) == 15u);
    BOOST_TEST(to->sent() == "onetwoand three");
    BOOST_TEST(!to->is_shut());
    BOOST_TEST((to->is_open() && from->is_open()));
    BOOST_TEST((co_await cosock::copy(*from, *to)) == 0u);
  }
}

COROUTINE_TEST_CASE(an_error_says_how_many_bytes_had_gone) {
  for (const std::size_t room : {0u, 1u, 4u, 5u}) {
    const auto from = co_await test::make_scripted_stream();
    const auto to = co_await test::make_scripted_stream();
    from->push("abc");
    from->push("def");
    to->set_room(room);
    to->fail_send(EPIPE);
    const boost::system::error_code broken(EPIPE, boost::system::system_category());
    BOOST_TEST((co_await bytes_of_error(cosock::copy(*from, *to), broken)) == room);
  }
  const auto from = co_await test::make_scripted_stream();
  const auto to = co_await test::make_scripted_stream();
  from->push("abc");
  from->fail_receive(ECONNRESET);
  BOOST_TEST((co_await bytes_of_error(cosock::copy(*from, *to), test::reset_by_peer())) == 3u);
  to->close();
  from->push("abc");
  BOOST_CHECK_EXCEPTION(co_await cosock::copy(*from, *to), system_error, is(error::closed));
}

COROUTINE_TEST_CASE(a_copy_that_is_cancelled_says_how_many_bytes_had_gone) {
  const auto from = co_await test::make_scripted_stream();
  const auto to = co_await test::make_scripted_stream();
  from->push("abc");
  const auto timed_out = make_error_code(error::timed_out);
  const auto limited = [&]() -> task<std::uint64_t> {
    co_return co_await cosock::with_timeout(200us, cosock::copy(*from, *to));
  };
  BOOST_TEST((co_await bytes_of_error(limited(), timed_out)) == 3u);
  BOOST_TEST((co_await bytes_of_error(limited(), timed_out)) == 0u);
  to->set_room(2);
  from->push("def");
  BOOST_TEST((co_await bytes_of_error(limited(), timed_out)) == 2u);
  cosock::cancel_scope scope;
  scope.cancel();
  from->push("ghi");
  BOOST_CHECK_EXCEPTION(co_await scope.run(cosock::copy(*from, *to)), system_error,
                        is(error::cancelled));
  BOOST_TEST(from->pieces_left() == 1u);
}

COROUTINE_TEST_CASE(much_is_copied_between_sockets_in_both_directions) {
  chain c;
  co_await make(c);
  static constexpr std::size_t much = 48 << 20;
  byte_pattern there;
  byte_pattern back;
  copy_result result;
  const auto send_all = [](tcp_socket& to, byte_pattern& l) -> task<> {
    co_await test::send(to, l, much);
    to.shutdown_send();
  };
  const auto receive_all = [](tcp_socket& from, byte_pattern& l) -> task<> {
    std::vector<char> into(300'000);
    while (const std::size_t n = co_await from.receive(into))
      BOOST_REQUIRE(l.received(into.data(), n));
    BOOST_TEST(l.out == much);
  };
  const std::size_t before = test::open_descriptors();
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(send_all, std::ref(c.client), std::ref(there));
    n.start(send_all, std::ref(c.server), std::ref(back));
    n.start(receive_all, std::ref(c.server), std::ref(there));
    n.start(receive_all, std::ref(c.client), std::ref(back));
    result = co_await copy_both(c.front, c.back);
  });
  BOOST_TEST(!result.error);
  BOOST_TEST(result.first_to_second == much);
  BOOST_TEST(result.second_to_first == much);
  BOOST_TEST(test::open_descriptors() == before);
}

COROUTINE_TEST_CASE(of_many_copies_at_once_only_some_have_large_pipes) {
  static constexpr std::size_t copies = 20;
  bool all_there = false;
  const auto pass_on = [&]() -> task<> {
    chain c;
    co_await make(c);
    byte_pattern there;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        while (!all_there) co_await test::send(c.client, there, 256 << 10);
        c.client.shutdown_send();
        c.server.shutdown_send();
      });
      n.start([&] { return test::drain_to_end(c.server, there); });
      const copy_result result = co_await copy_both(c.front, c.back);
      BOOST_TEST(!result.error);
    });
  };
  const std::size_t before = pipes(0);
  for (int round = 0; round != 2; ++round) {
    all_there = false;
    co_await with_nursery([&](nursery& n) -> task<> {
      for (std::size_t i = 0; i != copies; ++i) n.start(std::cref(pass_on));
      while (pipes(0) != before + copies) co_await cosock::yield();
      BOOST_TEST(pipes(1 << 20) <= 16u);
      all_there = true;
    });
    BOOST_TEST(pipes(0) == before);
  }
}

COROUTINE_TEST_CASE(one_direction_goes_on_after_the_other_has_ended) {
  chain c;
  co_await make(c);
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      const copy_result result = co_await copy_both(c.front, c.back);
      BOOST_TEST(!result.error);
      BOOST_TEST(result.first_to_second == 7u);
      BOOST_TEST(result.second_to_first == 6u);
    });
    char into[10];
    co_await c.client.send("request");
    c.client.shutdown_send();
    co_await c.server.receive_exactly(cosock::buffer(into, 7));
    BOOST_TEST((co_await c.server.receive(into)) == 0u);
    co_await c.server.send("answer");
    co_await c.client.receive_exactly(cosock::buffer(into, 6));
    c.server.close();
    BOOST_TEST((co_await c.client.receive(into)) == 0u);
  });
}

/// A terminal has no end of its own to pass on; what it sends later is still copied.
COROUTINE_TEST_CASE(a_stream_that_cannot_be_shut_down_goes_on_receiving) {
  auto [client, front] = co_await connected();
  int ends[2];
  termios raw = {};
  ::cfmakeraw(&raw);
  BOOST_REQUIRE(::openpty(&ends[0], &ends[1], nullptr, &raw, nullptr) == 0);
  auto terminal = cosock::descriptor_stream::adopt(ends[0]);
  auto other_end = cosock::descriptor_stream::adopt(ends[1]);
  for (const bool first : {true, false}) {
    BOOST_TEST_CONTEXT("the stream that ends is the " << (first ? "first" : "second")) {
      co_await with_nursery([&, &client = client, &front = front](nursery& n) -> task<> {
        n.start([&]() -> task<> {
          cosock::byte_stream& socket = front;
          cosock::byte_stream& end = terminal;
          const copy_result result = co_await copy_both(first ? socket : end, first ? end : socket);
          BOOST_TEST(!result.error);
          BOOST_TEST((first ? result.second_to_first : result.first_to_second) == 6u);
        });
        char into[10];
        client.shutdown_send();
        co_await let_others_run();
        co_await other_end.send("answer");
        BOOST_TEST((co_await client.receive_exactly(cosock::buffer(into, 6))) == 6u);
        other_end.close();
        BOOST_TEST((co_await client.receive(into)) == 0u);
      });
    }
    if (!first) break;
    auto again = co_await connected();
    client = std::move(again.first);
    front = std::move(again.second);
    BOOST_REQUIRE(::openpty(&ends[0], &ends[1], nullptr, &raw, nullptr) == 0);
    terminal = cosock::descriptor_stream::adopt(ends[0]);
    other_end = cosock::descriptor_stream::adopt(ends[1]);
  }
}

COROUTINE_TEST_CASE(an_error_in_one_direction_ends_both_and_the_numbers_are_kept) {
  const auto a = co_await test::make_scripted_stream();
  const auto b = co_await test::make_scripted_stream();
  a->push("abc");
  b->push("de");
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      const copy_result result = co_await copy_both(*a, *b);
      BOOST_TEST(result.error == test::reset_by_peer());
      BOOST_TEST(result.first_to_second == 3u);
      BOOST_TEST(result.second_to_first == 2u);
    });
    co_await let_others_run();
    a->fail_receive(ECONNRESET);
  });
  BOOST_TEST(b->sent() == "abc");
  BOOST_TEST(!b->is_shut());
}

COROUTINE_TEST_CASE(a_peer_that_goes_in_the_middle_of_much_is_an_error_and_no_signal) {
  for (const bool resets : {false, true}) {
    chain c;
    co_await make(c);
    byte_pattern there;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        static_cast<void>(co_await test::outcome_of(test::send(c.client, there, 32 << 20)));
      });
      n.start([&]() -> task<> {
        std::vector<char> into(1 << 20);
        co_await c.server.receive_exactly(into);
        co_await c.server.receive_exactly(into);
        if (resets) c.server.abort();
        c.server.close();
      });
      const copy_result result = co_await copy_both(c.front, c.back);
      BOOST_TEST(test::is_broken(result.error));
      BOOST_TEST(result.first_to_second >= 2u << 20);
      c.front.close();
    });
  }
}

COROUTINE_TEST_CASE(a_connection_that_was_lost_in_a_copy_stays_lost) {
  auto [source, from] = co_await connected();
  auto [sink, to] = co_await connected();
  co_await with_nursery(
      [&, &source = source, &from = from, &sink = sink, &to = to](nursery& n) -> task<> {
        n.start([&]() -> task<> {
          static_cast<void>(co_await as_result(source.send(std::string(8 << 20, 'x'))));
        });
        n.start([&]() -> task<> {
          std::string some(1 << 20, ' ');  // so that it is spliced
          co_await sink.receive_exactly(some);
          sink.abort();
        });
        const auto all = co_await as_result(cosock::copy(from, to));
        BOOST_TEST(!all);
        char byte[1];
        const auto end = co_await as_result(to.receive(byte));
        BOOST_TEST((end.error() == all.error()));
        BOOST_TEST((end.error() == errc::connection_reset));
        const auto again = co_await as_result(cosock::copy(to, from));
        BOOST_TEST((again.error() == errc::connection_reset));
        n.cancel();
      });
}

VIRTUAL_TEST_CASE(a_proxy_that_is_idle_for_too_long_ends) {
  const auto a = co_await test::make_scripted_stream();
  const auto b = co_await test::make_scripted_stream();
  cosock::clock::time_point last;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      // For longer than the limit, but never idle for that long.
      for (int i = 0; i != 60; ++i) {
        (i % 2 ? a : b)->push("x");
        last = cosock::now();
        co_await cosock::sleep_for(59s);
      }
    });
    const copy_result result = co_await copy_both(*a, *b, {.idle = 1min});
    BOOST_TEST((result.error == error::timed_out));
    BOOST_TEST(result.first_to_second == 30u);
    BOOST_TEST(result.second_to_first == 30u);
    const auto idle = cosock::now() - last;
    BOOST_TEST((idle >= 1min && idle <= 1min + test::tick));
  });
}

COROUTINE_TEST_CASE(a_proxy_that_is_cancelled_gives_its_numbers) {
  for (const bool before : {false, true}) {
    const auto a = co_await test::make_scripted_stream();
    const auto b = co_await test::make_scripted_stream();
    a->push("abc");
    cosock::cancel_scope scope;
    if (before) scope.cancel();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const copy_result result = co_await scope.run(copy_both(*a, *b));
        BOOST_TEST((result.error == error::cancelled));
        BOOST_TEST(result.first_to_second == (before ? 0u : 3u));
      });
      co_await let_others_run();
      scope.cancel();
    });
  }
}
