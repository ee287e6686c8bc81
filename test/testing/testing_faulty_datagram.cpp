// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/faulty_datagram.hpp>

#define BOOST_TEST_MODULE testing_faulty_datagram
#include "support.hpp"

#include <cosock/clock.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/testing/memory_datagram.hpp>
#include <cosock/testing/virtual_loop.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// That it is a datagram socket in all respects if there are no faults is shown in testing_datagrams.cpp.

namespace {

using boost::system::system_error;
using cosock::error;
using cosock::local_datagram_socket;
using cosock::local_endpoint;
using cosock::task;
using cosock::udp_socket;
using cosock::testing::datagram_direction_faults;
using cosock::testing::datagram_fault;
using cosock::testing::datagram_fault_plan;
using cosock::testing::faulty_datagram_socket;
using cosock::testing::memory_datagram_pair;
using cosock::testing::random_datagram_faults;
using test::is;
using namespace std::chrono_literals;
namespace errc = boost::system::errc;

udp_socket udp() { return udp_socket({cosock::address::loopback_v4(), 0}); }

/// Two UDP sockets that are connected to each other.
struct udp_pair {
  udp_socket one = udp();
  udp_socket other = udp();
  udp_pair() {
    one.connect(other.local_endpoint());
    other.connect(one.local_endpoint());
  }
};

template <class Socket>
task<> send_numbers(Socket& to, int from, int end) {
  for (int i = from; i != end; ++i) co_await to.send(std::to_string(i));
}

/// The texts of so many datagrams.
template <class Socket>
task<std::string> receive_texts(Socket& from, int count) {
  std::string all;
  for (int i = 0; i != count; ++i) {
    char into[100];
    const auto got = co_await from.receive(into);
    if (!all.empty()) all += ' ';
    all.append(into, got.size);
  }
  co_return all;
}

/// What arrives of six numbers over UDP with these faults of the one direction, and then of the other one.
task<> numbers_arrive(datagram_direction_faults faults, std::string expected) {
  const int count = static_cast<int>(std::ranges::count(expected, ' ')) + 1;
  {
    udp_pair pair;
    faulty_datagram_socket lossy(pair.one, {.send = faults});
    co_await send_numbers(lossy, 0, 6);
    BOOST_TEST((co_await receive_texts(pair.other, count) == expected));
    BOOST_TEST(lossy.datagrams_sent() == 6u);
  }
  udp_pair pair;
  faulty_datagram_socket lossy(std::move(pair.one), {.receive = faults});
  co_await send_numbers(pair.other, 0, 6);
  BOOST_TEST((co_await receive_texts(lossy, count) == expected));
}

}  // namespace

COROUTINE_TEST_CASE(a_dropped_datagram_does_not_arrive) {
  const std::array<datagram_fault, 2> list = {{{.at = 4, .dropped = true}, {.dropped = true}}};
  co_await numbers_arrive({.list = list}, "1 2 3 5");
}

COROUTINE_TEST_CASE(a_duplicated_datagram_arrives_again) {
  const std::array<datagram_fault, 2> list = {
      {{.at = 1, .duplicates = 1}, {.at = 3, .duplicates = 2}}};
  co_await numbers_arrive({.list = list}, "0 1 1 2 3 3 3 4 5");
}

COROUTINE_TEST_CASE(a_datagram_is_held_back_until_others_have_overtaken_it) {
  const std::array<datagram_fault, 2> list = {
      {{.at = 0, .held_back = 2}, {.at = 3, .held_back = 1}}};
  co_await numbers_arrive({.list = list}, "1 2 0 4 3 5");
}

COROUTINE_TEST_CASE(a_datagram_is_cut) {
  const std::array<datagram_fault, 2> list = {{{.at = 1, .cut_to = 0}, {.at = 2, .cut_to = 100}}};
  co_await numbers_arrive({.list = list}, "0  2 3 4 5");
  udp_pair pair;
  faulty_datagram_socket lossy(pair.one, {.receive = {.truncation = 1}});
  co_await pair.other.send("whole");
  char into[100];
  const auto got = co_await lossy.receive(into);
  BOOST_TEST(got.size < 5u);
  BOOST_TEST(got.length == got.size);
  BOOST_TEST(!got.truncated);
}

