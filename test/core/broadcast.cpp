// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/broadcast.hpp>
#include <cosock/sync.hpp>

#define BOOST_TEST_MODULE broadcast
#include "allocations.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using boost::system::system_error;
using cosock::as_result;
using cosock::broadcast;
using cosock::error;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::is;
using test::run_until_idle;
using subscription = broadcast<int>::subscription;

task<> receive_one(subscription& from) {
  const auto value = co_await from.receive();
  BOOST_TEST(value.value() == 1);
}
task<> collect(subscription from, std::vector<int>& into) {
  while (const auto value = co_await from.receive()) into.push_back(*value);
}

}  // namespace

COROUTINE_TEST_CASE(everybody_sees_what_was_sent_after_they_subscribed) {
  broadcast<int> b(8);
  std::vector<int> early;
  std::vector<int> late;
  BOOST_TEST(b.send(0));
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(collect, b.subscribe(), std::ref(early));
    BOOST_TEST(b.send(1));
    co_await cosock::yield();
    n.start(collect, b.subscribe(), std::ref(late));
    BOOST_TEST(b.send(2));
    co_await cosock::yield();
    BOOST_TEST(b.send(3));
    b.close();
    BOOST_TEST(!b.send(4));
  });
  const std::vector<int> first = {1, 2, 3};
  const std::vector<int> second = {2, 3};
  BOOST_TEST(early == first, boost::test_tools::per_element());
  BOOST_TEST(late == second, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(a_slow_receiver_is_told_how_many_it_missed_and_goes_on) {
  broadcast<int> b(3);
  auto slow = b.subscribe();
  for (int i = 0; i != 10; ++i) BOOST_TEST(b.send(i));
  auto value = co_await slow.receive();
  BOOST_TEST(value.value() == 7);
  BOOST_TEST(slow.missed() == 7u);
  value = co_await slow.receive();
  BOOST_TEST(value.value() == 8);
  BOOST_TEST(slow.missed() == 0u);
  BOOST_TEST(b.send(10));
  BOOST_TEST(b.send(11));
  b.close();
  value = co_await slow.receive();
  BOOST_TEST(value.value() == 9);
  BOOST_TEST(slow.missed() == 0u);
  value = co_await slow.receive();
  value = co_await slow.receive();
  BOOST_TEST(value.value() == 11);
  value = co_await slow.receive();
  BOOST_TEST(!value);
}

BOOST_AUTO_TEST_CASE(what_is_overwritten_before_a_woken_receiver_runs_is_counted) {
  cosock::loop loop;
  broadcast<int> b(1);
  auto s = b.subscribe();
  const auto receive = [&]() -> task<int> {
    const auto value = co_await s.receive();
    co_return value.value();
  };
  auto waits = loop.start(receive());
  run_until_idle(loop);
  BOOST_TEST(b.send(1));
  BOOST_TEST(b.send(2));
  run_until_idle(loop);
  BOOST_TEST(waits.result() == 2);
  BOOST_TEST(s.missed() == 1u);
}

BOOST_AUTO_TEST_CASE(a_second_receive_of_one_subscription_is_refused) {
  cosock::loop loop;
  broadcast<int> b(1);
  auto s = b.subscribe();
  auto first = loop.start(receive_one(s));
  run_until_idle(loop);
  auto second = loop.start(receive_one(s));
  run_until_idle(loop);
  BOOST_CHECK_EXCEPTION(second.result(), system_error, is(error::busy));
  BOOST_TEST(b.send(1));
  run_until_idle(loop);
  first.result();
}

BOOST_AUTO_TEST_CASE(a_subscription_moves_also_while_it_is_received_from) {
  cosock::loop loop;
  broadcast<int> b(1);
  auto s = b.subscribe();
  auto waits = loop.start(receive_one(s));
  run_until_idle(loop);
  auto moved = std::move(s);
  BOOST_TEST(b.send(1));
  run_until_idle(loop);
  waits.result();
  auto again = loop.start(receive_one(moved));
  run_until_idle(loop);
  auto last = std::move(moved);
  BOOST_TEST(b.send(1));
  auto final = std::move(last);
  run_until_idle(loop);
  again.result();
  BOOST_CHECK_EXCEPTION(loop.run(receive_one(s)), system_error, is(error::closed));
}

BOOST_AUTO_TEST_CASE(a_value_whose_copy_fails_can_be_received_again) {
  struct fragile {
    fragile() = default;
    fragile(fragile&&) noexcept = default;
    fragile(const fragile& other) : fails(other.fails) {
      if (*fails) throw std::runtime_error("no copy");
    }
    std::shared_ptr<bool> fails = std::make_shared<bool>(true);
  };
  cosock::loop loop;
  broadcast<fragile> b(1);
  auto s = b.subscribe();
  fragile f;
  const auto fails = f.fails;
  BOOST_TEST(b.send(std::move(f)));
  const auto receive = [&]() -> task<bool> {
    const auto value = co_await s.receive();
    co_return value.has_value();
  };
  BOOST_CHECK_THROW(loop.run(receive()), std::runtime_error);
  *fails = false;
  BOOST_TEST(loop.run(receive()));
}

namespace {

/// Uses up what the task may do in this turn, so that the next operation that completes at once yields.
task<> use_up_the_turn() {
  cosock::event set;
  set.set();
  for (int i = 0; i != 32; ++i) co_await set.wait();
}

}  // namespace

COROUTINE_TEST_CASE(a_subscription_is_destroyed_while_a_receive_that_was_cancelled_yields) {
  broadcast<int> b(4);
  auto s = std::make_unique<subscription>(b.subscribe());
  error why{};
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await use_up_the_turn();
      cosock::cancel_scope scope;
      scope.cancel();
      const auto value = co_await as_result(scope.run(s->receive()));
      BOOST_TEST(value.error() == error::cancelled);
      why = error::cancelled;
    });
    n.start([&]() -> task<> {
      BOOST_TEST((why == error{}));  // it has yielded
      s.reset();
      co_return;
    });
    co_return;
  });
  BOOST_TEST((why == error::cancelled));
}

COROUTINE_TEST_CASE(a_subscription_is_moved_and_destroyed_while_a_second_receive_yields) {
  broadcast<int> b(4);
  auto s = std::make_unique<subscription>(b.subscribe());
  bool refused = false;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      const auto value = co_await as_result(s->receive());
      BOOST_TEST(value.error() == error::closed);
    });
    n.start([&]() -> task<> {
      co_await use_up_the_turn();
      const auto value = co_await as_result(s->receive());
      BOOST_TEST(value.error() == error::busy);
      refused = true;
    });
    n.start([&]() -> task<> {
      BOOST_TEST(!refused);  // it has yielded
      { const subscription moved(std::move(*s)); }
      s.reset();
      co_return;
    });
    co_return;
  });
  BOOST_TEST(refused);
}

COROUTINE_TEST_CASE(sending_and_receiving_allocate_nothing) {
  broadcast<int> b(4);
  auto s = b.subscribe();
  co_await cosock::yield();
  test::allocations_until_failure = 1'000'000;
  for (int i = 0; i != 100; ++i) {
    static_cast<void>(b.send(i));
    static_cast<void>(co_await s.receive());
  }
  const long left = test::allocations_until_failure.exchange(-1);
  BOOST_TEST(left == 1'000'000);
}
