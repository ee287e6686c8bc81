// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Lines and other delimiters, and the limits of them.

#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE reader_lines
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/when.hpp>

#include <stdexcept>
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
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::is;
using test::scripted_stream;
using strings = std::vector<std::string>;

strings pieces(std::string_view text, std::size_t first, std::size_t second) {
  strings all;
  for (const auto part :
       {text.substr(0, first), text.substr(first, second - first), text.substr(second)})
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
      {"abcd\n", true},     {"abcd\r\n", true},   {"\r\r\r\r\r\n", true}, {"abcde\n", false},
      {"abcd\rX\n", false}, {"abcde\r\n", false}, {"abcd\r\r\n", false},  {"\r\r\r\r\r\r\n", false},
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

COROUTINE_TEST_CASE(a_line_in_very_many_pieces_is_not_searched_again_and_again) {
  constexpr std::size_t size = 400'000;
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s, {.max_line = size});
  for (std::size_t i = 0; i != size; ++i) s->push("x");
  s->push("\n");
  const auto line = co_await reader.read_line();
  BOOST_TEST(line.value().size() == size);
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
