// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/faulty.hpp>

#define BOOST_TEST_MODULE testing_faulty
#include "support.hpp"

#include <cosock/clock.hpp>
#include <cosock/testing/memory_stream.hpp>
#include <cosock/when.hpp>

#include <array>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

// That it is a stream in all respects if there are no faults is shown in io/stream.cpp.

namespace {

using boost::system::system_error;
using cosock::byte_stream;
using cosock::error;
using cosock::task;
using cosock::testing::fault_plan;
using cosock::testing::faulty;
using cosock::testing::memory_pair;
using cosock::testing::memory_stream;
using cosock::testing::random_faults;
using test::is;
using namespace std::chrono_literals;
namespace errc = boost::system::errc;

auto after(std::size_t bytes, errc::errc_t code) {
  return [=](const cosock::transfer_error& e) {
    return e.code() == code && e.bytes_transferred() == bytes;
  };
}

task<std::string> receive_all(byte_stream& from) {
  std::string all;
  std::array<char, 64> into;
  while (const std::size_t n = co_await from.receive(into)) all.append(into.data(), n);
  co_return all;
}

}  // namespace

COROUTINE_TEST_CASE(transfers_are_as_short_as_the_plan_says) {
  auto [one, other] = memory_pair();
  faulty stream(std::move(one), {.receive = {.piece = 2}, .send = {.piece = 3}});
  BOOST_TEST(co_await stream.send_some("01234567") == 3u);
  BOOST_TEST(co_await stream.send("34567") == 5u);
  BOOST_TEST(stream.bytes_sent() == 8u);
  std::array<char, 8> into;
  BOOST_TEST(co_await other.receive(into) == 8u);
  co_await other.send("abcde");
  for (const std::size_t n : {2u, 2u, 1u}) BOOST_TEST(co_await stream.receive(into) == n);
  BOOST_TEST(stream.bytes_received() == 5u);
}

COROUTINE_TEST_CASE(an_error_comes_after_just_so_many_bytes_and_stays) {
  auto [one, other] = memory_pair();
  faulty stream(std::move(one), {.receive = {.error_at = 3}, .send = {.error_at = 5}});
  BOOST_CHECK_EXCEPTION(co_await stream.send("01234567"), cosock::transfer_error,
                        after(5, errc::connection_reset));
  BOOST_CHECK_EXCEPTION(co_await stream.send_some("x"), system_error, is(errc::connection_reset));
  co_await other.send("abcdef");
  std::array<char, 8> into;
  BOOST_TEST(co_await stream.receive(into) == 3u);
  for (int i = 0; i != 2; ++i) {
    co_await stream.wait_readable();
    BOOST_CHECK_EXCEPTION(co_await stream.receive(into), system_error, is(errc::connection_reset));
  }
  BOOST_TEST(other.available() == 5u);  // what was sent before the error
}

COROUTINE_TEST_CASE(the_error_is_that_of_the_plan) {
  auto [one, other] = memory_pair();
  const boost::system::error_code timed_out(ETIMEDOUT, boost::system::system_category());
  faulty stream(one, {.receive = {.error_at = 0, .error = timed_out}});
  std::array<char, 8> into;
  BOOST_CHECK_EXCEPTION(co_await stream.receive(into), system_error, is(errc::timed_out));
}

COROUTINE_TEST_CASE(an_end_comes_after_just_so_many_bytes_and_stays) {
  auto [one, other] = memory_pair();
  faulty stream(one, {.receive = {.end_at = 3}, .send = {.end_at = 0}});
  co_await other.send("abcdef");
  BOOST_TEST((co_await receive_all(stream) == "abc"));
  BOOST_TEST((co_await receive_all(stream) == ""));
  BOOST_CHECK_EXCEPTION(co_await stream.send("x"), system_error, is(errc::broken_pipe));
}

COROUTINE_TEST_CASE(a_delay_holds_back_what_has_arrived) {
  auto [one, other] = memory_pair();
  faulty stream(std::move(one), {.receive = {.delay = 20ms}, .send = {.delay = 10ms}});
  auto begun = cosock::now();
  co_await stream.send("x");
  BOOST_TEST((cosock::now() - begun >= 10ms));
  co_await other.send("abc");
  begun = cosock::now();
  std::array<char, 8> into;
  BOOST_TEST(!stream.try_receive(into));
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, stream.receive(into)), system_error,
                        is(error::timed_out));
  BOOST_TEST(co_await stream.receive(into) == 3u);
  BOOST_TEST((cosock::now() - begun >= 20ms));
}

COROUTINE_TEST_CASE(a_receive_that_waits_gets_what_arrives_later) {
  auto [one, other] = memory_pair();
  faulty stream(std::move(one), {.receive = {.delay = 1ms}});
  const auto receive = [&]() -> task<> { BOOST_TEST((co_await receive_all(stream) == "later")); };
  const auto send = [&]() -> task<> {
    co_await cosock::yield();
    co_await other.send("later");
    co_await cosock::yield();
    other.close();
  };
  co_await cosock::when_all(receive(), send());
}