BOOST_AUTO_TEST_CASE(a_delayed_datagram_arrives_later_and_others_do_not_wait_for_it) {
  const std::array<datagram_fault, 1> list = {{{.at = 1, .delay = 1h}}};
  for (const bool sends : {true, false}) {
    cosock::testing::virtual_loop loop;
    loop.run([](std::span<const datagram_fault> list, bool sends) -> task<> {
      auto [one, other] = memory_datagram_pair();
      datagram_fault_plan plan;
      (sends ? plan.send : plan.receive).list = list;
      faulty_datagram_socket late(std::move(one), plan);
      cosock::datagram_socket<>& from =
          sends ? static_cast<cosock::datagram_socket<>&>(late) : other;
      cosock::datagram_socket<>& to = sends ? static_cast<cosock::datagram_socket<>&>(other) : late;
      co_await send_numbers(from, 0, 3);
      const auto begun = cosock::now();
      BOOST_TEST((co_await receive_texts(to, 2) == "0 2"));
      BOOST_TEST((cosock::now() - begun < 1s));
      BOOST_TEST((co_await receive_texts(to, 1) == "1"));
      BOOST_TEST((cosock::now() - begun >= 1h));
      BOOST_TEST((cosock::now() - begun < 1h + 1s));
    }(list, sends));
  }
}

BOOST_AUTO_TEST_CASE(a_delay_of_all_keeps_their_order_and_jitter_does_not) {
  const auto run = [](datagram_direction_faults faults, std::uint64_t seed) {
    std::string all;
    cosock::testing::virtual_loop loop;
    loop.run([](datagram_fault_plan plan, std::string& all) -> task<> {
      auto [one, other] = memory_datagram_pair();
      faulty_datagram_socket late(std::move(one), plan);
      const auto begun = cosock::now();
      co_await send_numbers(late, 0, 8);
      BOOST_TEST((cosock::now() == begun));  // a send does not wait for the delay
      all = co_await receive_texts(other, 8);
      BOOST_TEST((cosock::now() - begun >= 20ms));
    }({.send = faults, .seed = seed}, all));
    return all;
  };
  BOOST_TEST(run({.delay = 20ms}, 1) == "0 1 2 3 4 5 6 7");
  const std::string shuffled = run({.delay = 20ms, .jitter = 1s}, 1);
  BOOST_TEST(shuffled != "0 1 2 3 4 5 6 7");
  BOOST_TEST(run({.delay = 20ms, .jitter = 1s}, 1) == shuffled);
  BOOST_TEST(run({.delay = 20ms, .jitter = 1s}, 2) != shuffled);
}

BOOST_AUTO_TEST_CASE(the_last_datagram_is_held_back_for_the_limit_only) {
  for (const bool sends : {true, false}) {
    cosock::testing::virtual_loop loop;
    loop.run([](bool sends) -> task<> {
      auto [one, other] = memory_datagram_pair();
      datagram_fault_plan plan;
      auto& faults = sends ? plan.send : plan.receive;
      faults.reordering = 1;
      faults.hold_limit = 10s;
      faulty_datagram_socket late(std::move(one), plan);
      cosock::datagram_socket<>& from =
          sends ? static_cast<cosock::datagram_socket<>&>(late) : other;
      cosock::datagram_socket<>& to = sends ? static_cast<cosock::datagram_socket<>&>(other) : late;
      const auto begun = cosock::now();
      co_await from.send("x");
      BOOST_TEST((co_await receive_texts(to, 1) == "x"));
      BOOST_TEST((cosock::now() - begun >= 10s));
    }(sends));
  }
}

