// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/frame.hpp>

#define BOOST_TEST_MODULE frame
#include "allocations.hpp"
#include "manual_event.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/reader.hpp>

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::buffered_reader;
using cosock::error;
using cosock::frame_format;
using cosock::frame_prefix;
using cosock::send_frame;
using cosock::task;
using test::is;
using test::scripted_stream;

constexpr frame_prefix all_prefixes[] = {frame_prefix::varint, frame_prefix::one_byte,
                                         frame_prefix::two_bytes, frame_prefix::four_bytes,
                                         frame_prefix::eight_bytes};
constexpr std::endian orders[] = {std::endian::big, std::endian::little};

std::string content(std::size_t size) { return std::string(test::pattern().data(), size); }

task<boost::system::error_code> read_error(std::string bytes, const frame_format& format) {
  const auto s = co_await test::make_scripted_stream();
  s->push(std::move(bytes));
  buffered_reader reader(*s);
  const auto frame = co_await as_result(reader.read_frame(format));
  co_return frame.has_error() ? frame.error() : boost::system::error_code();
}

}  // namespace

COROUTINE_TEST_CASE(what_is_sent_is_read_in_every_format_and_size) {
  for (const frame_prefix prefix : all_prefixes) {
    for (const std::endian order : orders) {
      for (const std::size_t size :
           {0u, 1u, 127u, 128u, 255u, 256u, 16383u, 16384u, 65535u, 65536u, 99999u, 100000u}) {
        const frame_format format = {.prefix = prefix, .order = order, .max_size = 100'000};
        const auto s = co_await test::make_scripted_stream();
        const std::string payload = content(size);
        const bool fits = prefix == frame_prefix::one_byte    ? size < 256
                          : prefix == frame_prefix::two_bytes ? size < 65536
                                                              : true;
        const auto sent = co_await as_result(send_frame(*s, payload, format));
        BOOST_TEST(sent.has_value() == fits);
        if (!fits) {
          BOOST_TEST((sent.error() == error::frame_too_long));
          BOOST_TEST(s->sent().empty());
          continue;
        }
        BOOST_TEST(s->writes() == 1u);
        for (const std::size_t piece : {1u, 7u, 1000u, 1'000'000u}) {
          if (size / piece > 20'000) continue;
          const std::string all = s->sent() + s->sent();
          const auto t = co_await test::make_scripted_stream();
          for (std::size_t i = 0; i < all.size(); i += piece) t->push(all.substr(i, piece));
          t->end();
          buffered_reader reader(*t, {.capacity = 64, .max_line = 10});
          for (int i = 0; i != 2; ++i) {
            const auto frame = co_await reader.read_frame(format);
            BOOST_REQUIRE((frame.value() == payload));
          }
          const auto end = co_await reader.read_frame(format);
          BOOST_TEST(!end);
        }
      }
    }
  }
}

COROUTINE_TEST_CASE(the_bytes_of_a_prefix) {
  struct row {
    frame_prefix prefix;
    std::endian order;
    std::size_t size;
    std::string bytes;
  };
  const row table[] = {
      {frame_prefix::one_byte, std::endian::big, 0, "\0"s},
      {frame_prefix::one_byte, std::endian::big, 255, "\xff"s},
      {frame_prefix::two_bytes, std::endian::big, 258, "\1\2"s},
      {frame_prefix::two_bytes, std::endian::little, 258, "\2\1"s},
      {frame_prefix::four_bytes, std::endian::big, 66051, "\0\1\2\3"s},
      {frame_prefix::four_bytes, std::endian::little, 66051, "\3\2\1\0"s},
      {frame_prefix::eight_bytes, std::endian::big, 66051, "\0\0\0\0\0\1\2\3"s},
      {frame_prefix::eight_bytes, std::endian::little, 66051, "\3\2\1\0\0\0\0\0"s},
      {frame_prefix::varint, std::endian::big, 0, "\0"s},
      {frame_prefix::varint, std::endian::big, 127, "\x7f"s},
      {frame_prefix::varint, std::endian::big, 128, "\x80\1"s},
      {frame_prefix::varint, std::endian::little, 300, "\xac\2"s},
      {frame_prefix::varint, std::endian::big, 16384, "\x80\x80\1"s},
  };
  for (const row& each : table) {
    const auto s = co_await test::make_scripted_stream();
    const frame_format format = {.prefix = each.prefix, .order = each.order};
    co_await send_frame(*s, content(each.size), format);
    BOOST_TEST((s->sent() == each.bytes + content(each.size)));
  }
}

COROUTINE_TEST_CASE(more_than_the_maximum_is_refused_on_both_sides) {
  for (const frame_prefix prefix : all_prefixes) {
    for (const std::endian order : orders) {
      for (const std::size_t maximum : {0u, 1u, 200u}) {
        const frame_format format = {.prefix = prefix, .order = order, .max_size = maximum};
        const frame_format wide = {.prefix = prefix, .order = order};
        const auto s = co_await test::make_scripted_stream();
        co_await send_frame(*s, content(maximum), format);
        BOOST_TEST((co_await read_error(s->sent(), format)) == boost::system::error_code());
        BOOST_CHECK_EXCEPTION(co_await send_frame(*s, content(maximum + 1), format), system_error,
                              is(error::frame_too_long));
        s->sent().clear();
        co_await send_frame(*s, content(maximum + 1), wide);
        // As soon as the length is there, before the frame itself.
        const std::string head = s->sent().substr(0, s->sent().size() - maximum - 1);
        BOOST_TEST((co_await read_error(head, format)) == make_error_code(error::frame_too_long));
      }
    }
  }
  const auto s = co_await test::make_scripted_stream();
  const std::string large = content((1 << 20) + 1);
  BOOST_CHECK_EXCEPTION(co_await send_frame(*s, large), system_error, is(error::frame_too_long));
}

COROUTINE_TEST_CASE(a_length_of_all_ones_is_refused) {
  for (const frame_prefix prefix : all_prefixes) {
    if (prefix == frame_prefix::varint) continue;
    for (const std::size_t maximum : {std::size_t{100}, std::size_t{1} << 40}) {
      if (prefix != frame_prefix::eight_bytes && maximum > 100) continue;
      const frame_format format = {.prefix = prefix, .max_size = maximum};
      const std::string ones(static_cast<std::size_t>(prefix), '\xff');
      BOOST_TEST((co_await read_error(ones, format)) == make_error_code(error::frame_too_long));
    }
  }
  const frame_format varint = {.prefix = frame_prefix::varint};
  const auto refused = make_error_code(error::malformed_frame);
  BOOST_TEST((co_await read_error(std::string(10, '\xff'), varint)) == refused);
  BOOST_TEST((co_await read_error(std::string(9, '\xff') + "\1", varint)) ==
             make_error_code(error::frame_too_long));
  BOOST_TEST((co_await read_error(std::string(9, '\xff') + "\2", varint)) == refused);
}

COROUTINE_TEST_CASE(a_varint_that_is_longer_than_it_need_be_is_refused) {
  const frame_format varint = {.prefix = frame_prefix::varint};
  for (const std::string& bytes :
       {"\x80\0"s, "\xff\0"s, "\x81\x80\0"s, std::string(9, '\x80') + "\0"s})
    BOOST_TEST((co_await read_error(bytes, varint)) == make_error_code(error::malformed_frame));
}

COROUTINE_TEST_CASE(a_length_takes_no_memory_before_its_bytes_come) {
  const auto s = co_await test::make_scripted_stream();
  const frame_format format = {.prefix = frame_prefix::eight_bytes,
                               .max_size = std::size_t{1} << 50};
  buffered_reader reader(*s, {.capacity = 16, .max_line = 8});
  s->push("\0\3\0\0\0\0\0\0"s);  // 768 TiB
  s->push(std::string(10'000, 'x'));
  s->end();
  BOOST_CHECK_EXCEPTION(co_await reader.read_frame(format), system_error, is(error::end_of_stream));
  BOOST_TEST(reader.buffered().size() == 10'008u);
}

COROUTINE_TEST_CASE(a_frame_that_was_sent_in_part_says_how_much) {
  const auto s = co_await test::make_scripted_stream();
  s->set_room(6);
  s->fail_send(EPIPE);
  try {
    co_await send_frame(*s, "payload");
    BOOST_ERROR("nothing was thrown");
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST((e.code() == boost::system::errc::broken_pipe));
    BOOST_TEST(e.bytes_transferred() == 6u);
  }
  BOOST_CHECK_EXCEPTION(co_await send_frame(*s, "payload"), system_error,
                        is(boost::system::errc::broken_pipe));
  s->close();
  BOOST_CHECK_EXCEPTION(co_await send_frame(*s, "payload"), system_error, is(error::closed));
}

COROUTINE_TEST_CASE(sending_allocates_nothing) {
  const auto s = co_await test::make_scripted_stream();
  s->sent().reserve(100'000);
  co_await cosock::yield();
  test::allocations_until_failure = 1'000'000;
  for (int i = 0; i != 1000; ++i) co_await send_frame(*s, "payload");
  const long left = test::allocations_until_failure.exchange(-1);
  BOOST_TEST(left == 1'000'000);
}
