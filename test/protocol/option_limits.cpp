// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Every number of a container or a buffer at its smallest and its largest value.

#define BOOST_TEST_MODULE option_limits
#include "scripted_stream.hpp"
#include "support.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/broadcast.hpp>
#include <cosock/channel.hpp>
#include <cosock/copy.hpp>
#include <cosock/loops.hpp>
#include <cosock/mailbox.hpp>
#include <cosock/outbox.hpp>
#include <cosock/reader.hpp>
#include <cosock/sync.hpp>
#include <cosock/udp.hpp>

#include <functional>
#include <stdexcept>
#include <vector>

namespace {

using cosock::task;
using test::scripted_stream;

constexpr std::size_t largest = SIZE_MAX;
constexpr std::size_t max_memory = PTRDIFF_MAX;

// Their allocators end the process where the standard one throws.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

/// What a number comes to when something is made with it, and used.
enum class outcome { works, refused, no_memory };

std::ostream& operator<<(std::ostream& out, outcome o) {
  constexpr const char* names[] = {"works", "refused", "no memory"};
  return out << names[static_cast<int>(o)];
}

/// Numbers that no memory can hold are refused with the option's name, the number and the most.
void check(const char* option, const std::function<void(std::size_t)>& use, std::size_t most) {
  const auto outcome_of = [&](std::size_t number) {
    try {
      use(number);
      return outcome::works;
    } catch (const std::invalid_argument& e) {
      BOOST_TEST(e.what() == "cosock: " + std::string(option) + ' ' + std::to_string(number) +
                                 ": " + std::to_string(most) + " at most");
      return outcome::refused;
    } catch (const std::bad_alloc&) {
      return outcome::no_memory;
    }
  };
  BOOST_TEST_CONTEXT(option) {
    for (const std::size_t each : {0, 1, 2}) BOOST_TEST(outcome_of(each) == outcome::works);
    for (const std::size_t each : {most + 1, largest - 1, largest})
      BOOST_TEST(outcome_of(each) == outcome::refused);
    if (!sanitized) BOOST_TEST(outcome_of(most) == outcome::no_memory);
  }
}

task<> copy_hello(std::size_t buffer, bool both) {
  const auto from = co_await test::make_scripted_stream();
  const auto to = co_await test::make_scripted_stream();
  from->push("hello");
  from->end();
  to->end();
  if (both) {
    const cosock::copy_result all = co_await cosock::copy_both(*from, *to, {.buffer = buffer});
    BOOST_TEST(!all.error, all.error.message());
    BOOST_TEST(all.first_to_second == 5u);
  } else {
    BOOST_TEST(co_await cosock::copy(*from, *to, {.buffer = buffer}) == 5u);
  }
  BOOST_TEST(to->sent() == "hello");
}

task<> read_hello(cosock::buffered_reader_options options) {
  const auto stream = co_await test::make_scripted_stream();
  stream->push_each("hello\n");
  cosock::buffered_reader reader(*stream, options);
  const auto line = co_await reader.read_line();
  BOOST_TEST((line && *line == "hello"));
}

task<> send_hello(cosock::outbox_options options) {
  const auto stream = co_await test::make_scripted_stream();
  cosock::outbox out(*stream, options);
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&] { return out.run(); });
    for (const char* each : {"h", "ell", "o"}) co_await out.send(std::string(each));
    co_await out.flush();
    out.close();
  });
  BOOST_TEST(stream->sent() == "hello");
}