COROUTINE_TEST_CASE(an_error_comes_once_and_moves_no_datagram) {
  udp_pair pair;
  const boost::system::error_code reset(ECONNRESET, boost::system::system_category());
  faulty_datagram_socket lossy(
      pair.one, {.receive = {.error_at = 1}, .send = {.error_at = 2, .error = reset}});
  co_await send_numbers(lossy, 0, 2);
  BOOST_CHECK_EXCEPTION(co_await lossy.send("2"), system_error, is(errc::connection_reset));
  co_await lossy.send("2");
  BOOST_TEST((co_await receive_texts(pair.other, 3) == "0 1 2"));
  co_await send_numbers(pair.other, 0, 2);
  BOOST_TEST((co_await receive_texts(lossy, 1) == "0"));
  char into[8];
  BOOST_CHECK_EXCEPTION(co_await lossy.receive(into), system_error, is(errc::connection_refused));
  BOOST_TEST((co_await receive_texts(lossy, 1) == "1"));
}

COROUTINE_TEST_CASE(an_error_in_a_batch_is_not_lost) {
  udp_pair pair;
  faulty_datagram_socket lossy(pair.one, {.receive = {.error_at = 2}, .send = {.error_at = 1}});
  const std::array<cosock::const_buffer, 2> both = {cosock::const_buffer("a", 1),
                                                    cosock::const_buffer("b", 1)};
  BOOST_CHECK_EXCEPTION(
      co_await lossy.send_batch(both), cosock::transfer_error,
      [](const cosock::transfer_error& e) { return e.datagrams_transferred() == 1; });
  co_await send_numbers(pair.other, 0, 3);
  cosock::datagram_batch batch(8, 8);
  std::size_t received = 0;
  while (received != 2) received += co_await lossy.receive_batch(batch);
  BOOST_CHECK_EXCEPTION(co_await lossy.receive_batch(batch), system_error,
                        is(errc::connection_refused));
  BOOST_TEST(co_await lossy.receive_batch(batch) == 1u);
}

COROUTINE_TEST_CASE(errors_of_the_socket_below_come_through) {
  udp_socket one = udp();
  {
    const udp_socket gone = udp();
    one.connect(gone.local_endpoint());
  }
  const std::array<datagram_fault, 1> list = {{{.at = 1, .duplicates = 1}}};
  faulty_datagram_socket lossy(one, {.send = {.list = list}});
  co_await lossy.send("nobody is there");
  BOOST_CHECK_EXCEPTION(co_await lossy.send("x"), system_error, is(errc::connection_refused));
  co_await lossy.send("x");  // the answer to the first copy meets the second one
  BOOST_CHECK_EXCEPTION(co_await lossy.send("x"), system_error, is(errc::connection_refused));
  BOOST_CHECK_EXCEPTION(co_await lossy.send(std::string(70'000, 'x')), system_error,
                        is(errc::message_size));
  one.close();
  BOOST_CHECK_EXCEPTION(co_await lossy.send("x"), system_error, is(error::closed));
}

COROUTINE_TEST_CASE(local_sockets_have_faults_too) {
  auto one = local_datagram_socket(local_endpoint());
  auto other = local_datagram_socket(local_endpoint());
  const local_endpoint to = other.local_endpoint();
  const local_endpoint from = one.local_endpoint();
  const std::array<datagram_fault, 2> list = {
      {{.at = 0, .held_back = 1}, {.at = 2, .dropped = true}}};
  faulty_datagram_socket lossy(std::move(one), {.send = {.list = list}});
  for (const std::string_view text : {"a", "b", "c", "d"}) co_await lossy.send_to(text, to);
  BOOST_TEST((co_await receive_texts(other, 3) == "b a d"));
  faulty_datagram_socket receiver(std::move(other), {.receive = {.duplication = 1}});
  co_await lossy.send_to("e", to);
  for (int i = 0; i != 2; ++i) {
    char into[4];
    const auto got = co_await receiver.receive_from(into);
    BOOST_TEST((got.from == from));
  }
}

COROUTINE_TEST_CASE(a_late_datagram_waits_for_room_below) {
  auto [one, other] = memory_datagram_pair({.room = 1});
  const std::array<datagram_fault, 1> list = {{{.at = 0, .duplicates = 3}}};
  faulty_datagram_socket late(std::move(one), {.send = {.list = list}});
  co_await late.send("a");
  const auto send = [&]() -> task<> { co_await late.send("b"); };
  const auto receive = [&]() -> task<> {
    BOOST_TEST((co_await receive_texts(other, 5) == "a a a a b"));
  };
  co_await cosock::when_all(send(), receive());
}

COROUTINE_TEST_CASE(a_send_waits_while_too_many_are_late) {
  auto [one, other] = memory_datagram_pair();
  faulty_datagram_socket late(std::move(one), {.send = {.delay = 1h, .room = 2}});
  co_await send_numbers(late, 0, 2);
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, late.send("2")), system_error,
                        is(error::timed_out));
  late.close();  // what is late is lost
  char into[8];
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, other.receive(into)), system_error,
                        is(error::timed_out));
}

