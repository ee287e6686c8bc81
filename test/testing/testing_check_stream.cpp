// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/check_stream.hpp>

#define BOOST_TEST_MODULE testing_check_stream
#include "buggy_stream.hpp"
#include "support.hpp"

#include <cosock/testing/memory_stream.hpp>

#include <boost/test/data/test_case.hpp>

#include <map>
#include <set>
#include <stdexcept>

// That streams without bugs pass is shown in io/stream.cpp.

namespace {

using cosock::task;
using cosock::testing::check_stream;
using cosock::testing::stream_check;
using cosock::testing::stream_checks;
using cosock::testing::stream_maker;
using cosock::testing::stream_pair;
using cosock::testing::stream_traits;
using test::bug;

struct row {
  bug planted;
  const char* bug_name;
  const char* caught_by;
  friend std::ostream& operator<<(std::ostream& out, const row& r) { return out << r.bug_name; }
};
#define ROW(name, check) \
  { bug::name, #name, #check }
const row rows[] = {
    ROW(cancelled_receive_consumes, cancel_race_loses_nothing),
    ROW(cancelled_send_still_sends, cancel_race_of_sends_loses_nothing),
    ROW(buffers_in_reverse_order, scatter_gather),
    ROW(end_then_error, half_close_eof),
    ROW(end_then_data, half_close_eof),
    ROW(short_send_as_full, basic_io),
    ROW(short_receive_as_full, send_empty_then_data),
    ROW(zero_for_would_block, close_wakes_receiver),
    ROW(error_hides_bytes, send_then_close_delivers_all),
    ROW(end_hides_bytes, data_after_peer_eof),
    ROW(last_byte_is_lost, send_then_close_delivers_all),
    ROW(byte_comes_twice, full_duplex_random_chunks),
    ROW(close_wakes_nobody, close_wakes_wait_writable),
    ROW(close_is_not_told, eof_wakes_receiver),
    ROW(reset_as_end, peer_reset_during_read),
    ROW(busy_is_not_detected, double_receive_busy),
    ROW(half_close_ends_both, eof_then_reverse_data),
    ROW(half_close_is_not_told, half_close_eof),
    ROW(waiting_takes_a_byte, wait_readable_returns_early_never_late),
    ROW(wait_readable_never_ends, wait_readable_returns_early_never_late),
    ROW(no_bound, cancel_while_pending),
    ROW(room_is_not_reported, large_write),
    ROW(every_other_arrival_is_reported, ping_pong),
    ROW(sends_into_the_void, peer_close_breaks_send),
    ROW(broken_only_once, broken_is_sticky),
    ROW(second_buffer_is_lost, scatter_gather),
    ROW(leaves_a_descriptor, basic_io),
};

const stream_check& check_of_name(std::string_view name) {
  static const std::vector<stream_check> all = stream_checks();
  for (const stream_check& check : all)
    if (check.name() == name) return check;
  throw std::invalid_argument("no check of this name: " + std::string(name));
}

void reset(cosock::byte_stream& s) { static_cast<test::buggy_stream&>(s).reset(); }

stream_maker maker_of(bug planted) {
  return [planted]() -> task<stream_pair> { co_return test::make_buggy_pair(planted); };
}

}  // namespace

BOOST_DATA_TEST_CASE(a_bug_is_caught_by_the_check_of_its_name, boost::unit_test::data::make(rows),
                     planted) {
  const test::alarm_clock guard;
  stream_traits traits = {.limit = std::chrono::milliseconds(300)};
  if (planted.planted == bug::reset_as_end) traits.reset = reset;
  const stream_check& check = check_of_name(planted.caught_by);
  BOOST_TEST(check.applies(traits));
  const std::string failure = check.run(maker_of(planted.planted), traits);
  BOOST_TEST(!failure.empty());
  BOOST_TEST_MESSAGE(planted.bug_name << ": " << failure.substr(0, 200));
  traits.limit = std::chrono::seconds(60);
  BOOST_TEST(check.run(maker_of(bug::none), traits) == "");
}

BOOST_AUTO_TEST_CASE(every_check_is_reported_with_its_name) {
  const test::alarm_clock guard;
  std::map<std::string, std::string> reported;
  check_stream(maker_of(bug::none),
               [&](std::string_view name, std::string_view failure) {
                 BOOST_TEST(reported.emplace(name, failure).second);
               },
               {.reset = reset});
  BOOST_TEST(reported.size() == stream_checks().size());
  BOOST_TEST(reported.size() == 73u);
  for (const auto& [name, failure] : reported) BOOST_TEST(failure == "", name << ": " << failure);
}

BOOST_AUTO_TEST_CASE(a_failure_says_where_and_what_was_expected) {
  const std::string failure = check_of_name("half_close_eof").run(maker_of(bug::end_then_data));
  BOOST_TEST(test::contains(failure, "stream_checks_half_close.cpp:"));
  BOOST_TEST(test::contains(failure, "expected co_await b.receive(into) == 0u [1 == 0]"));
}

BOOST_AUTO_TEST_CASE(a_promise_that_is_not_made_is_not_checked) {
  const std::set<std::string_view> needs_half_close = {
      "half_close_eof",      "send_after_eof_fails",  "eof_twice_ok",
      "data_after_peer_eof", "eof_then_reverse_data", "send_and_eof_busy"};
  for (const stream_check& check : stream_checks())
    BOOST_TEST(check.applies({.reset = reset, .half_close = false}) ==
               !needs_half_close.contains(check.name()));
}

BOOST_AUTO_TEST_CASE(what_the_maker_or_the_report_throws_is_not_lost) {
  const auto broken = []() -> task<stream_pair> {
    throw std::runtime_error("no connection");
    co_return cosock::testing::memory_pair();
  };
  BOOST_TEST(check_of_name("basic_io").run(broken) == "it threw: no connection");
  BOOST_CHECK_THROW(check_stream(broken, [](auto, auto) { throw std::logic_error("stop"); }),
                    std::logic_error);
}
