// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Lines and frames whose limit is the largest number, and peers that announce it.

#define BOOST_TEST_MODULE reader_limits
#include "allocations.hpp"
#include "scripted_stream.hpp"
#include "support.hpp"

#include <cosock/reader.hpp>

#include <climits>

namespace {

using boost::system::system_error;
using cosock::buffered_reader;
using cosock::error;
using cosock::frame_format;
using cosock::frame_prefix;
using cosock::task;
using test::is;

constexpr std::size_t largest = SIZE_MAX;

/// Counts allocations for as long as it exists.
class allocation_count {
 public:
  allocation_count() { test::allocations_until_failure = most; }
  ~allocation_count() { test::allocations_until_failure = -1; }
  long operator()() const { return most - test::allocations_until_failure; }

 private:
  static constexpr long most = 1 << 30;
};

std::string prefix_of(const frame_format& format, std::uint64_t length) {
  unsigned char bytes[cosock::detail::max_prefix];
  const std::size_t size = cosock::detail::write_prefix(format, length, bytes);
  return {reinterpret_cast<const char*>(bytes), size};
}

/// Frames of which all but the prefix and a little are missing.
constexpr std::uint64_t impossible[] = {UINT64_MAX,
                                        UINT64_MAX - 1,
                                        UINT64_MAX - 8,
                                        UINT64_MAX - 10,
                                        std::uint64_t{1} << 63,
                                        std::uint64_t{PTRDIFF_MAX},
                                        std::uint64_t{PTRDIFF_MAX} - 9};
constexpr std::uint64_t possible[] = {std::uint64_t{PTRDIFF_MAX} - 10, std::uint64_t{1} << 62,
                                      std::uint64_t{1} << 40};

}  // namespace

COROUTINE_TEST_CASE(a_line_without_limit_may_be_of_any_length) {
  for (const std::size_t most : {largest, largest - 1, largest - 2, largest / 2})
    for (const bool delimiter : {false, true}) {
      const auto stream = co_await test::make_scripted_stream();
      buffered_reader reader(*stream, {.capacity = 16, .max_line = most});
      const std::string text(3'000'000, 'x');
      for (const std::string& each : {std::string("hello"), std::string(), text}) {
        for (std::size_t i = 0; i < each.size(); i += 9999) stream->push(each.substr(i, 9999));
        stream->push("\n");
        const auto line = delimiter ? co_await reader.read_until("\n")  //
                                    : co_await reader.read_line();
        BOOST_TEST((line && *line == each));
      }
      stream->push("left");
      stream->end();
      if (delimiter)
        BOOST_CHECK_EXCEPTION(co_await reader.read_until("\n\n\n"), system_error,
                              is(error::end_of_stream));
      else
        BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error, is(error::end_of_stream));
      BOOST_TEST(reader.buffered() == "left");
    }
}

// Doubling: about twice the bytes in all, and not a number of allocations that grows with them.
COROUTINE_TEST_CASE(a_long_line_costs_few_allocations) {
  const auto stream = co_await test::make_scripted_stream();
  buffered_reader reader(*stream, {.max_line = largest});
  long allocations = 0;
  for (int size = 100'000; size <= 1'600'000; size *= 2) {
    stream->push(std::string(static_cast<std::size_t>(size), 'x') + '\n');
    const allocation_count count;
    const auto line = co_await reader.read_line();
    allocations += count();
    BOOST_TEST((line && line->size() == static_cast<std::size_t>(size)));
  }
  BOOST_TEST(allocations <= 6);
}

COROUTINE_TEST_CASE(a_limit_above_the_first_buffer_is_kept_exactly) {
  constexpr std::size_t most = 100'000;
  for (const bool delimiter : {false, true})
    for (const std::size_t size : {most - 1, most, most + 1}) {
      const auto stream = co_await test::make_scripted_stream();
      buffered_reader reader(*stream, {.capacity = 0, .max_line = most});
      stream->push(std::string(size, 'x') + "\r\n");
      const auto line =
          co_await cosock::as_result(delimiter ? reader.read_until("\r\n") : reader.read_line());
      BOOST_TEST(line.has_value() == (size <= most));
      if (line.has_value())
        BOOST_TEST((*line && (*line)->size() == size));
      else
        BOOST_TEST((line.error() == error::line_too_long));
    }
}

COROUTINE_TEST_CASE(a_frame_that_no_memory_can_hold_is_too_long) {
  for (const auto prefix : {frame_prefix::varint, frame_prefix::eight_bytes})
    for (const std::size_t most : {largest, largest - 1})
      for (const std::uint64_t length : impossible) {
        const frame_format format{.prefix = prefix, .max_size = most};
        const auto stream = co_await test::make_scripted_stream();
        buffered_reader reader(*stream);
        stream->push(prefix_of(format, length) + "some bytes");
        BOOST_CHECK_EXCEPTION(co_await reader.read_frame(format), system_error,
                              is(error::frame_too_long));
      }
}

COROUTINE_TEST_CASE(an_announced_frame_takes_memory_as_its_bytes_arrive) {
  for (const auto prefix : {frame_prefix::varint, frame_prefix::eight_bytes})
    for (const std::uint64_t length : possible) {
      const frame_format format{.prefix = prefix, .max_size = largest};
      const auto stream = co_await test::make_scripted_stream();
      buffered_reader reader(*stream, {.capacity = 16, .max_line = 16});
      const std::string some(1 << 20, 'x');
      stream->push(prefix_of(format, length) + some);
      stream->end();
      const allocation_count count;
      BOOST_CHECK_EXCEPTION(co_await reader.read_frame(format), system_error,
                            is(error::end_of_stream));
      BOOST_TEST(count() <= 30);
      BOOST_TEST(reader.buffered().size() == some.size() + prefix_of(format, length).size());
    }
}

COROUTINE_TEST_CASE(the_maximum_of_a_frame_at_its_limits) {
  for (const auto prefix : {frame_prefix::varint, frame_prefix::one_byte, frame_prefix::two_bytes,
                            frame_prefix::four_bytes, frame_prefix::eight_bytes})
    for (const std::size_t most : {std::size_t{0}, std::size_t{1}, largest - 1, largest})
      for (const std::string payload : {"", "x", "xy"}) {
        const frame_format format{.prefix = prefix, .max_size = most};
        const auto stream = co_await test::make_scripted_stream();
        const auto sent = co_await cosock::as_result(cosock::send_frame(*stream, payload, format));
        BOOST_TEST(sent.has_value() == (payload.size() <= most));
        stream->push(prefix_of(format, payload.size()) + payload);
        buffered_reader reader(*stream, {.capacity = 0, .max_line = 0});
        const auto frame = co_await cosock::as_result(reader.read_frame(format));
        BOOST_TEST(frame.has_value() == (payload.size() <= most));
        if (frame.has_value()) BOOST_TEST((*frame && **frame == payload));
      }
}

COROUTINE_TEST_CASE(a_block_of_the_largest_size_is_refused_or_received_in_part) {
  for (const std::size_t size : {largest, largest - 1, largest / 2}) {
    const auto stream = co_await test::make_scripted_stream();
    buffered_reader reader(*stream);
    stream->push("hello");
    BOOST_CHECK_EXCEPTION(co_await reader.read_exactly(size), system_error,
                          is(error::frame_too_long));
    char few[8];
    BOOST_TEST(co_await reader.receive(cosock::buffer(few, size)) == 5u);
  }
}
