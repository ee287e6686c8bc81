// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sockets of messages: each arrives whole, alone and in order.

#include <cosock/local.hpp>

#define BOOST_TEST_MODULE local_messages
#include "local_operations.hpp"

#include <cosock/when.hpp>

#include <array>
#include <string_view>
#include <vector>

namespace {

using namespace test;
using cosock::local_pair;
using cosock::local_seqpacket_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(messages)

namespace {

using pair = std::pair<local_seqpacket_socket, local_seqpacket_socket>;
pair message_pair() { return local_pair<local_seqpacket_socket>(); }

}  // namespace

COROUTINE_TEST_CASE(each_receive_gives_one_message) {
  auto [a, b] = message_pair();
  char into[16];
  co_await a.send("one");
  BOOST_TEST(co_await a.send_some("three") == 5u);
  const std::array<std::string_view, 3> parts = {"se", "", "ven"};
  BOOST_TEST(co_await a.send(parts) == 5u);
  BOOST_TEST(co_await b.receive(into) == 3u);
  BOOST_TEST(co_await b.receive(into) == 5u);
  char first[3];
  const std::array<mutable_buffer, 2> scattered = {mutable_buffer(first), mutable_buffer(into)};
  BOOST_TEST(co_await b.receive(scattered) == 5u);
  BOOST_TEST(std::string_view(first, 3) == "sev");
  BOOST_TEST(std::string_view(into, 2) == "en");
}

COROUTINE_TEST_CASE(a_message_that_does_not_fit_is_an_error_with_the_part_that_did) {
  auto [a, b] = message_pair();
  char into[8] = {};
  const auto check = [&](auto op, std::size_t there) -> task<> {
    const outcome o = co_await outcome_of(std::move(op));
    BOOST_TEST(o.is(cosock::error::message_truncated));
    BOOST_TEST(o.error == errc::message_size);
    BOOST_TEST(o.bytes == there);
  };
  for (const std::size_t room : {1, 3, 4}) {
    co_await a.send("12345");
    co_await a.send("next");
    co_await check(b.receive(cosock::buffer(into, room)), room);
    BOOST_TEST(std::string_view(into, room) == std::string_view("12345", room));
    BOOST_TEST(co_await b.receive(into) == 4u);  // only that one was cut
  }
  co_await a.send("12345");
  BOOST_TEST(co_await b.receive(cosock::buffer(into, 5)) == 5u);
  const std::array<mutable_buffer, 2> four = {mutable_buffer(into, 1), mutable_buffer(into + 1, 3)};
  co_await a.send("12345");
  co_await check(b.receive(four), 4);
  // Several messages fill a buffer, and one that goes beyond its end is cut.
  co_await a.send("123");
  co_await a.send("45678");
  BOOST_TEST(co_await b.receive_exactly(into) == 8u);
  BOOST_TEST(std::string_view(into, 8) == "12345678");
  co_await a.send("123");
  co_await a.send("456789");
  co_await check(b.receive_exactly(into), 8);
  co_await round_trip(a, b);
  // It waits when the message comes.
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return b.receive(cosock::buffer(into, 4)); });
    co_await let_others_run();
    co_await a.send("12345");
  });
  BOOST_TEST(read.result.is(cosock::error::message_truncated));
  BOOST_TEST(read.result.bytes == 4u);
}

COROUTINE_TEST_CASE(receive_message_tells_the_size_a_message_had) {
  auto [a, b] = message_pair();
  char into[8];
  for (const std::size_t room : {0, 1, 4, 5, 8}) {
    BOOST_TEST_INFO_SCOPE("room for " << room);
    co_await a.send("12345");
    const cosock::receive_result r = co_await b.receive_message(cosock::buffer(into, room));
    BOOST_TEST(r.size == std::min<std::size_t>(room, 5));
    BOOST_TEST(r.length == 5u);
    BOOST_TEST(r.truncated == (room < 5));
    BOOST_TEST(!r.end);
    BOOST_TEST(std::string_view(into, r.size) == std::string_view("12345", r.size));
  }
}

/// The empty message and the end look the same to recv(2).
COROUTINE_TEST_CASE(an_empty_message_is_not_the_end) {
  for (const bool pending : {false, true}) {
    auto [raw, peer] = raw_local::pair(SOCK_SEQPACKET);
    BOOST_REQUIRE(peer.send(""));  // before the socket is ours, too
    local_seqpacket_socket b = local_seqpacket_socket::adopt(raw.release());
    char into[8];
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return b.receive(into); });
      if (pending) co_await let_others_run();
      for (int i = 0; i != 100; ++i) BOOST_REQUIRE(peer.send(""));
      co_await let_others_run();
      BOOST_TEST(!read.done);
      BOOST_REQUIRE(peer.send("data"));
    });
    BOOST_TEST(read.result.bytes == 4u);
    BOOST_REQUIRE(peer.send(""));
    BOOST_REQUIRE(peer.send("12345678"));
    BOOST_TEST(co_await b.receive_exactly(into) == 8u);
    BOOST_REQUIRE(peer.send(""));
    const cosock::receive_result empty = co_await b.receive_message(into);
    BOOST_TEST(empty.size == 0u);
    BOOST_TEST(!empty.end);
    BOOST_REQUIRE(peer.send(""));
    peer.close();
    const cosock::receive_result last = co_await b.receive_message(mutable_buffer());
    BOOST_TEST(!last.end);
    BOOST_TEST(!last.truncated);
    for (int i = 0; i != 2; ++i) {
      const cosock::receive_result end = co_await b.receive_message(into);
      BOOST_TEST(end.end);
      BOOST_TEST(end.length == 0u);
      BOOST_TEST(co_await b.receive(into) == 0u);
    }
  }
}

