// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Empty, scattered and partly filled buffers.

#include <cosock/when.hpp>

#include "stream_check.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace test::stream_conformance {

STREAM_CHECK(SendEmpty) {
  const std::vector<std::string> none;
  const std::vector<std::string> blank(3);
  beside read;
  char into[8];
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return b.receive(into); });
    BOOST_TEST(co_await a.send("") == 0u);
    BOOST_TEST(co_await a.send(const_buffer()) == 0u);
    BOOST_TEST(co_await a.send_some(std::string()) == 0u);
    BOOST_TEST(co_await a.send(none) == 0u);
    BOOST_TEST(co_await a.send(blank) == 0u);
    BOOST_TEST(co_await a.send_some(blank) == 0u);
    co_await settle();
    BOOST_TEST(!read.done);
    n.cancel();
  });
  co_await round_trip(a, b);
}

STREAM_CHECK(SendEmptyThenData) {
  char into[8] = {};
  co_await a.send("");
  co_await a.send("x");
  BOOST_TEST(co_await b.receive(into) == 1u);
  BOOST_TEST(into[0] == 'x');
}

STREAM_CHECK(BufferKinds, &kind::bytes, &kind::delivers_after_close) {
  const std::string string = "string ";
  const std::vector<unsigned char> vector = {'v', 'e', 'c', ' '};
  std::array<std::byte, 2> bytes = {std::byte{'b'}, std::byte{' '}};
  char chars[4] = {'c', 'h', 'r', ' '};
  const std::array<const_buffer, 2> two = {const_buffer("two "), const_buffer("parts ")};
  co_await a.send(string);
  co_await a.send(vector);
  co_await a.send(bytes);
  co_await a.send(chars);
  co_await a.send("literal ");
  co_await a.send(std::string_view("view "));
  co_await a.send(std::span(bytes));
  co_await a.send(cosock::buffer(string, 3));
  co_await a.send(two);
  a.close();

  std::string got;
  std::string into_string(5, '\0');
  std::vector<std::byte> into_vector(5);
  unsigned char into_array[5];
  const auto take = [&](const auto& from, std::size_t n) {
    got.append(reinterpret_cast<const char*>(std::data(from)), n);
  };
  take(into_string, co_await b.receive(into_string));
  take(into_vector, co_await b.receive(into_vector));
  take(into_array, co_await b.receive(into_array));
  take(into_vector, co_await b.receive(std::span(into_vector).first(1)));
  while (const std::size_t n = co_await b.receive(cosock::buffer(into_vector.data(), 4)))
    take(into_vector, n);
  BOOST_TEST(got == "string vec b chr literal view b strtwo parts ");
}

STREAM_CHECK(ReadExactlySplitEverywhere, &kind::delivers_after_close) {
  ledger l;
  constexpr std::size_t size = 24;
  char into[size];
  for (std::size_t split = 0; split <= size; ++split) {
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return b.receive_exactly(into); });
      co_await send(a, l, split);
      co_await settle();
      BOOST_TEST(read.done == (split == size));
      co_await send(a, l, size - split);
    });
    BOOST_TEST(read.result.bytes == size);
    BOOST_TEST(l.received(into, size));
  }
  for (std::size_t cut = 0; cut != size; ++cut) {
    const stream_pair pair = co_await of.make_pair();
    ledger short_one;
    co_await send(*pair.first, short_one, cut);
    pair.first->close();
    const outcome o = co_await outcome_of(pair.second->receive_exactly(into));
    BOOST_TEST(o.is(cosock::error::end_of_stream));
    BOOST_TEST(o.bytes == cut);
    BOOST_TEST(short_one.received(into, o.bytes));
  }
}