COROUTINE_TEST_CASE(a_socket_moves_while_it_waits_and_the_one_below_is_busy) {
  udp_pair pair;
  std::optional<faulty_datagram_socket<cosock::endpoint>> socket(std::in_place, pair.one);
  std::optional<faulty_datagram_socket<cosock::endpoint>> moved;
  const auto receive = [&]() -> task<> { BOOST_TEST((co_await receive_texts(*socket, 1) == "x")); };
  const auto move = [&]() -> task<> {
    co_await cosock::yield();
    char into[8];
    BOOST_CHECK_EXCEPTION(co_await pair.one.receive(into), system_error, is(error::busy));
    moved.emplace(std::move(*socket));
    BOOST_TEST(!socket->is_open());
    co_await pair.other.send("x");
  };
  co_await cosock::when_all(receive(), move());
  const auto close = [&]() -> task<> {
    co_await cosock::yield();
    pair.one.close();
  };
  const auto fail = [&]() -> task<> {
    char into[8];
    BOOST_CHECK_EXCEPTION(co_await moved->receive(into), system_error, is(error::closed));
  };
  co_await cosock::when_all(fail(), close());
}

COROUTINE_TEST_CASE(faults_may_be_above_faults) {
  udp_pair pair;
  faulty_datagram_socket first(std::move(pair.one), {.receive = {.loss = 1}});
  const std::array<datagram_fault, 1> list = {{{.at = 0, .dropped = true}}};
  faulty_datagram_socket second(std::move(first), {.send = {.list = list}});  // moves
  faulty_datagram_socket third(static_cast<cosock::datagram_socket<>&>(second),
                               {.send = {.list = list}});
  for (int i = 0; i != 200; ++i) co_await pair.other.send("lost");  // more than are taken in a turn
  char into[8];
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, third.receive(into)), system_error,
                        is(error::timed_out));
  co_await send_numbers(third, 0, 3);
  BOOST_TEST((co_await receive_texts(pair.other, 1) == "2"));
}

COROUTINE_TEST_CASE(a_seed_chooses_the_same_faults_each_time) {
  const auto pass = [](datagram_direction_faults faults,
                       std::uint64_t seed) -> task<std::vector<std::string>> {
    auto [one, other] = memory_datagram_pair({.room = 1000});
    faulty_datagram_socket lossy(std::move(one), {.send = faults, .seed = seed});
    co_await send_numbers(lossy, 1000, 1500);
    std::vector<std::string> all;
    for (;;) {
      char into[16];
      const auto got = co_await cosock::as_result(cosock::with_timeout(1ms, other.receive(into)));
      if (!got) co_return all;
      all.emplace_back(into, got->size);
    }
  };
  const auto lost = co_await pass({.loss = 0.3}, 1);
  BOOST_TEST(lost.size() > 300u);
  BOOST_TEST(lost.size() < 400u);
  BOOST_TEST((co_await pass({.loss = 0.3}, 1) == lost));
  BOOST_TEST((co_await pass({.loss = 0.3}, 2) != lost));
  BOOST_TEST((co_await pass({.loss = 1}, 1)).empty());
  BOOST_TEST((co_await pass({.duplication = 1}, 1)).size() == 1000u);
  const auto shuffled = co_await pass({.reordering = 0.5}, 1);
  BOOST_TEST(shuffled.size() >= 495u);  // the last ones may still be held back
  BOOST_TEST(!std::is_sorted(shuffled.begin(), shuffled.end()));
}

