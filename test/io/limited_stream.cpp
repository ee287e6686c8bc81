// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/limited_stream.hpp>

#define BOOST_TEST_MODULE limited_stream
#include "support.hpp"

#include <cosock/clock.hpp>
#include <cosock/progress.hpp>
#include <cosock/testing/check_stream.hpp>
#include <cosock/testing/memory_stream.hpp>
#include <cosock/testing/virtual_loop.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::limited_stream;
using cosock::rate_limit;
using cosock::task;
using cosock::testing::memory_pair;
using cosock::testing::virtual_loop;

const auto seconds_since = [](cosock::clock::time_point start) {
  return std::chrono::duration<double>(cosock::now() - start).count();
};

BOOST_AUTO_TEST_SUITE(limits)

/// Sends or receives for 10 s of virtual time at 100,000 bytes a second, in pieces of these sizes.
void check_rate(bool limits_sending, std::size_t sent, std::size_t received) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    auto [a, b] = memory_pair();
    rate_limit limit(100'000, {.burst = 1000});
    limited_stream sender(a, {.send = limits_sending ? &limit : nullptr});
    limited_stream receiver(b, {.receive = limits_sending ? nullptr : &limit});
    std::size_t total = 0;
    const auto send = [&]() -> task<> {
      const std::string data(sent, 'x');
      for (;;) co_await sender.send(data);
    };
    const auto receive = [&]() -> task<> {
      std::vector<char> into(received);
      for (;;) total += co_await receiver.receive(into);
    };
    static_cast<void>(
        co_await cosock::as_result(cosock::with_timeout(10s, cosock::when_all(send(), receive()))));
    BOOST_TEST(std::abs(static_cast<double>(total) / 1e6 - 1) <= 0.02);
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(sending_is_exact_to_two_percent) {
  check_rate(true, 7, 4096);
  check_rate(true, 100'000, 4096);
}
BOOST_AUTO_TEST_CASE(receiving_is_exact_to_two_percent) {
  check_rate(false, 4096, 7);
  check_rate(false, 4096, 100'000);
}

BOOST_AUTO_TEST_CASE(streams_share_a_limit) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    rate_limit limit(1000, {.burst = 100});
    auto [a, b] = memory_pair();
    auto [c, d] = memory_pair();
    limited_stream one(a, {.send = &limit});
    limited_stream other(c, {.send = &limit});
    const auto start = cosock::now();
    const std::string data(550, 'x');
    co_await cosock::when_all(one.send(data), other.send(data));
    BOOST_TEST(std::abs(seconds_since(start) - 1.0) <= 0.02);
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(a_cancelled_wait_takes_nothing) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    rate_limit limit(10, {.burst = 10});
    auto [a, b] = memory_pair();
    limited_stream slow(b, {.receive = &limit});
    co_await a.send("0123456789abcdefghij");
    std::array<char, 10> into;
    co_await slow.receive_exactly(into);
    BOOST_CHECK_THROW(co_await cosock::with_timeout(1ms, slow.receive(into)), system_error);
    co_await slow.receive_exactly(into);
    BOOST_TEST(std::string(into.data(), into.size()) == "abcdefghij");
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(a_burst_passes_at_once_and_a_pause_fills_the_bucket) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    rate_limit limit(100, {.burst = 50});
    BOOST_TEST(limit.try_take(50));
    BOOST_TEST(!limit.try_take(1));
    BOOST_TEST(!limit.try_take(51));
    BOOST_TEST(limit.wait_for(10) == 100'000'000);
    co_await cosock::sleep_for(100ms);
    BOOST_TEST(limit.try_take(10));
    co_await cosock::sleep_for(1h);
    BOOST_TEST(limit.available(51) == 50u);
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(limits_that_are_out_of_range_are_refused) {
  const auto says = [](const std::invalid_argument& e) {
    return std::string(e.what()).find("; it is from 1 to 4611686018427387904") != std::string::npos;
  };
  BOOST_CHECK_EXCEPTION(rate_limit(0), std::invalid_argument, says);
  BOOST_CHECK_EXCEPTION(rate_limit(UINT64_MAX), std::invalid_argument, says);
  BOOST_CHECK_EXCEPTION(rate_limit(1, {.burst = 0}), std::invalid_argument, says);
  virtual_loop loop;
  const auto largest = []() -> task<> {
    rate_limit limit(std::uint64_t{1} << 62);
    BOOST_TEST(limit.try_take(limit.burst()));
    co_await cosock::sleep_for(24h * 365 * 200);
    BOOST_TEST(limit.try_take(limit.burst()));
    rate_limit slow(1, {.burst = std::uint64_t{1} << 62});
    BOOST_TEST(slow.try_take(slow.burst()));
    BOOST_TEST(slow.wait_for(slow.burst()) > 0);
  };
  loop.run(largest());
}

BOOST_AUTO_TEST_CASE(it_keeps_the_promises_of_a_stream) {
  // Limits that make operations wait now and then, and are not noticed otherwise.
  std::vector<std::unique_ptr<rate_limit>> limits;
  const cosock::testing::stream_maker make = [&]() -> task<cosock::testing::stream_pair> {
    auto [a, b] = memory_pair();
    auto below_a = std::make_unique<decltype(a)>(std::move(a));
    auto below_b = std::make_unique<decltype(b)>(std::move(b));
    cosock::stream_limits all;
    limits.push_back(std::make_unique<rate_limit>(std::uint64_t{1} << 30));
    all.receive = limits.back().get();
    limits.push_back(std::make_unique<rate_limit>(std::uint64_t{1} << 30));
    all.send = limits.back().get();
    auto first = std::make_unique<limited_stream>(*below_a, all);
    auto second = std::make_unique<limited_stream>(*below_b, cosock::stream_limits());
    cosock::testing::stream_pair both(std::move(first), std::move(second));
    both.below.push_back(std::move(below_a));
    both.below.push_back(std::move(below_b));
    co_return both;
  };
  unsigned checks = 0;
  const auto report = [&](std::string_view name, std::string_view failure) {
    ++checks;
    BOOST_TEST(failure.empty(), name << ": " << failure);
  };
  cosock::testing::check_stream(make, report, {.owns = false});
  BOOST_TEST(checks > 10u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(progress)

/// Receives until the end.
task<std::size_t> drain(cosock::byte_stream& from) {
  std::array<char, 100> into;
  std::size_t total = 0;
  while (std::size_t n = co_await from.receive(into)) total += n;
  co_return total;
}
/// Sends a piece each second.
task<> trickle(cosock::byte_stream& to, std::size_t bytes, int times) {
  const std::string data(bytes, 'x');
  while (times--) {
    co_await cosock::sleep_for(1s);
    co_await to.send(data);
  }
  to.shutdown_send();
}

BOOST_AUTO_TEST_CASE(a_peer_that_is_too_slow_ends_the_work) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    auto [a, b] = memory_pair();
    const auto start = cosock::now();
    const auto result = co_await cosock::as_result(cosock::when_all(
        trickle(a, 4, 1000),
        cosock::with_progress({.bytes = 50, .every = 10s, .grace = 5s}, b, drain(b))));
    BOOST_TEST((result.error() == cosock::error::timed_out));
    BOOST_TEST(std::abs(seconds_since(start) - 25) <=
               0.01);  // 60 bytes in 15 s, 40 in the next 10 s
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(a_peer_that_is_fast_enough_is_left_alone) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    auto [a, b] = memory_pair();
    const auto done = co_await cosock::when_all(
        trickle(a, 6, 1000), cosock::with_progress({.bytes = 50, .every = 10s}, b, drain(b)));
    BOOST_TEST(std::get<1>(done) == 6000u);
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(bytes_of_both_directions_count) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    auto [a, b] = memory_pair();
    const auto work = [&]() -> task<> { co_await trickle(b, 6, 100); };
    co_await cosock::when_all(drain(a),
                              cosock::with_progress({.bytes = 50, .every = 10s}, b, work()));
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(guards_nest_and_follow_each_other) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    auto [a, b] = memory_pair();
    std::array<char, 6> into;
    const auto many = [&]() -> task<> {
      for (int i = 0; i != 100; ++i)
        co_await cosock::with_progress({.bytes = 1, .every = 2s}, b, b.receive_exactly(into));
    };
    co_await cosock::when_all(trickle(a, 6, 100),
                              cosock::with_progress({.bytes = 50, .every = 10s}, b, many()));
  };
  loop.run(test());
}

BOOST_AUTO_TEST_CASE(a_rate_of_zero_is_refused) {
  virtual_loop loop;
  const auto test = [&]() -> task<> {
    auto [a, b] = memory_pair();
    const auto refuse = [&](cosock::progress_options bad, const char* text) {
      BOOST_CHECK_EXCEPTION(static_cast<void>(cosock::with_progress(bad, b, cosock::yield())),
                            std::invalid_argument, [&](const std::invalid_argument& e) {
                              return std::string(e.what()).find(text) != std::string::npos;
                            });
    };
    refuse({.bytes = 0}, "bytes is 0; it is at least 1");
    refuse({.every = 0s}, "every is 0 ns; it is more than 0");
    co_return;
  };
  loop.run(test());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