STREAM_CHECK(ScatterGather, &kind::bytes) {
  ledger l;
  for (const std::size_t count : {0, 1, 1024, 1025, 2000}) {
    for (const std::size_t each : {1, 3, 4000}) {
      BOOST_TEST_INFO_SCOPE(count << " buffers of up to " << each);
      // Some are empty, and the receiver cuts elsewhere.
      std::vector<const_buffer> from;
      std::size_t size = 0;
      for (std::size_t i = 0; i != count; ++i) {
        const std::size_t n = i % 7 == 3 ? 0 : 1 + i % each;
        from.emplace_back(pattern().data() + (l.in + size) % period, n);
        size += n;
      }
      std::vector<char> memory(size);
      std::vector<mutable_buffer> into;
      for (std::size_t filled = 0, i = 0; filled != size; ++i) {
        const std::size_t n = i % 5 == 2 ? 0 : std::min(size - filled, 1 + i % (2 * each));
        into.emplace_back(memory.data() + filled, n);
        filled += n;
      }
      l.sent(size);
      const auto [sent, got] = co_await cosock::when_all(a.send(from), b.receive_exactly(into));
      BOOST_TEST(sent == size);
      BOOST_TEST(got == size);
      BOOST_TEST(l.received(memory.data(), got));
    }
  }
  char first[2];
  char last[10];
  const std::array<mutable_buffer, 3> parts = {first, mutable_buffer(), last};
  co_await a.send("12345");
  BOOST_TEST(co_await b.receive(parts) == 5u);
  BOOST_TEST(std::string_view(first, 2) == "12");
  BOOST_TEST(std::string_view(last, 3) == "345");
  co_await round_trip(a, b);
}

STREAM_CHECK(ZeroByteRead) {
  const std::vector<mutable_buffer> none;
  const std::vector<mutable_buffer> blank(2);
  for (int round = 0; round != 2; ++round) {
    BOOST_TEST(co_await b.receive(mutable_buffer()) == 0u);
    BOOST_TEST(co_await b.receive_exactly(mutable_buffer()) == 0u);
    BOOST_TEST(co_await b.receive(none) == 0u);
    BOOST_TEST(co_await b.receive(blank) == 0u);
    BOOST_TEST(co_await b.receive_exactly(blank) == 0u);
    if (round == 0) co_await a.send("data");
    co_await settle();
  }
  char into[8];
  BOOST_TEST(co_await b.receive(into) == 4u);
  a.close();
  BOOST_TEST(co_await b.receive(mutable_buffer()) == 0u);
  BOOST_TEST(co_await b.receive_exactly(mutable_buffer()) == 0u);
}

/// A gather that was stopped half way says where.
STREAM_CHECK(WriteVectorPartial, &kind::bytes, &kind::bounded) {
  ledger l;
  co_await clog(a, l);
  for (int round = 0; round != 5; ++round) {
    std::vector<const_buffer> from;
    std::size_t size = 0;
    for (int i = 0; i != 2000; ++i) {
      const std::size_t n = i * 7919 % 9000;
      from.emplace_back(pattern().data() + (l.in + size) % period, n);
      size += n;
    }
    cancel_scope scope;
    beside write;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, write, [&] { return scope.run(a.send(from)); });
      co_await settle();
      co_await drain(b, l);  // makes room
      co_await settle();
      scope.cancel();
    });
    BOOST_TEST(write.result.bytes <= size);
    if (write.result.bytes != size) BOOST_TEST(write.result.is(cosock::error::cancelled));
    l.sent(write.result);
    co_await drain(b, l);
    co_await clog(a, l);
  }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(SendSomeSendsWhatFits, &kind::bytes, &kind::bounded) {
  ledger l;
  const std::size_t n = co_await a.send_some(l.next(huge));
  l.sent(n);
  BOOST_TEST(n > 0u);
  BOOST_TEST(n < huge);
  co_await drain(b, l);
  const std::array<std::string_view, 3> parts = {"", "gat", "her"};
  char into[6];
  const std::size_t some = co_await a.send_some(parts);
  BOOST_TEST(some > 0u);
  BOOST_REQUIRE(some <= 6u);
  co_await b.receive_exactly(cosock::buffer(into, some));
  BOOST_TEST(std::string_view("gather").starts_with(std::string_view(into, some)));
}

}  // namespace test::stream_conformance