/// A peer that sends nothing but empty messages keeps no other task from running.
COROUTINE_TEST_CASE(empty_messages_without_end_let_others_have_their_turn) {
  auto [a, b] = message_pair();
  char into[8];
  int turns = 0;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await b.receive(into); });
    n.start([&]() -> task<> {
      for (;;) (void)co_await a.send_message(const_buffer());
    });
    for (; turns != 100; ++turns) co_await cosock::yield();
    n.cancel();
  });
  BOOST_TEST(turns == 100);
}

COROUTINE_TEST_CASE(send_message_sends_empty_ones_too) {
  auto [a, b] = message_pair();
  char into[8];
  BOOST_TEST(co_await a.send_message(const_buffer()) == 0u);
  BOOST_TEST(co_await a.send_message("data") == 4u);
  const cosock::receive_result empty = co_await b.receive_message(into);
  BOOST_TEST((empty.length == 0u && !empty.end));
  const cosock::receive_result data = co_await b.receive_message(into);
  BOOST_TEST(data.size == 4u);
  // While send() of nothing does nothing.
  BOOST_TEST(co_await a.send("") == 0u);
  co_await a.send("data");
  const cosock::receive_result next = co_await b.receive_message(into);
  BOOST_TEST(next.size == 4u);
}

COROUTINE_TEST_CASE(a_message_that_is_too_large_is_refused_whole) {
  auto [a, b] = message_pair();
  a.set_send_buffer(10'000);
  const std::vector<char> large(30'000);
  const std::vector<std::string_view> pieces(1025, "x");
  for (auto* call : {+[](local_seqpacket_socket& s, const_buffer b) { return s.send(b); },
                     +[](local_seqpacket_socket& s, const_buffer b) { return s.send_some(b); }}) {
    const outcome o = co_await outcome_of(call(a, large));
    BOOST_TEST(o.error == errc::message_size);
    BOOST_TEST(o.bytes == 0u);
  }
  BOOST_TEST((co_await outcome_of(a.send_message(large))).error == errc::message_size);
  BOOST_TEST((co_await outcome_of(a.send(pieces))).error == errc::message_size);
  const std::vector<std::string_view> as_many(1024, "x");
  BOOST_TEST(co_await a.send(as_many) == 1024u);
  std::vector<char> memory(2000);
  std::vector<mutable_buffer> bytes;
  for (char& c : memory) bytes.emplace_back(&c, 1);
  BOOST_TEST(co_await b.receive(bytes) == 1024u);
  co_await round_trip(a, b);
}

/// Larger than what one call moves elsewhere.
COROUTINE_TEST_CASE(a_large_message_goes_whole) {
  auto [a, b] = message_pair();
  const int size = 8 << 20;
  if (::setsockopt(a.native_handle(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
    co_return;
  std::vector<char> into(3'000'000);
  BOOST_TEST(co_await a.send(const_buffer(pattern().data(), into.size())) == into.size());
  BOOST_TEST(co_await b.receive(into) == into.size());
  BOOST_TEST((std::memcmp(into.data(), pattern().data(), into.size()) == 0));
}

COROUTINE_TEST_CASE(sends_that_wait_go_out_whole_and_in_order) {
  auto [a, b] = message_pair();
  constexpr int count = 5000;
  const auto write = [&]() -> task<> {
    for (int i = 0; i != count; ++i) {
      const std::size_t size = 4 + i % 3000;
      std::vector<char> message(size, static_cast<char>(i));
      std::memcpy(message.data(), &i, sizeof i);
      BOOST_REQUIRE(co_await a.send(message) == size);
    }
    a.close();
  };
  int expected = 0;
  const auto read = [&]() -> task<> {
    std::vector<char> into(4000);
    while (const std::size_t n = co_await b.receive(into)) {
      int number = 0;
      std::memcpy(&number, into.data(), sizeof number);
      BOOST_REQUIRE(number == expected);
      BOOST_REQUIRE(n == 4u + static_cast<std::size_t>(expected % 3000));
      ++expected;
    }
  };
  co_await cosock::when_all(write(), read());
  BOOST_TEST(expected == count);
}

COROUTINE_TEST_CASE(operations_on_messages_end_as_all_others_do) {
  char into[8];
  const std::vector<char> message(1000);
  co_await check_endings<local_seqpacket_socket>(
      false, [&](local_seqpacket_socket& s) { return s.receive_message(into); });
  co_await check_endings<local_seqpacket_socket>(
      true, [&](local_seqpacket_socket& s) { return s.send_message(message); });
}

BOOST_AUTO_TEST_CASE(loops_end_under_operations_on_messages) {
  char into[8];
  const std::vector<char> message(1000);
  check_loops<local_seqpacket_socket>(
      false, [&](local_seqpacket_socket& s) { return s.receive_message(into); });
  check_loops<local_seqpacket_socket>(
      true, [&](local_seqpacket_socket& s) { return s.send_message(message); });
}

COROUTINE_TEST_CASE(a_cancelled_receive_message_loses_none) {
  auto [a, b] = message_pair();
  char into[8];
  co_await check_races([&] { return b.receive_message(into); }, [&] { return a.send("data"); });
  co_await check_races([&] { return b.receive(into); }, [&] { return a.send("data"); });
}

BOOST_AUTO_TEST_SUITE_END()
