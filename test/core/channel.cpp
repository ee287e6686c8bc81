// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/channel.hpp>

#define BOOST_TEST_MODULE channel
#include "allocations.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/when.hpp>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::channel;
using cosock::error;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using cosock::yield;
using test::is;
using test::run_until_idle;
using pointer = std::unique_ptr<int>;

task<> receive_one(channel<int>& c) {
  const auto value = co_await c.receive();
  BOOST_TEST(value.value() == 1);
}
task<> send_one(channel<int>& c, int n = 1) { co_await c.send(n); }
task<> send_range(channel<pointer>& c, int first, int last) {
  for (int i = first; i != last; ++i) co_await c.send(std::make_unique<int>(i));
}

}  // namespace

COROUTINE_TEST_CASE(values_come_in_order_whatever_the_capacity) {
  for (const std::size_t capacity : {0u, 1u, 2u, 3u, 7u, 100u}) {
    channel<pointer> c(capacity);
    BOOST_TEST(c.capacity() == capacity);
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await send_range(c, 0, 50);
        c.close();
      });
      int expected = 0;
      while (const auto value = co_await c.receive()) BOOST_TEST(**value == expected++);
      BOOST_TEST(expected == 50);
    });
  }
}

COROUTINE_TEST_CASE(every_value_is_received_once_by_many_from_many) {
  for (const std::size_t capacity : {0u, 1u, 5u}) {
    channel<pointer> c(capacity);
    std::vector<int> seen(400);
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i != 5; ++i)
        n.start([&]() -> task<> {
          while (const auto value = co_await c.receive()) ++seen[static_cast<std::size_t>(**value)];
        });
      co_await with_nursery([&](nursery& senders) -> task<> {
        for (int i = 0; i != 4; ++i) senders.start(send_range, std::ref(c), i * 100, (i + 1) * 100);
        co_return;
      });
      c.close();
    });
    for (const int times : seen) BOOST_REQUIRE(times == 1);
  }
}

