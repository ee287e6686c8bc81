// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE reader
#include "allocations.hpp"
#include "manual_event.hpp"
#include "operation_endings.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/when.hpp>

#include <array>
#include <memory>
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
using cosock::reader_options;
using cosock::task;
using cosock::with_nursery;
using test::is;
using test::scripted_stream;
using strings = std::vector<std::string>;

strings pieces(std::string_view text, std::size_t first, std::size_t second) {
  strings all;
  for (const auto part : {text.substr(0, first), text.substr(first, second - first),
                          text.substr(second)})
    if (!part.empty()) all.emplace_back(part);
  return all;
}

/// For each way to cut the text into three pieces, a stream that gives them, and then ends.
template <class F>
task<> for_each_split(std::string text, F check) {
  for (std::size_t second = 0; second <= text.size(); ++second) {
    for (std::size_t first = 0; first <= second; ++first) {
      for (const bool at_once : {true, false}) {
        const auto stream = co_await test::make_scripted_stream();
        co_await with_nursery([&](nursery& n) -> task<> {
          n.start([&]() -> task<> {
            for (std::string& piece : pieces(text, first, second)) {
              if (!at_once) co_await cosock::yield();
              stream->push(std::move(piece));
            }
            stream->end();
          });
          if (at_once) co_await cosock::yield();
          co_await check(*stream);
        });
      }
    }
  }
}

task<strings> all_lines(buffered_reader& from) {
  strings lines;
  while (const auto line = co_await from.read_line()) lines.emplace_back(*line);
  co_return lines;
}

}  // namespace

BOOST_AUTO_TEST_CASE(reading_waits_as_everything_does) {
  struct state {
    std::unique_ptr<scripted_stream> stream;
    std::unique_ptr<buffered_reader> reader;
    bool early = false;
  };
  static const auto read = [](std::shared_ptr<state> of, int kind) -> task<> {
    if (!of->stream) {
      of->stream = co_await test::make_scripted_stream();
      of->reader = std::make_unique<buffered_reader>(*of->stream);
      if (of->early) of->stream->push("\1\n");
    }
    char two[2];
    if (kind == 0)
      static_cast<void>(co_await of->reader->read_line());
    else if (kind == 1)
      static_cast<void>(co_await of->reader->read_until("\n"));
    else if (kind == 2)
      static_cast<void>(co_await of->reader->read_exactly(2));
    else if (kind == 3)
      static_cast<void>(co_await of->reader->read_exactly(two));
    else if (kind == 4)
      static_cast<void>(
          co_await of->reader->read_frame({.prefix = frame_prefix::one_byte}));
    else
      static_cast<void>(co_await of->reader->receive(two));
  };
  for (int kind = 0; kind != 6; ++kind) {
    BOOST_TEST_CONTEXT(kind) {
      test::check_waits([=] {
        auto of = std::make_shared<state>();
        return test::waitable{.wait = [=]() { return read(of, kind); },
                              .provide = [of] {
                                if (of->stream)
                                  of->stream->push("\1\n");
                                else
                                  of->early = true;
                              },
                              .destroy = [of] { of->stream->close(); },
                              .at_once = false};
      });
    }
  }
}

COROUTINE_TEST_CASE(lines_are_the_same_wherever_the_bytes_are_split) {
  co_await for_each_split("a\r\nbb\n\nc\rc\r\n\r\n", [](scripted_stream& s) -> task<> {
    buffered_reader reader(s);
    const strings lines = co_await all_lines(reader);
    const strings expected = {"a", "bb", "", "c\rc", ""};
    BOOST_REQUIRE(lines == expected);
    const auto again = co_await reader.read_line();
    BOOST_TEST(!again);
  });
}

COROUTINE_TEST_CASE(a_delimiter_of_several_bytes_is_found_wherever_the_bytes_are_split) {
  co_await for_each_split("a\r\r\n\r\n\r\n\r\nbc\r\n\r\n", [](scripted_stream& s) -> task<> {
    buffered_reader reader(s);
    strings parts;
    while (const auto part = co_await reader.read_until("\r\n\r\n")) parts.emplace_back(*part);
    const strings expected = {"a\r", "", "bc"};
    BOOST_REQUIRE(parts == expected);
  });
}

