// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Descriptors go once, whatever ends the operation that passes them.

#include <cosock/descriptors.hpp>

#define BOOST_TEST_MODULE descriptors_transfers
#include "descriptor_passing.hpp"
#include "local_operations.hpp"

#include <cosock/when.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace test;
using cosock::cancel_scope;
using cosock::local_pair;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::receive_descriptors_result;

}  // namespace

COROUTINE_TEST_CASE(descriptors_go_once_though_the_bytes_go_in_parts) {
  auto [a, b] = local_pair();
  const std::size_t before = open_descriptors();
  const std::array<int, 2> sent = {0, 0};
  constexpr std::size_t size = 8 << 20;
  byte_pattern l;
  l.sent(size);
  std::size_t arrived = 0;
  const auto read = [&]() -> task<> {
    std::vector<char> into(100'000);
    bool first = true;
    while (l.on_the_way() != 0) {
      const receive_descriptors_result got = co_await b.receive_with_descriptors(into, 8);
      BOOST_REQUIRE(l.received(into.data(), got.size));
      BOOST_TEST(got.refused == 0u);
      if (first) BOOST_TEST(got.descriptors.size() == 2u);
      first = false;
      arrived += got.descriptors.size();
    }
  };
  const auto [n, unused] = co_await cosock::when_all(
      a.send_with_descriptors(const_buffer(pattern().data(), size), sent), read());
  BOOST_TEST(n == size);
  BOOST_TEST(arrived == 2u);
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_send_cancelled_after_a_part_has_sent_its_descriptors_once) {
  auto [a, b] = local_pair();
  const std::size_t before = open_descriptors();
  const int fds[] = {0};
  cancel_scope scope;
  byte_pattern l;
  bool done = false;
  std::size_t gone = 0;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      try {
        co_await scope.run(a.send_with_descriptors(const_buffer(pattern().data(), huge), fds));
      } catch (const cosock::transfer_error& e) {
        BOOST_TEST(e.code() == code(cosock::error::cancelled));
        gone = e.bytes_transferred();
      }
      done = true;
    });
    co_await let_others_run();
    BOOST_TEST(!done);
    scope.cancel();
  });
  BOOST_TEST(gone != 0u);
  l.sent(gone);
  std::size_t arrived = 0;
  std::vector<char> into(100'000);
  while (l.on_the_way() != 0) {
    const receive_descriptors_result got = co_await b.receive_with_descriptors(into, 8);
    BOOST_REQUIRE(l.received(into.data(), got.size));
    arrived += got.descriptors.size();
  }
  BOOST_TEST(arrived == 1u);
  co_await round_trip(a, b);
  BOOST_TEST(open_descriptors() == before);
}

/// Bytes that were sent without descriptors stay in front of those that were sent with them.
COROUTINE_TEST_CASE(what_one_send_takes_along_is_not_mixed_with_that_of_the_next) {
  auto [a, b] = local_pair();
  pipe_ends pipe;
  const int one[] = {pipe.ends[0]};
  const int two[] = {pipe.ends[1], pipe.ends[1]};
  co_await a.send("plain ");
  co_await a.send_with_descriptors("one ", one);
  co_await a.send_with_descriptors("two", two);
  std::string text;
  std::vector<std::size_t> counts;
  char into[64];
  while (text.size() < 13) {
    const receive_descriptors_result got = co_await b.receive_with_descriptors(into, 8);
    text.append(into, got.size);
    if (!got.descriptors.empty()) counts.push_back(got.descriptors.size());
  }
  BOOST_TEST(text == "plain one two");
  BOOST_TEST((counts == std::vector<std::size_t>{1, 2}));
}

COROUTINE_TEST_CASE(a_message_that_does_not_fit_brings_its_descriptors_all_the_same) {
  auto [a, b] = local_pair<local_seqpacket_socket>();
  const int fds[] = {0, 0};
  char into[8];
  for (const std::size_t room : {0, 3, 4}) {
    co_await a.send_with_descriptors("data", fds);
    const receive_descriptors_result got =
        co_await b.receive_with_descriptors(cosock::buffer(into, room), 2);
    BOOST_TEST(got.size == room);
    BOOST_TEST(got.length == 4u);
    BOOST_TEST(got.truncated == (room < 4));
    BOOST_TEST(got.descriptors.size() == 2u);
    BOOST_TEST(!got.incomplete);
  }
}

