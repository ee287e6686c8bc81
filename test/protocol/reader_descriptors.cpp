// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Descriptors that are passed with lines, frames and blocks.

#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE reader_descriptors
#include "memory_stream.hpp"
#include "numbered_descriptors.hpp"

#include <cosock/when.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;

struct part {
  std::string text;
  numbers along;
};

/// Sends in these parts, and receives these lines, whether all of it waits at the beginning or not.
task<> check_lines(std::vector<part> sent, std::vector<part> expected) {
  for (const bool at_once : {true, false}) {
    auto [a, b] = cosock::local_pair();
    buffered_reader reader(b, {.max_line = 100, .max_descriptors = 8});
    const auto send_all = [&, &a = a]() -> task<> {
      for (const part& each : sent) {
        co_await send_list(a, each.text, each.along);
        if (!at_once) co_await let_others_run();
      }
    };
    const auto receive_all = [&]() -> task<> {
      for (const part& each : expected) {
        BOOST_TEST(co_await line_of(reader) == each.text);
        BOOST_TEST(numbers_of(reader.take_descriptors()) == each.along);
      }
    };
    if (at_once) co_await send_all();
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start(receive_all);
      if (!at_once) co_await send_all();
    });
    BOOST_TEST(reader.buffered().empty());
    BOOST_TEST(reader.take_descriptors().empty());
  }
}

void run_lines(std::vector<part> sent, std::vector<part> expected) {
  run_case(check_lines(std::move(sent), std::move(expected)));
}

/// What a receive without a reader knows about descriptors.
struct received {
  ssize_t bytes;
  bool with_descriptors;
};
received receive_raw(int from, std::size_t size, int flags) {
  char into[16];
  iovec piece = {into, size};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const ssize_t n = ::recvmsg(from, &message, flags | MSG_DONTWAIT);
  return {n, (message.msg_flags & MSG_CTRUNC) != 0};
}

}  // namespace

/// The reader relies on this: see lib/io/passed_descriptors.cpp.
COROUTINE_TEST_CASE(a_receive_ends_behind_the_bytes_of_a_send_with_descriptors) {
  auto [a, b] = cosock::local_pair();
  co_await send(a, "aa");
  co_await send(a, "bb");
  co_await send(a, "cc", 1);
  co_await send(a, "dd");
  const int fd = b.native_handle();
  received got =
      receive_raw(fd, 1, MSG_PEEK);  // looks at bytes behind the one that it returns, too
  BOOST_TEST(got.bytes == 1);
  got = receive_raw(fd, 16, MSG_PEEK);
  BOOST_TEST((got.bytes == 6 && got.with_descriptors));
  got = receive_raw(fd, 3, 0);
  BOOST_TEST((got.bytes == 3 && !got.with_descriptors));
  got = receive_raw(fd, 16, 0);
  BOOST_TEST((got.bytes == 3 && got.with_descriptors));
  got = receive_raw(fd, 16, MSG_PEEK);
  BOOST_TEST((got.bytes == 2 && !got.with_descriptors));
}