BOOST_AUTO_TEST_CASE(plans_of_seeds_differ_and_a_program_that_repeats_gets_its_answer) {
  int errors = 0;
  for (std::uint64_t seed = 0; seed != 100; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      const datagram_fault_plan plan = random_datagram_faults(seed, 5);
      for (const auto* faults : {&plan.receive, &plan.send}) {
        BOOST_TEST(faults->loss + faults->duplication + faults->reordering > 0);
        if (!faults->error_at) continue;
        ++errors;
        BOOST_TEST(*faults->error_at < 5u);
      }
      cosock::testing::virtual_loop loop;
      loop.run([](datagram_fault_plan plan) -> task<> {
        auto [one, other] = memory_datagram_pair();
        faulty_datagram_socket lossy(std::move(one), plan);
        const auto answer = [](cosock::datagram_socket<>& socket) -> task<> {
          for (;;) {
            char into[16];
            const auto got = co_await socket.receive(into);
            co_await socket.send(cosock::buffer(into, got.size));
          }
        };
        const auto ask = [](cosock::datagram_socket<>& socket) -> task<> {
          for (int i = 0; i != 20; ++i) {
            const std::string number = std::to_string(i);
            for (bool again = true; again;) {
              (void)co_await cosock::as_result(socket.send(number));
              const auto answered = [&]() -> task<> {
                while (co_await receive_texts(socket, 1) != number) continue;
              };
              const auto result = co_await cosock::as_result(cosock::with_timeout(1s, answered()));
              again = !result;
            }
          }
        };
        co_await cosock::when_any(answer(other), ask(lossy));
      }(plan));
    }
  }
  BOOST_TEST(errors > 10);
  BOOST_TEST(errors < 40);
}

COROUTINE_TEST_CASE(what_is_invalid_or_closed_is_refused) {
  udp_socket one = udp();
  const auto names = [](const char* part) {
    return [part](const std::exception& e) { return test::contains(e.what(), part); };
  };
  const std::array<datagram_fault, 2> twice = {{{.at = 3}, {.at = 3}}};
  BOOST_CHECK_EXCEPTION(faulty_datagram_socket(one, {.send = {.loss = 1.1}}), std::invalid_argument,
                        names("send.loss is 1.1"));
  BOOST_CHECK_EXCEPTION(faulty_datagram_socket(one, {.receive = {.room = 0}}),
                        std::invalid_argument, names("receive.room is 0; it is at least 1"));
  BOOST_CHECK_EXCEPTION(faulty_datagram_socket(one, {.receive = {.max_held_back = 0}}),
                        std::invalid_argument, names("max_held_back is 0"));
  BOOST_CHECK_EXCEPTION(faulty_datagram_socket(one, {.send = {.list = twice}}),
                        std::invalid_argument, names("list has the number 3 more than once"));
  BOOST_CHECK_EXCEPTION(static_cast<void>(random_datagram_faults(1, 0)), std::invalid_argument,
                        names("0 datagrams"));
  cosock::loop other;
  udp_socket foreign(other, {cosock::address::loopback_v4(), 0});
  BOOST_CHECK_EXCEPTION(faulty_datagram_socket{foreign}, system_error, is(error::wrong_loop));
  one.close();
  BOOST_CHECK_EXCEPTION(faulty_datagram_socket{one}, system_error, is(error::closed));
  BOOST_CHECK_EXCEPTION(faulty_datagram_socket(std::unique_ptr<udp_socket>()), system_error,
                        is(error::closed));
  co_return;
}