COROUTINE_TEST_CASE(descriptors_and_the_end_of_the_peer) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    const int fds[] = {0};
    char into[8];
    co_await a.send_with_descriptors("last", fds);
    a.close();
    receive_descriptors_result got = co_await b.receive_with_descriptors(into, 8);
    BOOST_TEST((got.size == 4u && got.descriptors.size() == 1u && !got.end));
    for (int i = 0; i != 2; ++i) {
      got = co_await b.receive_with_descriptors(into, 8);
      BOOST_TEST(got.end);
      BOOST_TEST(got.size == 0u);
      BOOST_TEST(got.descriptors.empty());
    }
    const outcome o = co_await outcome_of(b.send_with_descriptors("x", fds));
    BOOST_TEST(is_broken(o.error));
  });
  // Nobody has taken them.
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    pipe_ends pipe;
    const int fds[] = {pipe.writing()};
    co_await a.send_with_descriptors("never received", fds);
    pipe.close_writing();
    BOOST_TEST(!pipe.nobody_writes());
    b.close();
    BOOST_TEST(pipe.nobody_writes());
    const outcome o = co_await outcome_of(a.send_with_descriptors("x", {}));
    BOOST_TEST(is_broken(o.error));
  });
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(passing_ends_as_all_other_operations_do) {
  const std::vector<char> message(1000);
  const int fds[] = {0};
  char into[8];
  const auto receive = [&](auto& s) { return s.receive_with_descriptors(into, 8); };
  const auto send = [&](auto& s) { return s.send_with_descriptors(message, fds); };
  co_await check_endings<local_stream_socket>(false, receive);
  co_await check_endings<local_stream_socket>(true, send);
  co_await check_endings<local_seqpacket_socket>(false, receive);
  co_await check_endings<local_seqpacket_socket>(true, send);
}

BOOST_AUTO_TEST_CASE(loops_end_under_passing) {
  const std::vector<char> message(1000);
  const int fds[] = {0};
  char into[8];
  const auto receive = [&](auto& s) { return s.receive_with_descriptors(into, 8); };
  const auto send = [&](auto& s) { return s.send_with_descriptors(message, fds); };
  check_loops<local_stream_socket>(false, receive);
  check_loops<local_stream_socket>(true, send);
  check_loops<local_seqpacket_socket>(false, receive);
  check_loops<local_seqpacket_socket>(true, send);
}

COROUTINE_TEST_CASE(a_cancelled_receive_loses_no_descriptor) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    const int fds[] = {0, 0};
    char into[1];
    co_await check_races([&] { return b.receive_with_descriptors(into, 2); },
                         [&] { return a.send_with_descriptors("x", fds); });
  });
  BOOST_TEST(open_descriptors() == before);
}

/// A task that is dropped in the turn in which its receive completes closes what it got.
COROUTINE_TEST_CASE(a_receive_dropped_when_it_completes_leaks_nothing) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    auto [told, teller] = local_pair();
    const int fds[] = {0, 0};
    for (int round = 0; round != 50; ++round) {
      const std::size_t now = open_descriptors();
      char into[1];
      std::unique_ptr<cosock::task_handle<outcome>> receiving;
      const auto drop = [&]() -> task<> {
        char byte[1];
        co_await told.receive(byte);
        receiving.reset();
      };
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        n.start(drop);
        co_await cosock::yield();
        receiving =
            start_on(cosock::loop::current(), outcome_of(b.receive_with_descriptors(into, 2)));
        co_await let_others_run();
        if (round % 2) co_await a.send_with_descriptors("x", fds);
        co_await teller.send("!");
        if (round % 2 == 0) co_await a.send_with_descriptors("x", fds);
      });
      pollfd asked = {b.native_handle(), POLLIN, 0};
      if (::poll(&asked, 1, 0) == 1) co_await b.receive(into);
      BOOST_TEST(open_descriptors() == now);
    }
  });
  BOOST_TEST(open_descriptors() == before);
}