COROUTINE_TEST_CASE(lines_through_the_smallest_buffer) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.capacity = 0, .max_line = 8});
  std::string text;
  strings expected;
  for (int i = 0; i != 100; ++i) {
    expected.push_back(std::string(static_cast<std::size_t>(i % 9), 'x'));
    text += expected.back() + (i % 2 ? "\n" : "\r\n");
  }
  s->push(text);
  s->end();
  BOOST_TEST((co_await all_lines(reader)) == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(the_limit_of_a_line_is_exact) {
  struct row {
    const char* text;
    bool fits;
  };
  const row table[] = {
      {"abcd\n", true},      {"abcd\r\n", true},    {"\r\r\r\r\r\n", true},
      {"abcde\n", false},    {"abcd\rX\n", false},  {"abcde\r\n", false},
      {"abcd\r\r\n", false}, {"\r\r\r\r\r\r\n", false},
  };
  for (const row& each : table) {
    for (const bool slowly : {false, true}) {
      BOOST_TEST_CONTEXT(each.text << slowly) {
        const auto s = co_await test::make_scripted_stream();
        buffered_reader reader(*s, {.capacity = 100, .max_line = 4});
        if (slowly)
          s->push_each(each.text);
        else
          s->push(each.text);
        const auto line = co_await as_result(reader.read_line());
        BOOST_TEST(line.has_value() == each.fits);
        if (each.fits) {
          BOOST_TEST(line.value().value().size() == 4u);
        } else {
          BOOST_TEST((line.error() == error::line_too_long));
          const std::size_t left = s->pieces_left();
          const auto again = co_await as_result(reader.read_line());
          BOOST_TEST((again.error() == error::line_too_long));
          BOOST_TEST(s->pieces_left() == left);  // nothing more was received
          const std::string rest(reader.buffered());
          BOOST_TEST(std::string(each.text).starts_with(rest));
          char byte[1];
          BOOST_TEST((co_await reader.receive(byte)) == 1u);
        }
      }
    }
  }
}

COROUTINE_TEST_CASE(the_limit_before_a_delimiter_is_exact) {
  for (const std::size_t size : {0u, 3u, 4u, 5u, 50u}) {
    for (const bool slowly : {false, true}) {
      const auto s = co_await test::make_scripted_stream();
      buffered_reader reader(*s, {.capacity = 0, .max_line = 4});
      const std::string text = std::string(size, 'x') + "<the end of it>rest";
      if (slowly)
        s->push_each(text);
      else
        s->push(text);
      const auto part = co_await as_result(reader.read_until("<the end of it>"));
      BOOST_TEST(part.has_value() == (size <= 4));
      if (part)
        BOOST_TEST(part.value().value().size() == size);
      else
        BOOST_TEST((part.error() == error::line_too_long));
    }
  }
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s);
  BOOST_CHECK_THROW(static_cast<void>(reader.read_until("")), std::invalid_argument);
}

COROUTINE_TEST_CASE(a_stream_without_a_delimiter_takes_no_more_than_the_limit) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.capacity = 64, .max_line = 1000});
  for (int i = 0; i != 1000; ++i) s->push(std::string(100, 'x'));
  BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error, is(error::line_too_long));
  BOOST_TEST(reader.buffered().size() <= 1002u);
  BOOST_TEST(s->pieces_left() >= 989u);
}

