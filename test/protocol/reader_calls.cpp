// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Calls of every kind in a row, blocks, and the memory that they take.

#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE reader_calls
#include "allocations.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/when.hpp>

#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::buffered_reader;
using cosock::error;
using cosock::frame_format;
using cosock::frame_prefix;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::is;

}  // namespace

COROUTINE_TEST_CASE(what_follows_is_kept_for_the_next_call_whatever_it_is) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s);
  s->push("line\nuntil;12345678\0\0\0\2okreceive"s);
  const auto line = co_await reader.read_line();
  BOOST_TEST(line.value() == "line");
  BOOST_TEST(reader.buffered().starts_with("until"));
  const auto part = co_await reader.read_until(";");
  BOOST_TEST(part.value() == "until");
  const auto block = co_await reader.read_exactly(4);
  BOOST_TEST(block.value() == "1234");
  std::string four(4, ' ');
  BOOST_TEST((co_await reader.read_exactly(four)));
  BOOST_TEST(four == "5678");
  const auto frame = co_await reader.read_frame();
  BOOST_TEST(frame.value() == "ok");
  std::string into(100, ' ');
  const std::size_t n = co_await reader.receive(into);
  BOOST_TEST(into.substr(0, n) == "receive");
  BOOST_TEST(reader.buffered().empty());
  s->push("straight");
  const std::size_t m = co_await reader.receive(into);
  BOOST_TEST(into.substr(0, m) == "straight");
}

COROUTINE_TEST_CASE(blocks_of_every_size) {
  const auto& bytes = test::pattern();
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.capacity = 100, .max_line = 10});
  std::size_t at = 0;
  std::size_t pushed = 0;
  for (const std::size_t size : {0u, 1u, 99u, 100u, 50u, 60u, 70u, 100u, 3u, 1000u, 100u}) {
    for (std::size_t piece = 1; pushed < at + size; piece = piece % 40 + 13) {
      s->push(std::string(bytes.data() + pushed, piece));
      pushed += piece;
    }
    std::string into(size, ' ');
    if (size > reader.capacity()) {
      BOOST_CHECK_EXCEPTION(co_await reader.read_exactly(size), system_error,
                            is(error::frame_too_long));
      BOOST_TEST((co_await reader.read_exactly(into)));
    } else if (size % 2 == 0) {
      const auto view = co_await reader.read_exactly(size);
      into = view.value();
    } else {
      BOOST_TEST((co_await reader.read_exactly(into)));
    }
    BOOST_TEST((into == std::string_view(bytes.data() + at, size)));
    at += size;
  }
}

COROUTINE_TEST_CASE(a_block_larger_than_the_buffer_says_how_much_of_it_is_there) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.capacity = 8, .max_line = 4});
  std::string into(20, ' ');
  s->push("abc\ndef");
  static_cast<void>(co_await reader.read_line());
  s->push("ghi");
  boost::system::error_code code;
  std::size_t bytes = 0;
  try {
    static_cast<void>(co_await cosock::with_timeout(100us, reader.read_exactly(into)));
  } catch (const cosock::transfer_error& e) {
    code = e.code();
    bytes = e.bytes_transferred();
  }
  BOOST_TEST((code == error::timed_out));
  BOOST_TEST(bytes == 6u);
  BOOST_TEST(into.substr(0, 6) == "defghi");
  s->push("jkl\n");
  const auto line = co_await reader.read_line();
  BOOST_TEST(line.value() == "jkl");
  s->push("tail");
  s->end();
  try {
    static_cast<void>(co_await reader.read_exactly(into));
    BOOST_ERROR("the end was not seen");
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST((e.code() == error::end_of_stream));
    BOOST_TEST(e.bytes_transferred() == 4u);
  }
  BOOST_TEST(!(co_await reader.read_exactly(into)));
}

