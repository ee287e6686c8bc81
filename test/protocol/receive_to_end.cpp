// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Everything up to the end of a stream; and the texts of limits.

#include <cosock/copy.hpp>

#define BOOST_TEST_MODULE receive_to_end
#include "memory_stream.hpp"
#include "support.hpp"

#include <cosock/reader.hpp>
#include <cosock/when.hpp>

#include <string>

namespace {

using boost::system::system_error;
using cosock::byte_stream;
using cosock::error;
using cosock::receive_to_end;
using cosock::task;
using test::contains;
using test::is;

task<> send_all(byte_stream& to, std::string text) {
  co_await to.send(text);
  to.shutdown_send();
}

/// What is received of a text of this size with this limit.
task<std::string> receive(std::size_t size, std::size_t limit) {
  auto [peer, stream] = co_await test::make_memory_pair();
  const std::string text(size, 'x');
  auto received = co_await cosock::when_all(receive_to_end(*stream, limit), send_all(*peer, text));
  BOOST_TEST((std::get<0>(received) == text));
  BOOST_TEST(stream->is_open());
  co_return std::get<0>(std::move(received));
}

}  // namespace

COROUTINE_TEST_CASE(all_bytes_up_to_the_limit_are_returned) {
  for (const std::size_t size : {0u, 1u, 4095u, 4096u, 4097u, 100'000u}) {
    co_await receive(size, size);
    co_await receive(size, size + 1);
    co_await receive(size, SIZE_MAX);
  }
}

COROUTINE_TEST_CASE(one_byte_more_is_an_error_that_names_the_limit) {
  for (const std::size_t limit : {0u, 1u, 4095u, 4096u, 50'000u}) {
    auto [peer, stream] = co_await test::make_memory_pair(100'000);
    co_await peer->send(std::string(limit + 1, 'x'));
    const auto names_limit = [&](const system_error& e) {
      return e.code() == error::frame_too_long &&
             contains(e.what(),
                      "more than " + std::to_string(limit) + (limit == 1 ? " byte:" : " bytes:"));
    };
    BOOST_CHECK_EXCEPTION(co_await receive_to_end(*stream, limit), system_error, names_limit);
  }
}

COROUTINE_TEST_CASE(errors_and_cancellations_pass) {
  auto [peer, stream] = co_await test::make_memory_pair();
  co_await peer->send("some");
  BOOST_CHECK_EXCEPTION(
      co_await cosock::with_timeout(std::chrono::milliseconds(1), receive_to_end(*stream, 10)),
      system_error, is(error::timed_out));
  stream->close();
  BOOST_CHECK_EXCEPTION(co_await receive_to_end(*stream, 10), system_error, is(error::closed));
}

COROUTINE_TEST_CASE(a_reader_gives_its_buffer_first) {
  auto [peer, stream] = co_await test::make_memory_pair();
  co_await send_all(*peer, "head\nbody\nmore");
  cosock::buffered_reader reader(*stream);
  BOOST_TEST((co_await reader.read_line() == "head"));
  BOOST_TEST(co_await receive_to_end(reader, 9) == "body\nmore");
}

// With and without as_result.

COROUTINE_TEST_CASE(the_errors_of_a_reader_name_its_limits) {
  auto [peer, stream] = co_await test::make_memory_pair();
  cosock::buffered_reader reader(*stream, {.capacity = 7, .max_line = 8});
  co_await peer->send("a line of more than that");
  const auto line = co_await cosock::as_result(reader.read_line());
  BOOST_TEST(cosock::error_message(line.error()) == "more than 8 bytes: the line is too long");
  const auto until = co_await cosock::as_result(reader.read_until(";"));
  BOOST_TEST(cosock::error_message(until.error()) == "more than 8 bytes: the line is too long");
  const auto block = co_await cosock::as_result(reader.read_exactly(8));
  BOOST_TEST(cosock::error_message(block.error()) == "more than 7 bytes: the frame is too long");
  const auto frame = co_await cosock::as_result(reader.read_frame({.max_size = 5}));
  BOOST_TEST(cosock::error_message(frame.error()) == "more than 5 bytes: the frame is too long");
  try {
    co_await reader.read_line();
    BOOST_TEST(false);
  } catch (const system_error& e) {
    BOOST_TEST(std::string(e.what()) == "more than 8 bytes: the line is too long");
  }
}