COROUTINE_TEST_CASE(a_stream_moves_while_it_waits_and_the_one_below_is_closed) {
  auto below = memory_pair();
  auto one = std::make_unique<memory_stream>(std::move(below.first));
  std::optional<faulty> stream(std::in_place, *one);
  std::optional<faulty> moved;
  std::array<char, 8> into;
  const auto receive = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await stream->receive(into), system_error, is(error::closed));
  };
  const auto move = [&]() -> task<> {
    co_await cosock::yield();
    BOOST_CHECK_EXCEPTION(co_await one->receive(into), system_error, is(error::busy));
    moved.emplace(std::move(*stream));
    BOOST_TEST(!stream->is_open());
    co_await cosock::yield();
    one->close();
  };
  co_await cosock::when_all(receive(), move());
}

COROUTINE_TEST_CASE(an_operation_below_makes_it_busy) {
  auto [one, other] = memory_pair();
  faulty stream(one);
  std::array<char, 8> into;
  const auto receive = [&]() -> task<> { BOOST_TEST(co_await one.receive(into) == 1u); };
  const auto refused = [&]() -> task<> {
    co_await cosock::yield();
    std::array<char, 8> other_memory;
    BOOST_CHECK_EXCEPTION(co_await stream.receive(other_memory), system_error, is(error::busy));
    co_await other.send("x");
  };
  co_await cosock::when_all(receive(), refused());
}

COROUTINE_TEST_CASE(half_close_and_close_go_through) {
  auto [one, other] = memory_pair();
  faulty stream(one);
  stream.shutdown_send();
  BOOST_TEST((co_await receive_all(other) == ""));
  co_await other.send("x");
  other.close();
  BOOST_TEST(co_await stream.finish());
  BOOST_TEST(!one.is_open());
}

COROUTINE_TEST_CASE(a_seed_chooses_the_same_transfers_each_time) {
  const auto sizes_of = [](std::uint64_t seed) -> task<std::string> {
    auto [one, other] = memory_pair();
    faulty stream(std::move(one), {.receive = {.piece = 50}, .seed = seed});
    co_await other.send(std::string(1000, 'x'));
    std::array<char, 64> into;
    std::string sizes;
    while (const auto n = stream.try_receive(into)) sizes += std::to_string(*n) + ' ';
    co_return sizes;
  };
  const std::string first = co_await sizes_of(7);
  BOOST_TEST((co_await sizes_of(7) == first));
  BOOST_TEST((co_await sizes_of(8) != first));
}

COROUTINE_TEST_CASE(plans_of_seeds_differ_and_lose_no_byte_without_an_end) {
  std::set<std::size_t> pieces;
  int faults = 0;
  for (std::uint64_t seed = 0; seed != 100; ++seed) {
    fault_plan plan = random_faults(seed, 1000);
    pieces.insert(*plan.receive.piece);
    for (auto* direction : {&plan.receive, &plan.send}) {
      for (const auto& at : {direction->error_at, direction->end_at}) {
        if (!at) continue;
        ++faults;
        BOOST_TEST(*at < 1000u);
      }
      direction->error_at = direction->end_at = std::nullopt;
      direction->delay = {};
    }
    auto [one, other] = memory_pair({.room = 100});
    faulty stream(std::move(one), plan);
    const std::string text(500, static_cast<char>('a' + seed % 26));
    const auto send = [](faulty& stream, const std::string& text) -> task<> {
      co_await stream.send(text);
      stream.shutdown_send();
    };
    const auto received = co_await cosock::when_all(receive_all(other), send(stream, text));
    BOOST_TEST(std::get<0>(received) == text);
  }
  BOOST_TEST(pieces.size() == 4u);
  BOOST_TEST(faults > 30);
  BOOST_TEST(faults < 70);
}

COROUTINE_TEST_CASE(what_is_zero_or_closed_is_refused) {
  auto [one, other] = memory_pair();
  const auto names = [](const char* part) {
    return [part](const std::exception& e) { return test::contains(e.what(), part); };
  };
  BOOST_CHECK_EXCEPTION(faulty(one, {.send = {.piece = 0}}), std::invalid_argument,
                        names("send.piece is 0; it is at least 1"));
  BOOST_CHECK_EXCEPTION(static_cast<void>(random_faults(1, 0)), std::invalid_argument,
                        names("0 bytes"));
  one.close();
  BOOST_CHECK_EXCEPTION(faulty{one}, system_error, is(error::closed));
  BOOST_CHECK_EXCEPTION(faulty(std::unique_ptr<byte_stream>()), system_error, is(error::closed));
  co_return;
}
