// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Descriptors of a reader that are not taken, or cannot be: none leaks, and no item goes without its
// descriptors.

#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE reader_descriptors_lost
#include "allocations.hpp"
#include "numbered_descriptors.hpp"

#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::local_stream_socket;

}  // namespace

COROUTINE_TEST_CASE(sending_a_frame_with_descriptors_ends_as_other_sends_do) {
  const std::string payload(1000, 'x');
  const int fds[] = {0};
  const auto send = [&](auto& s) { return cosock::send_frame_with_descriptors(s, payload, fds); };
  co_await check_endings<local_stream_socket>(true, send);
  co_await check_endings<local_seqpacket_socket>(true, send);
}

COROUTINE_TEST_CASE(a_reader_closes_descriptors_that_nobody_takes) {
  const std::size_t before = open_descriptors();
  for (const std::size_t limit : {0, 8}) {
    auto [a, b] = cosock::local_pair();
    pipe_ends pipe;
    const int fds[] = {pipe.writing()};
    co_await a.send_with_descriptors("line\nthe beginning of", fds);
    co_await a.send_with_descriptors(" the next", fds);
    pipe.close_writing();
    a.close();
    {
      buffered_reader reader(b, {.max_descriptors = limit});
      BOOST_TEST(co_await line_of(reader) == "line");
      BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error,
                            is(cosock::error::end_of_stream));
      BOOST_TEST(reader.buffered() == "the beginning of the next");
      reader.close();
      BOOST_TEST(pipe.nobody_writes() == (limit == 0));
      BOOST_TEST(reader.take_descriptors().size() == (limit == 0 ? 0u : 1u));
      BOOST_TEST(pipe.nobody_writes() == (limit == 0));
    }
    BOOST_TEST(pipe.nobody_writes());
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(more_descriptors_than_the_limit_end_the_stream_in_front_of_their_item) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    buffered_reader reader(b, {.max_descriptors = 2});
    co_await send(a, "one\n", 1);
    co_await send(a, "two\n", 2, 3);
    co_await send(a, "three\n");
    BOOST_TEST(co_await line_of(reader) == "one");
    for (int i = 0; i != 2; ++i) {
      BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error, [](const system_error& e) {
        return e.code() == cosock::error::too_many_descriptors &&
               std::string_view(e.what()).starts_with("more than 2 descriptors");
      });
      char into[8];
      BOOST_CHECK_EXCEPTION(co_await reader.receive(into), system_error,
                            is(cosock::error::too_many_descriptors));
    }
    BOOST_TEST(numbers_of(reader.take_descriptors()) == list(1));
  });
  // As many as the limit, again and again.
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    buffered_reader reader(b, {.max_descriptors = 2});
    for (int i = 0; i != 3; ++i) co_await send(a, "line\n", i, 9);
    for (int i = 0; i != 3; ++i) {
      BOOST_TEST(co_await line_of(reader) == "line");
      BOOST_TEST(numbers_of(reader.take_descriptors()) == list(i, 9));
    }
  });
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(descriptors_the_process_has_no_room_for_end_the_stream) {
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    const std::size_t before = open_descriptors();
    buffered_reader reader(b, {.max_descriptors = 8});
    co_await send(a, "line\n", 1, 2);
    boost::system::error_code why;
    {
      auto spare = unique_descriptor::adopt(::dup(0));  // there is room for one
      const no_more_descriptors full;
      spare.close();
      // No macros of the test here: the sanitizers need descriptors.
      const auto failed = co_await cosock::as_result(reader.read_line());
      why = failed.error();
    }
    BOOST_TEST((why == errc::too_many_files_open));
    BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error, is(errc::too_many_files_open));
    BOOST_TEST(reader.take_descriptors().empty());
    BOOST_TEST(open_descriptors() == before);
  });
}

COROUTINE_TEST_CASE(without_memory_nothing_is_received_or_taken) {
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    buffered_reader reader(b, {.max_descriptors = 8});
    co_await send(a, "line\n", 1, 2);
    co_await let_others_run();  // so that the loop has nothing to do meanwhile
    const std::size_t before = open_descriptors();
    allocations_until_failure = 0;
    const auto failed = co_await cosock::as_result(reader.read_line());
    allocations_until_failure = -1;
    BOOST_REQUIRE(failed.has_error());
    BOOST_TEST(failed.error() == errc::not_enough_memory);
    BOOST_TEST(open_descriptors() == before);
    BOOST_TEST(co_await line_of(reader) == "line");
    allocations_until_failure = 0;
    bool thrown = false;
    try {
      static_cast<void>(reader.take_descriptors());
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    allocations_until_failure = -1;
    BOOST_TEST(thrown);
    BOOST_TEST(numbers_of(reader.take_descriptors()) == list(1, 2));
  });
}

COROUTINE_TEST_CASE(a_cancelled_read_loses_no_descriptor) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    buffered_reader reader(b, {.max_descriptors = 1000});
    int number = 0;
    int next = 0;
    const auto receive = [&]() -> task<> {
      co_await reader.read_line();
      BOOST_TEST(numbers_of(reader.take_descriptors()) == list(next));
      ++next;
    };
    const auto send_next = [&]() -> task<> {
      const int n = number++;
      co_await a.send("li");
      co_await send(a, "ne\n", n);
    };
    co_await check_races(receive, send_next);
    BOOST_TEST(next == number);
  });
  BOOST_TEST(open_descriptors() == before);
}