BOOST_AUTO_TEST_CASE(descriptors_belong_to_the_line_in_which_their_send_began) {
  const std::size_t before = open_descriptors();
  run_lines({{"a\n", {1}}}, {{"a", {1}}});
  run_lines({{"a\n", {}}, {"b\n", {1, 2}}, {"c\n", {}}}, {{"a", {}}, {"b", {1, 2}}, {"c", {}}});
  run_lines({{"a\n", {1}}, {"b\n", {2}}, {"c\n", {3}}}, {{"a", {1}}, {"b", {2}}, {"c", {3}}});
  // Several lines in a send.
  run_lines({{"a\nb\n", {1}}, {"c\nd\n", {2}}}, {{"a", {1}}, {"b", {}}, {"c", {2}}, {"d", {}}});
  run_lines({{"a\nb\nc\n", {}}, {"d\n", {1}}}, {{"a", {}}, {"b", {}}, {"c", {}}, {"d", {1}}});
  // Lines in several sends.
  run_lines({{"a", {}}, {"b\nc\n", {1}}}, {{"ab", {1}}, {"c", {}}});
  run_lines({{"a", {1}}, {"b", {2}}, {"\n", {3}}, {"c\n", {4}}}, {{"ab", {1, 2, 3}}, {"c", {4}}});
  run_lines({{"a\nb", {1}}, {"c\r\n", {2}}}, {{"a", {1}}, {"bc", {2}}});
  run_lines({{"a\n", {}}, {"b", {}}, {"c\nd\ne", {1}}, {"f\n", {}}, {"g\n", {2}}},
            {{"a", {}}, {"bc", {1}}, {"d", {}}, {"ef", {}}, {"g", {2}}});
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(descriptors_that_were_not_taken_come_with_the_next_ones) {
  auto [a, b] = cosock::local_pair();
  buffered_reader reader(b, {.max_descriptors = 8});
  co_await send(a, "a\nb\n", 1, 2, 3);
  co_await send(a, "c\n", 4);
  co_await line_of(reader);
  BOOST_TEST(numbers_of(reader.take_descriptors(0)) == list());
  BOOST_TEST(numbers_of(reader.take_descriptors(2)) == list(1, 2));
  co_await line_of(reader);
  co_await line_of(reader);
  BOOST_TEST(numbers_of(reader.take_descriptors()) == list(3, 4));
}

COROUTINE_TEST_CASE(every_kind_of_item_brings_its_descriptors) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    buffered_reader reader(b, {.capacity = 8, .max_line = 8, .max_descriptors = 2});
    const auto taken = [&] { return numbers_of(reader.take_descriptors()); };
    const numbers none;
    co_await send(a, "until;", 1);
    BOOST_TEST((co_await reader.read_until(";") == "until"));
    BOOST_TEST(taken() == list(1));
    co_await send(a, "block", 2);
    co_await send(a, "memo", 3);
    BOOST_TEST((co_await reader.read_exactly(5) == "block"));
    BOOST_TEST(taken() == list(2));
    char memory[4];
    BOOST_TEST(co_await reader.read_exactly(memory));
    BOOST_TEST(std::string_view(memory, 4) == "memo");
    BOOST_TEST(taken() == list(3));
    // More than the capacity: directly into the memory.
    char large[20];
    co_await send(a, "b\n01", 4);
    co_await send(a, "234567890123456789", 5);
    co_await send(a, "next\n", 6);
    BOOST_TEST(co_await line_of(reader) == "b");
    BOOST_TEST(taken() == list(4));
    BOOST_TEST(co_await reader.read_exactly(large));
    BOOST_TEST(std::string_view(large, 20) == "01234567890123456789");
    BOOST_TEST(taken() == list(5));
    BOOST_TEST(co_await line_of(reader) == "next");
    BOOST_TEST(taken() == list(6));
    // A line that is too long keeps its own, and those of the next one are not mixed with them.
    co_await send(a, "long line ", 7);
    co_await send(a, "s\n", 8);
    co_await send(a, "line\n", 9);
    for (int i = 0; i != 2; ++i)
      BOOST_CHECK_EXCEPTION(co_await reader.read_line(), system_error,
                            is(cosock::error::line_too_long));
    BOOST_TEST(taken() == none);
    BOOST_TEST(co_await reader.skip_line());
    BOOST_TEST(taken() == list(7, 8));
    BOOST_TEST(co_await line_of(reader) == "line");
    BOOST_TEST(taken() == list(9));
  });
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(frames_are_sent_and_received_with_descriptors) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    buffered_reader reader(b, {.capacity = 8, .max_descriptors = SIZE_MAX});
    const cosock::frame_format formats[] = {{.max_size = 1000},
                                            {.prefix = cosock::frame_prefix::varint}};
    for (const cosock::frame_format& format : formats) {
      for (const std::size_t size : {0, 1, 500}) {
        const std::string payload(size, 'x');
        const descriptor_list two({1, 2});
        co_await cosock::send_frame(a, payload, format);
        co_await cosock::send_frame_with_descriptors(a, payload, two.fds, format);
        co_await cosock::send_frame_with_descriptors(a, payload, {}, format);
        for (int i = 0; i != 3; ++i) {
          BOOST_TEST((co_await reader.read_frame(format) == payload));
          BOOST_TEST(numbers_of(reader.take_descriptors()) == list_if(i == 1, 1, 2));
        }
      }
    }
    const std::string large(1001, 'x');
    BOOST_CHECK_EXCEPTION(co_await cosock::send_frame_with_descriptors(a, large, {}, formats[0]),
                          system_error, is(cosock::error::frame_too_long));
    const std::vector<int> many(cosock::max_descriptors + 1, 0);
    BOOST_CHECK_EXCEPTION(co_await cosock::send_frame_with_descriptors(a, "x", many, formats[0]),
                          system_error, is(errc::invalid_argument));
    co_await round_trip(a, b);  // nothing was sent
  });
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(descriptors_behind_many_short_lines_wait_for_theirs) {
  auto [a, b] = cosock::local_pair();
  buffered_reader reader(b, {.max_descriptors = 1});
  co_await a.send(std::string(20'000, '\n'));
  co_await send(a, std::string(2000, 'x') + '\n', 1);
  for (int i = 0; i != 20'000; ++i) {
    const std::string line = co_await line_of(reader);
    BOOST_REQUIRE(line.empty());
    BOOST_REQUIRE(reader.take_descriptors().empty());
  }
  BOOST_TEST((co_await line_of(reader)).size() == 2000u);
  BOOST_TEST(numbers_of(reader.take_descriptors()) == list(1));
}

/// The buffer grows, and its bytes move to its front.
COROUTINE_TEST_CASE(descriptors_keep_their_lines_while_the_buffer_changes) {
  const std::size_t before = open_descriptors();
  auto [a, b] = cosock::local_pair();
  // The buffer has room for 64 KiB and 2 bytes at first.
  buffered_reader reader(b, {.capacity = 1, .max_line = 1 << 20, .max_descriptors = 2});
  constexpr int count = 60;
  const auto line = [](int i) { return std::string(static_cast<std::size_t>(i) * 4999, 'x'); };
  const auto send_all = [&, &a = a]() -> task<> {
    for (int i = 1; i != count; ++i) co_await send(a, line(i) + '\n', i);
  };
  const auto receive_all = [&]() -> task<> {
    for (int i = 1; i != count; ++i) {
      const std::string got = co_await line_of(reader);
      BOOST_TEST((got == line(i)));
      BOOST_TEST(numbers_of(reader.take_descriptors()) == list(i));
    }
  };
  co_await cosock::when_all(send_all(), receive_all());
  // Small lines that wait in buffer and socket, until the buffer has been used up several times.
  constexpr int waiting = 100;
  const std::string text = std::string(99, 'y') + '\n';
  for (int i = 0; i != 6000 + waiting; ++i) {
    const int number = i - waiting;
    if (i < 6000) co_await send_list(a, text, list_if(i % 97 == 0, i));
    if (number < 0) continue;
    const std::string got = co_await line_of(reader);
    BOOST_REQUIRE(got.size() == 99u);
    BOOST_REQUIRE(numbers_of(reader.take_descriptors()) == list_if(number % 97 == 0, number));
  }
  BOOST_TEST(open_descriptors() == before + 2);
}

COROUTINE_TEST_CASE(bytes_that_are_received_through_the_reader_count_as_consumed) {
  const std::size_t before = open_descriptors();
  {
    auto [a, b] = cosock::local_pair();
    buffered_reader reader(b, {.max_descriptors = 8});
    char into[8];
    co_await send(a, "a\nbcd");
    BOOST_TEST(co_await line_of(reader) == "a");
    co_await send(a, "e", 1);
    const auto cut = co_await cosock::as_result(cosock::with_timeout(0s, reader.read_line()));
    BOOST_TEST((cut.error() == cosock::error::timed_out));
    BOOST_TEST(co_await reader.receive(into) == 3u);
    BOOST_TEST(reader.take_descriptors().empty());
    // Past the buffer: closed, at once and after a wait.
    BOOST_TEST(co_await reader.receive(into) == 1u);
    const auto receive = [&]() -> task<> { BOOST_TEST(co_await reader.receive(into) == 1u); };
    co_await cosock::with_nursery([&, &a = a](nursery& n) -> task<> {
      n.start(receive);
      co_await let_others_run();
      co_await send(a, "f", 2);
    });
    BOOST_TEST(reader.take_descriptors().empty());
    BOOST_TEST(open_descriptors() == before + 2);
    // Through a second reader, after the bytes that the first one has read ahead.
    co_await send(a, "g\nh\ni");
    BOOST_TEST(co_await line_of(reader) == "g");
    BOOST_TEST(reader.buffered() == "h\ni");
    buffered_reader second(reader, {.max_descriptors = 8});
    co_await send(a, "\nj\n", 3);
    co_await send(a, "k\n", 4);
    for (const char* text : {"h", "i", "j", "k"}) {
      BOOST_TEST(co_await line_of(second) == text);
      const numbers taken = numbers_of(second.take_descriptors());
      BOOST_TEST(taken == list_if(*text == 'i' || *text == 'k', *text == 'i' ? 3 : 4));
    }
    BOOST_TEST(reader.take_descriptors().empty());
  }
  BOOST_TEST(open_descriptors() == before);
}

/// The system flags every receive then, as if descriptors were waiting.
COROUTINE_TEST_CASE(credentials_that_come_along_change_nothing) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    const int yes = 1;
    ::setsockopt(b.native_handle(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
    ::setsockopt(b.native_handle(), SOL_SOCKET, 76 /* SO_PASSPIDFD */, &yes, sizeof yes);
    buffered_reader reader(b, {.max_descriptors = 2});
    co_await send(a, "a\nb\n");
    co_await send(a, "c\n", 1, 2);
    for (const char* text : {"a", "b", "c"}) {
      BOOST_TEST(co_await line_of(reader) == text);
      BOOST_TEST(numbers_of(reader.take_descriptors()) == list_if(*text == 'c', 1, 2));
    }
  });
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(an_empty_message_passes_its_descriptors_to_the_next_item) {
  auto [a, b] = cosock::local_pair<local_seqpacket_socket>();
  buffered_reader reader(b, {.max_descriptors = 2});
  co_await send(a, "", 1);
  co_await send(a, "line\n", 2);
  BOOST_TEST(co_await line_of(reader) == "line");
  BOOST_TEST(numbers_of(reader.take_descriptors()) == list(1, 2));
}

COROUTINE_TEST_CASE(other_streams_bring_no_descriptors) {
  auto [peer, stream] = co_await make_memory_pair();
  buffered_reader reader(*stream, {.max_descriptors = SIZE_MAX});
  co_await peer->send("a\nb\n");
  BOOST_TEST(co_await line_of(reader) == "a");
  BOOST_TEST(co_await line_of(reader) == "b");
  BOOST_TEST(reader.take_descriptors().empty());
}
