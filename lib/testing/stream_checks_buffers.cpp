// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Empty, scattered and partly filled buffers.

#include "testing/stream_checks.hpp"

#include <cosock/when.hpp>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cosock::testing::detail {

STREAM_CHECK(send_empty) {
  const std::vector<std::string> none;
  const std::vector<std::string> blank(3);
  pending_op read;
  char into[8];
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return b.receive(into); });
    EXPECT(co_await a.send("") == 0u);
    EXPECT(co_await a.send(const_buffer()) == 0u);
    EXPECT(co_await a.send_some(std::string()) == 0u);
    EXPECT(co_await a.send(none) == 0u);
    EXPECT(co_await a.send(blank) == 0u);
    EXPECT(co_await a.send_some(blank) == 0u);
    co_await let_others_run();
    EXPECT(!read.done);
    n.cancel();
  });
  co_await round_trip(a, b);
}

STREAM_CHECK(send_empty_then_data) {
  char into[8] = {};
  co_await a.send("");
  co_await a.send("x");
  EXPECT(co_await b.receive(into) == 1u);
  EXPECT(into[0] == 'x');
}

STREAM_CHECK(buffer_kinds) {
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
  EXPECT(got == "string vec b chr literal view b strtwo parts ");
}

STREAM_CHECK(read_exactly_split_everywhere) {
  byte_pattern l;
  constexpr std::size_t size = 24;
  char into[size];
  for (std::size_t split = 0; split <= size; ++split) {
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return b.receive_exactly(into); });
      co_await send(a, l, split);
      co_await let_others_run();
      EXPECT(read.done == (split == size));
      co_await send(a, l, size - split);
    });
    EXPECT(read.result.bytes == size);
    EXPECT(l.received(into, size));
  }
  for (std::size_t cut = 0; cut != size; ++cut) {
    const stream_pair pair = co_await of.make_pair();
    byte_pattern short_one;
    co_await send(*pair.first, short_one, cut);
    pair.first->close();
    const outcome o = co_await outcome_of(pair.second->receive_exactly(into));
    EXPECT(o.is(cosock::error::end_of_stream));
    EXPECT(o.bytes == cut);
    EXPECT(short_one.received(into, o.bytes));
  }
}

STREAM_CHECK(scatter_gather) {
  byte_pattern l;
  for (const std::size_t count : {0, 1, 1024, 1025, 2000}) {
    for (const std::size_t each : {1, 3, 4000}) {
      WITH_INFO(count << " buffers of up to " << each);
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
      EXPECT(sent == size);
      EXPECT(got == size);
      EXPECT(l.received(memory.data(), got));
    }
  }
  char first[2];
  char last[10];
  const std::array<mutable_buffer, 3> parts = {first, mutable_buffer(), last};
  co_await a.send("12345");
  EXPECT(co_await b.receive(parts) == 5u);
  EXPECT(std::string_view(first, 2) == "12");
  EXPECT(std::string_view(last, 3) == "345");
  co_await round_trip(a, b);
}

STREAM_CHECK(zero_byte_read) {
  const std::vector<mutable_buffer> none;
  const std::vector<mutable_buffer> blank(2);
  for (int round = 0; round != 2; ++round) {
    EXPECT(co_await b.receive(mutable_buffer()) == 0u);
    EXPECT(co_await b.receive_exactly(mutable_buffer()) == 0u);
    EXPECT(co_await b.receive(none) == 0u);
    EXPECT(co_await b.receive(blank) == 0u);
    EXPECT(co_await b.receive_exactly(blank) == 0u);
    if (round == 0) co_await a.send("data");
    co_await let_others_run();
  }
  char into[8];
  EXPECT(co_await b.receive(into) == 4u);
  a.close();
  EXPECT(co_await b.receive(mutable_buffer()) == 0u);
  EXPECT(co_await b.receive_exactly(mutable_buffer()) == 0u);
}

/// A gather that was stopped half way says where.
STREAM_CHECK(write_vector_partial) {
  byte_pattern l;
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
    pending_op write;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, write, [&] { return scope.run(a.send(from)); });
      co_await let_others_run();
      co_await drain(b, l);  // makes room
      co_await let_others_run();
      scope.cancel();
    });
    EXPECT(write.result.bytes <= size);
    if (write.result.bytes != size) EXPECT(write.result.is(cosock::error::cancelled));
    l.sent(write.result);
    co_await drain(b, l);
    co_await clog(a, l);
  }
  co_await drain(b, l);
  co_await round_trip(a, b);
}

STREAM_CHECK(send_some_sends_what_fits) {
  byte_pattern l;
  const std::size_t n = co_await a.send_some(l.next(huge));
  l.sent(n);
  EXPECT(n > 0u);
  EXPECT(n < huge);
  co_await drain(b, l);
  const std::array<std::string_view, 3> parts = {"", "gat", "her"};
  char into[6];
  const std::size_t some = co_await a.send_some(parts);
  EXPECT(some > 0u);
  REQUIRE(some <= 6u);
  co_await b.receive_exactly(cosock::buffer(into, some));
  EXPECT(std::string_view("gather").starts_with(std::string_view(into, some)));
}

std::span<const stream_check_entry> buffers_checks() {
  static constexpr stream_check_entry all[] = {
      {"send_empty", &send_empty, 0},
      {"send_empty_then_data", &send_empty_then_data, needs::buffers},
      {"buffer_kinds", &buffer_kinds, needs::buffers | needs::bytes | needs::delivers_after_close},
      {"read_exactly_split_everywhere", &read_exactly_split_everywhere,
       needs::buffers | needs::delivers_after_close},
      {"scatter_gather", &scatter_gather, needs::buffers | needs::bytes},
      {"zero_byte_read", &zero_byte_read, needs::buffers},
      {"write_vector_partial", &write_vector_partial, needs::bytes | needs::bounded},
      {"send_some_sends_what_fits", &send_some_sends_what_fits,
       needs::buffers | needs::bytes | needs::bounded},
  };
  return all;
}

}  // namespace cosock::testing::detail
