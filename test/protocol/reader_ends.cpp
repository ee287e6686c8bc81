// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// How calls of a reader end: cancelled, failed, refused, or at the end of the stream.

#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE reader_ends
#include "manual_event.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <memory>
#include <string>

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
using test::scripted_stream;

}  // namespace

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

COROUTINE_TEST_CASE(a_second_reader_is_refused_also_if_its_bytes_are_there) {
  const auto s = co_await test::make_scripted_stream();
  buffered_reader reader(*s);
  s->push("no line yet");
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      const auto line = co_await reader.read_line();
      BOOST_TEST(line.value() == "no line yet!");
    });
    co_await test::let_others_run();
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