COROUTINE_TEST_CASE(a_line_that_is_too_long_can_be_skipped) {
  for (const std::size_t size : {5u, 6u, 64u, 1000u}) {
    for (const std::size_t piece : {1u, 7u, 2000u}) {
      const auto s = co_await test::make_scripted_stream();
      buffered_reader reader(*s, {.capacity = 0, .max_line = 4});
      const std::string text = "a\n" + std::string(size, 'x') + "\n\nb\n";
      for (std::size_t at = 0; at < text.size(); at += piece) s->push(text.substr(at, piece));
      BOOST_TEST((co_await reader.read_line()).value() == "a");
      BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error, is(error::line_too_long));
      BOOST_TEST((co_await reader.skip_line()));
      BOOST_TEST((co_await reader.read_line()).value() == "");
      BOOST_TEST((co_await reader.read_line()).value() == "b");
      s->push(std::string(size, 'y'));
      s->end();
      BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error, is(error::line_too_long));
      BOOST_TEST(!(co_await reader.skip_line()));
      BOOST_TEST(reader.buffered().empty());
      BOOST_TEST(!(co_await reader.skip_line()));
    }
  }
}

COROUTINE_TEST_CASE(a_skip_that_was_cancelled_or_failed_goes_on) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.max_line = 4});
  s->push("too long");
  const auto late = co_await as_result(cosock::with_timeout(100us, reader.skip_line()));
  BOOST_TEST((late.error() == error::timed_out));
  s->push(" by far");
  s->fail_receive(ECONNRESET);
  const auto broken = co_await as_result(reader.skip_line());
  BOOST_TEST((broken.error() == boost::system::errc::connection_reset));
  s->push(" and on\nline\n");
  s->fail_receive(0);
  BOOST_TEST((co_await reader.skip_line()));
  BOOST_TEST((co_await reader.read_line()).value() == "line");
}

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

COROUTINE_TEST_CASE(a_call_that_was_cancelled_in_the_middle_has_lost_nothing) {
  const std::string text = "hello, world\n";
  for (std::size_t cut = 0; cut != text.size(); ++cut) {
    for (int kind = 0; kind != 4; ++kind) {
      const auto s = co_await test::make_scripted_stream();
      buffered_reader reader(*s, {.capacity = 64});
      s->push(text.substr(0, cut));
      std::string into(text.size(), ' ');
      const frame_format one = {.prefix = frame_prefix::one_byte};
      boost::system::error_code code;
      if (kind == 0)
        code = (co_await as_result(cosock::with_timeout(10us, reader.read_line()))).error();
      else if (kind == 1)
        code = (co_await as_result(cosock::with_timeout(10us, reader.read_until("d\n")))).error();
      else if (kind == 2)
        code = (co_await as_result(cosock::with_timeout(10us, reader.read_exactly(into)))).error();
      else
        code = (co_await as_result(cosock::with_timeout(10us, reader.read_frame(one)))).error();
      BOOST_TEST((code == error::timed_out));
      BOOST_TEST(reader.buffered() == text.substr(0, cut));
      s->push(text.substr(cut));
      const auto line = co_await reader.read_line();
      BOOST_TEST(line.value() == "hello, world");
    }
  }
}

COROUTINE_TEST_CASE(a_call_that_failed_in_the_middle_has_lost_nothing) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s);
  s->push("one\ntwo");
  s->fail_receive(ECONNRESET);
  const auto first = co_await reader.read_line();
  BOOST_TEST(first.value() == "one");
  for (int i = 0; i != 2; ++i) {
    const auto second = co_await as_result(reader.read_line());
    BOOST_TEST((second.error() == boost::system::errc::connection_reset));
    BOOST_TEST(reader.buffered() == "two");
  }
  s->fail_receive(0);
  s->push("!\n");
  const auto second = co_await reader.read_line();
  BOOST_TEST(second.value() == "two!");
}