BOOST_AUTO_TEST_CASE(receivers_and_senders_are_served_in_the_order_in_which_they_came) {
  for (const std::size_t capacity : {0u, 1u}) {
    cosock::loop loop;
    channel<int> c(capacity);
    std::vector<int> order;
    const auto receive = [&](int number) -> task<> {
      const auto value = co_await c.receive();
      order.push_back(number * 10 + value.value());
    };
    auto a = loop.start(receive(1));
    auto b = loop.start(receive(2));
    run_until_idle(loop);
    BOOST_TEST(c.try_send(1));
    BOOST_TEST(c.try_send(2));
    BOOST_TEST(c.size() == 0u);
    BOOST_TEST(!c.try_receive());  // nobody is overtaken
    run_until_idle(loop);
    auto d = loop.start(send_one(c, 3));
    auto e = loop.start(send_one(c, 4));
    auto f = loop.start(send_one(c, 5));
    run_until_idle(loop);
    BOOST_TEST(!c.try_send(6));
    BOOST_TEST(c.try_receive().value() == 3);
    BOOST_TEST(!c.try_send(6));
    BOOST_TEST(c.try_receive().value() == 4);
    BOOST_TEST(c.try_receive().value() == 5);
    run_until_idle(loop);
    BOOST_TEST((d.done() && e.done() && f.done()));
    const std::vector<int> expected = {11, 22};
    BOOST_TEST(order == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_rendezvous_holds_nothing) {
  cosock::loop loop;
  channel<int> c(0);
  BOOST_TEST(!c.try_send(1));
  auto sender = loop.start(send_one(c));
  run_until_idle(loop);
  BOOST_TEST(!sender.done());
  BOOST_TEST(c.size() == 0u);
  auto receiver = loop.start(receive_one(c));
  run_until_idle(loop);
  BOOST_TEST((sender.done() && receiver.done()));
}

BOOST_AUTO_TEST_CASE(what_is_queued_when_the_channel_is_closed_can_be_received) {
  cosock::loop loop;
  channel<int> c(2);
  BOOST_TEST(c.try_send(1));
  BOOST_TEST(c.try_send(2));
  auto waits = loop.start(send_one(c, 3));
  run_until_idle(loop);
  c.close();
  c.close();
  BOOST_TEST(c.is_closed());
  run_until_idle(loop);
  BOOST_CHECK_EXCEPTION(waits.result(), system_error, is(error::closed));
  BOOST_TEST(!c.try_send(4));
  BOOST_CHECK_EXCEPTION(loop.run(send_one(c)), system_error, is(error::closed));
  const auto rest = [&]() -> task<int> {
    int sum = 0;
    while (const auto value = co_await c.receive()) sum += *value;
    const auto again = co_await c.receive();
    BOOST_TEST(!again);
    co_return sum;
  };
  BOOST_TEST(loop.run(rest()) == 3);
}

BOOST_AUTO_TEST_CASE(closing_wakes_every_receiver) {
  cosock::loop loop;
  channel<int> c(0);
  const auto receive_end = [&]() -> task<> {
    const auto value = co_await c.receive();
    BOOST_TEST(!value);
  };
  auto a = loop.start(receive_end());
  auto b = loop.start(receive_end());
  run_until_idle(loop);
  c.close();
  run_until_idle(loop);
  a.result();
  b.result();
}

COROUTINE_TEST_CASE(what_could_not_be_sent_is_still_the_senders) {
  channel<pointer> c(1);
  pointer value = std::make_unique<int>(7);
  BOOST_TEST(c.try_send(std::make_unique<int>(1)));
  BOOST_TEST(!c.try_send(std::move(value)));
  BOOST_TEST(*value == 7);
  const auto late = co_await as_result(cosock::with_timeout(1ms, c.send(std::move(value))));
  BOOST_TEST((late.error() == error::timed_out));
  BOOST_TEST(*value == 7);
  c.close();
  const auto closed = co_await as_result(c.send(std::move(value)));
  BOOST_TEST((closed.error() == error::closed));
  BOOST_TEST(*value == 7);
}

COROUTINE_TEST_CASE(an_lvalue_is_copied) {
  channel<std::string> c(1);
  const std::string kept(100, 'x');
  co_await c.send(kept);
  BOOST_TEST(!c.try_send(kept));
  const auto first = co_await c.receive();
  BOOST_TEST(first.value() == kept);
  BOOST_TEST(c.try_send(kept));
  BOOST_TEST(kept.size() == 100u);
}

BOOST_AUTO_TEST_CASE(a_value_handed_to_a_receiver_that_is_cancelled_in_the_same_turn_arrives) {
  cosock::loop loop;
  channel<int> c(0);
  std::vector<int> got;
  const auto receive = [&]() -> task<> {
    const auto value = co_await c.receive();
    got.push_back(value.value());
  };
  auto first = loop.start(receive());
  auto second = loop.start(receive());
  run_until_idle(loop);
  first.cancel();
  BOOST_TEST(c.try_send(1));  // to the second
  second.cancel();
  run_until_idle(loop);
  BOOST_CHECK_EXCEPTION(first.result(), system_error, is(error::cancelled));
  second.result();
  BOOST_TEST(got.size() == 1u);
}

COROUTINE_TEST_CASE(no_value_is_lost_or_doubled_while_senders_and_receivers_are_cancelled) {
  std::mt19937 random(3);
  for (const std::size_t capacity : {0u, 1u, 4u}) {
    channel<pointer> c(capacity);
    int sent = 0;
    int received = 0;
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i != 200; ++i) {
        n.start(
            [&](unsigned turns) -> task<> {
              cosock::cancel_scope scope;
              co_await with_nursery([&](nursery& pair) -> task<> {
                pair.start([&]() -> task<> {
                  pointer value = std::make_unique<int>(1);
                  const auto done = co_await as_result(scope.run(c.send(std::move(value))));
                  if (done) ++sent;
                  BOOST_TEST(done.has_value() == !value);
                });
                for (unsigned k = 0; k != turns; ++k) co_await yield();
                scope.cancel();
              });
            },
            random() % 6);
        n.start(
            [&](unsigned turns) -> task<> {
              cosock::cancel_scope scope;
              co_await with_nursery([&](nursery& pair) -> task<> {
                pair.start([&]() -> task<> {
                  const auto value = co_await as_result(scope.run(c.receive()));
                  if (value) received += **value.value();
                });
                for (unsigned k = 0; k != turns; ++k) co_await yield();
                scope.cancel();
              });
            },
            random() % 6);
        if (i % 10 == 0) co_await yield();
      }
    });
    while (const auto left = c.try_receive()) received += **left;
    BOOST_TEST(sent == received);
    BOOST_TEST(sent > 0);
  }
}

COROUTINE_TEST_CASE(a_sender_that_never_has_to_wait_lets_others_run) {
  channel<int> c(1);
  bool other = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await yield();
      other = true;
    });
    while (!other) {
      co_await c.send(1);
      static_cast<void>(co_await c.receive());
    }
  });
  BOOST_TEST(other);
}

BOOST_AUTO_TEST_CASE(values_are_destroyed_with_the_channel) {
  {
    channel<test::instance_counter> c(3);
    BOOST_TEST(c.try_send(test::instance_counter()));
    BOOST_TEST(c.try_send(test::instance_counter()));
    BOOST_TEST(test::instance_counter::alive == 2);
    static_cast<void>(c.try_receive());
    BOOST_TEST(test::instance_counter::alive == 1);
  }
  BOOST_TEST(test::instance_counter::alive == 0);
}

COROUTINE_TEST_CASE(sending_and_receiving_allocate_nothing) {
  for (const std::size_t capacity : {0u, 1u, 8u}) {
    channel<int> c(capacity);
    const auto rounds = [&](int times) -> task<> {
      co_await with_nursery([&](nursery& n) -> task<> {
        n.start(
            [&](int times) -> task<> {
              for (int i = 0; i != times; ++i) co_await c.send(i);
            },
            times);
        for (int i = 0; i != times; ++i) {
          const auto value = co_await cosock::with_timeout(1s, c.receive());
          BOOST_REQUIRE(value.value() == i);
        }
      });
    };
    co_await rounds(1);
    test::allocations_until_failure = 1'000'000;
    co_await rounds(1000);
    const long used = 1'000'000 - test::allocations_until_failure.exchange(-1);
    BOOST_TEST(used < 20);  // frames and the nursery, once
  }
}