namespace {

enum class item { line, until, block, fill, frame };

task<> yield_times(unsigned times) {
  for (unsigned i = 0; i != times; ++i) co_await cosock::yield();
}

/// Reads one item, unless that takes longer than so many turns: then nothing.
task<std::optional<std::string>> try_read(buffered_reader& from, item what, std::size_t size,
                                          unsigned turns) {
  std::optional<std::string> got;
  if (what == item::fill) {
    std::string into(size, ' ');
    auto both = co_await cosock::when_any(from.read_exactly(into), yield_times(turns));
    if (both.get<0>()) got = into;
    co_return got;
  }
  const frame_format format = {.prefix = frame_prefix::varint};
  const auto read = [&]() -> task<std::optional<std::string_view>> {
    if (what == item::line) co_return co_await from.read_line();
    if (what == item::until) co_return co_await from.read_until("<>");
    if (what == item::block) co_return co_await from.read_exactly(size);
    co_return co_await from.read_frame(format);
  };
  auto both = co_await cosock::when_any(read(), yield_times(turns));
  if (both.get<0>()) got.emplace(both.get<0>()->value());
  co_return got;
}

}  // namespace

COROUTINE_TEST_CASE(any_mixture_of_calls_and_cancellations_gives_every_byte_once) {
  for (unsigned seed = 0; seed != 150; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return random() % n; };
    std::string text;
    std::vector<std::pair<item, std::string>> expected;
    for (int i = 0; i != 30; ++i) {
      const auto what = static_cast<item>(below(5));
      // A frame may be larger than the buffer.
      std::string content(below(what == item::frame && below(3) == 0 ? 127 : 21), ' ');
      for (char& c : content) c = static_cast<char>('a' + below(26));
      if (what == item::frame) text += static_cast<char>(content.size());
      text += content;
      if (what == item::line) text += below(2) ? "\n" : "\r\n";
      if (what == item::until) text += "<>";
      expected.emplace_back(what, std::move(content));
    }
    const auto s = co_await test::make_scripted_stream();
    buffered_reader reader(*s, {.capacity = 20 + below(20), .max_line = 20});
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        for (std::size_t at = 0; at < text.size();) {
          const std::size_t size = 1 + below(12);
          s->push(text.substr(at, size));
          at += size;
          if (below(3) == 0) co_await yield_times(below(4));
        }
        s->end();
      });
      for (const auto& [what, content] : expected) {
        std::optional<std::string> got;
        while (!got) got = co_await try_read(reader, what, content.size(), below(5));
        BOOST_REQUIRE(*got == content);
      }
      const auto end = co_await reader.read_line();
      BOOST_TEST(!end);
    });
  }
}

COROUTINE_TEST_CASE(reading_allocates_nothing) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  const auto at = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(cosock::connect(at), acceptor.accept());
  buffered_reader reader(server);
  char byte = 'x';
  const auto rounds = [&](int times) -> task<> {
    for (int i = 0; i != times; ++i) {
      co_await client.send("line\r\nuntil;\4data1234x");
      static_cast<void>(co_await reader.read_line());
      static_cast<void>(co_await reader.read_until(";"));
      static_cast<void>(co_await reader.read_frame({.prefix = frame_prefix::varint}));
      static_cast<void>(co_await reader.read_exactly(4));
      static_cast<void>(co_await reader.receive(cosock::mutable_buffer(&byte, 1)));
    }
  };
  co_await rounds(40);
  test::allocations_until_failure = 1'000'000;
  co_await rounds(1000);
  const long left = test::allocations_until_failure.exchange(-1);
  BOOST_TEST(1'000'000 - left <= 1);  // the task
}

COROUTINE_TEST_CASE(what_fits_of_a_packet_that_is_too_long_is_kept) {
  auto [mine, theirs] = cosock::local_pair<cosock::local_seqpacket_socket>();
  buffered_reader reader(theirs, {.capacity = 10, .max_line = 10});
  co_await mine.send("0123456789abcdefghij");
  co_await mine.send("\n");
  const auto line = co_await as_result(reader.read_line());
  BOOST_TEST((line.error() == error::message_truncated));
  BOOST_TEST(reader.buffered() == "0123456789ab");  // there is room for 10 and CR LF
}