task<> receive_hello(std::size_t count, std::size_t bytes_each) {
  cosock::udp_socket from({cosock::address::loopback_v4(), 0});
  cosock::udp_socket to({cosock::address::loopback_v4(), 0});
  cosock::datagram_batch batch(count, bytes_each);
  co_await from.send_to("hello", to.local_endpoint());
  BOOST_TEST(co_await to.receive_batch(batch) == (count ? 1u : 0u));
  for (const auto each : batch) {
    BOOST_TEST(each.length() == 5u);
    BOOST_TEST(each.size() == std::min<std::size_t>(bytes_each, 5));
    BOOST_TEST(each.truncated() == (bytes_each < 5));
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_capacity_of_queues_between_tasks) {
  struct large {
    char bytes[1000];
  };
  cosock::loop loop;
  const auto through_a_channel = [](std::size_t capacity) -> task<> {
    cosock::channel<large> c(capacity);
    BOOST_TEST(c.capacity() == capacity);
    BOOST_TEST(c.try_send(large()) == (capacity > 0));
    BOOST_TEST(c.try_receive().has_value() == (capacity > 0));
    co_return;
  };
  const auto through_a_broadcast = [](std::size_t capacity) -> task<> {
    cosock::broadcast<large> b(capacity);
    auto s = b.subscribe();
    for (int i = 0; i != 3; ++i) b.send(large());
    BOOST_TEST((co_await s.receive()).has_value());
    BOOST_TEST(s.missed() == (capacity == 2 ? 1u : 2u));
  };
  const auto through_a_mailbox = [](std::size_t capacity) -> task<> {
    cosock::mailbox<large> m(capacity);
    BOOST_TEST(m.make_sender().try_send(large()));
    BOOST_TEST(m.make_sender().try_send(large()) == (capacity == 2));
    BOOST_TEST((co_await m.receive()).has_value());
  };
  const std::size_t most = max_memory / sizeof(large);
  const auto run = [&](auto f) { return [&loop, f](std::size_t n) { loop.run(f(n)); }; };
  check("the capacity of a channel", run(through_a_channel), most);
  check("the capacity of a broadcast", run(through_a_broadcast), most);
  check("the capacity of a mailbox", run(through_a_mailbox), most);
}

BOOST_AUTO_TEST_CASE(buffers_of_streams) {
  cosock::loop loop;
  for (const bool both : {false, true})
    check(
        "copy_options::buffer", [&](std::size_t n) { loop.run(copy_hello(n, both)); }, max_memory);
  check(
      "buffered_reader_options::capacity",
      [&](std::size_t n) { loop.run(read_hello({.capacity = n})); }, max_memory);
  check(
      "outbox_options::max_messages",
      [&](std::size_t n) { loop.run(send_hello({.max_messages = n})); },
      max_memory / sizeof(cosock::detail::message));
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, largest - 1, largest})
    loop.run(send_hello({.max_bytes = n}));
  for (const std::size_t n : {std::size_t{5}, max_memory, largest - 2, largest - 1, largest})
    loop.run(read_hello({.max_line = n}));
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, largest - 1, largest})
    loop.run(read_hello({.max_descriptors = n}));
  for (const std::size_t n : {0, 1, 4})
    BOOST_CHECK_EXCEPTION(loop.run(read_hello({.max_line = n})), boost::system::system_error,
                          test::is(cosock::error::line_too_long));
}

BOOST_AUTO_TEST_CASE(batches_of_datagrams) {
  cosock::loop loop;
  for (const std::size_t count : {0, 1, 2, 1025})
    for (const std::size_t bytes : {0, 1, 5, 65536}) loop.run(receive_hello(count, bytes));
  for (const std::size_t count : {max_memory, largest - 1, largest})
    BOOST_CHECK_THROW(loop.run(receive_hello(count, 0)), std::invalid_argument);
  for (const std::size_t bytes : {max_memory, largest - 1, largest})
    BOOST_CHECK_EXCEPTION(loop.run(receive_hello(2, bytes)), std::invalid_argument,
                          [&](const std::exception& e) {
                            return e.what() == "cosock: the bytes of each datagram of a batch " +
                                                   std::to_string(bytes) + ": " +
                                                   std::to_string(max_memory / 2) + " at most";
                          });
}

COROUTINE_TEST_CASE(permits_of_a_semaphore) {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, largest - 1, largest}) {
    cosock::semaphore s(n);
    BOOST_TEST(static_cast<bool>(s.try_acquire(n)));
    static_cast<void>(co_await s.acquire(0));
    static_cast<void>(co_await s.acquire(n));
    BOOST_TEST(s.available() == n);
    s.release(largest);
    BOOST_TEST(s.available() == largest);
    s.release();
    BOOST_TEST(s.available() == largest);
    BOOST_TEST(static_cast<bool>(s.try_acquire(largest)));
  }
}

BOOST_AUTO_TEST_CASE(the_number_of_loops) {
  const auto refused = [](const std::exception& e) {
    return std::string_view(e.what()).ends_with(": 4096 at most");
  };
  cosock::loop loop;
  for (const unsigned n : {cosock::max_loops + 1, ~0u - 1, ~0u}) {
    const auto body = []() -> task<> { co_return; };
    BOOST_CHECK_EXCEPTION(loop.run(cosock::run_loops(n, body)), std::invalid_argument, refused);
    const cosock::endpoint any_port(cosock::address::loopback_v4(), 0);
    BOOST_CHECK_EXCEPTION(cosock::tcp_acceptors(any_port, n), std::invalid_argument, refused);
    BOOST_CHECK_EXCEPTION(cosock::local_acceptors(cosock::local_endpoint(), n),
                          std::invalid_argument, refused);
  }
  const auto none = []() -> task<> { co_return; };
  const auto is_zero = [](const std::exception& e) {
    return std::string_view(e.what()) == "cosock: the number of loops is 0";
  };
  BOOST_CHECK_EXCEPTION(loop.run(cosock::run_loops(0, none)), std::invalid_argument, is_zero);
  BOOST_CHECK_EXCEPTION(cosock::local_acceptors(cosock::local_endpoint(), 0), std::invalid_argument,
                        is_zero);
  int ran = 0;
  const auto one = [&]() -> task<> { co_return static_cast<void>(++ran); };
  loop.run(cosock::run_loops(1, one));
  BOOST_TEST(ran == 1);
}