COROUTINE_TEST_CASE(the_end_of_the_stream_is_orderly_only_between) {
  for (const bool slowly : {false, true}) {
    for (int kind = 0; kind != 6; ++kind) {
      BOOST_TEST_CONTEXT(kind << slowly) {
        const frame_format two = {.prefix = frame_prefix::two_bytes};
        std::string into(5, ' ');
        const auto read = [&](buffered_reader& from) -> task<bool> {
          if (kind == 0) co_return (co_await from.read_line()).has_value();
          if (kind == 1) co_return (co_await from.read_until("\n")).has_value();
          if (kind == 2) co_return (co_await from.read_exactly(5)).has_value();
          if (kind == 3) co_return co_await from.read_exactly(into);
          co_return (co_await from.read_frame(two)).has_value();
        };
        const std::string whole = kind < 4 ? "abcd\n" : "\0\3abc"s;
        const std::string part = kind == 5 ? "\0"s : whole.substr(0, 3);
        for (const bool cut : {false, true}) {
          const auto s = co_await test::make_scripted_stream();
          buffered_reader reader(*s);
          const std::string text = whole + (cut ? part : "");
          if (slowly)
            s->push_each(text);
          else
            s->push(text);
          s->end();
          BOOST_TEST((co_await read(reader)));
          if (!cut) {
            BOOST_TEST(!(co_await read(reader)));
            BOOST_TEST(!(co_await read(reader)));
          } else {
            BOOST_CHECK_EXCEPTION(co_await read(reader), system_error, is(error::end_of_stream));
            BOOST_CHECK_EXCEPTION(co_await read(reader), system_error, is(error::end_of_stream));
            BOOST_TEST(reader.buffered() == part);
          }
        }
      }
    }
  }
}

COROUTINE_TEST_CASE(the_last_line_may_lack_its_end_if_one_says_so) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.max_line = 4, .unterminated_line = true});
  s->push("one\ntwo");
  s->end();
  const strings expected = {"one", "two"};
  BOOST_TEST((co_await all_lines(reader)) == expected, boost::test_tools::per_element());
  const auto t = co_await test::make_scripted_stream();
  buffered_reader other(*t, {.max_line = 4, .unterminated_line = true});
  t->push("four\r");
  t->end();
  BOOST_CHECK_EXCEPTION(co_await other.read_line(), system_error, is(error::line_too_long));
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

COROUTINE_TEST_CASE(a_second_reader_is_refused_also_if_its_bytes_are_there) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s);
  s->push("no line yet");
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      const auto line = co_await reader.read_line();
      BOOST_TEST(line.value() == "no line yet!");
    });
    co_await test::settle();
    BOOST_CHECK_EXCEPTION(co_await reader.read_exactly(2), system_error, is(error::busy));
    s->push("!\n");
  });
}

COROUTINE_TEST_CASE(a_closed_stream_is_told_from_an_ended_one) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s);
  s->push("line\nline\n");
  static_cast<void>(co_await reader.read_line());
  s->close();
  BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error, is(error::closed));
}

COROUTINE_TEST_CASE(a_reader_that_never_has_to_wait_lets_others_run) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s);
  for (int i = 0; i != 10; ++i) s->push(std::string(10'000, '\n'));
  bool other = false;
  int lines = 0;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await cosock::yield();
      other = true;
    });
    while (!other) {
      static_cast<void>(co_await reader.read_line());
      ++lines;
    }
  });
  BOOST_TEST(lines < 1000);
}

COROUTINE_TEST_CASE(a_line_in_very_many_pieces_is_not_searched_again_and_again) {
  constexpr std::size_t size = 400'000;
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.max_line = size});
  for (std::size_t i = 0; i != size; ++i) s->push("x");
  s->push("\n");
  const auto line = co_await reader.read_line();
  BOOST_TEST(line.value().size() == size);
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

COROUTINE_TEST_CASE(lines_over_tcp) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  const auto at = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(cosock::connect(at), acceptor.accept());
  cosock::tcp_socket& to = client;
  cosock::tcp_socket& from = server;
  constexpr std::size_t many = 20'000;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      std::string text;
      for (std::size_t i = 0; i != many; ++i) {
        text += std::string(i % 300, 'x') + "\r\n";
        if (text.size() < 5000) continue;
        co_await to.send(text);
        text.clear();
      }
      co_await to.send(text);
      to.shutdown_send();
    });
    buffered_reader reader(from);
    std::size_t i = 0;
    while (const auto line = co_await reader.read_line()) BOOST_REQUIRE(line->size() == i++ % 300);
    BOOST_TEST(i == many);
  });
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
