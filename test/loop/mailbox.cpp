// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/mailbox.hpp>

#define BOOST_TEST_MODULE mailbox
#include "allocations.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::error;
using cosock::mailbox;
using cosock::nursery;
using cosock::task;
using cosock::with_nursery;
using test::is;
using test::run_until_idle;
using pointer = std::unique_ptr<int>;

task<> receive_one(mailbox<int>& from) {
  const auto value = co_await from.receive();
  BOOST_TEST(value.value() == 1);
}
task<std::unique_ptr<mailbox<int>>> make_mailbox(std::size_t capacity) {
  co_return std::make_unique<mailbox<int>>(capacity);
}

}  // namespace

COROUTINE_TEST_CASE(values_from_eight_threads_all_arrive_each_in_the_order_of_its_thread) {
  constexpr int threads = 8;
  constexpr int each = 2000;
  for (const std::size_t capacity : {1u, 16u, 1000u}) {
    mailbox<pointer> box(capacity);
    std::vector<std::jthread> running;
    for (int t = 0; t != threads; ++t)
      running.emplace_back([to = box.make_sender(), t] {
        for (int i = 0; i != each; ++i) {
          pointer value = std::make_unique<int>(t * each + i);
          while (!to.try_send(std::move(value))) std::this_thread::yield();
        }
      });
    std::vector<int> next(threads);
    for (int i = 0; i != threads * each; ++i) {
      const auto value = co_await box.receive();
      const int got = **value;
      BOOST_REQUIRE(got % each == next[static_cast<std::size_t>(got / each)]++);
    }
    BOOST_TEST(!box.try_receive());
  }
}

COROUTINE_TEST_CASE(several_receivers_share_what_comes) {
  constexpr int many = 1000;
  mailbox<int> box(64);
  int sum = 0;
  std::jthread thread([to = box.make_sender()] {
    for (int i = 0; i != many; ++i)
      while (!to.try_send(i)) std::this_thread::yield();
    to.close();
  });
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i != 3; ++i)
      n.start([&]() -> task<> {
        while (const auto value = co_await box.receive()) sum += *value;
      });
    co_return;
  });
  BOOST_TEST(sum == many * (many - 1) / 2);
}

COROUTINE_TEST_CASE(no_value_is_lost_while_receives_are_cancelled) {
  constexpr int many = 3000;
  mailbox<int> box(8);
  std::jthread thread([to = box.make_sender()] {
    for (int i = 0; i != many; ++i)
      while (!to.try_send(i)) std::this_thread::yield();
    to.close();
  });
  int expected = 0;
  for (;;) {
    const auto value = co_await cosock::as_result(cosock::with_timeout(20us, box.receive()));
    if (!value) continue;
    if (!*value) break;
    BOOST_REQUIRE(**value == expected++);
  }
  BOOST_TEST(expected == many);
}

COROUTINE_TEST_CASE(a_full_mailbox_refuses_and_leaves_the_value) {
  mailbox<pointer> box(2);
  const auto to = box.make_sender();
  BOOST_TEST(to.try_send(std::make_unique<int>(1)));
  BOOST_TEST(to.try_send(std::make_unique<int>(2)));
  pointer third = std::make_unique<int>(3);
  BOOST_TEST(!to.try_send(std::move(third)));
  BOOST_TEST(*third == 3);
  const auto first = co_await box.receive();
  BOOST_TEST(**first == 1);
  BOOST_TEST(to.try_send(std::move(third)));
}

COROUTINE_TEST_CASE(what_is_queued_when_it_is_closed_can_be_received) {
  mailbox<int> box(2);
  const auto to = box.make_sender();
  BOOST_TEST(to.try_send(1));
  box.close();
  BOOST_TEST(!to.try_send(2));
  BOOST_TEST(to.is_closed());
  const auto first = co_await box.receive();
  BOOST_TEST(first.value() == 1);
  const auto end = co_await box.receive();
  BOOST_TEST(!end);
}

COROUTINE_TEST_CASE(senders_outlive_the_mailbox) {
  std::optional<mailbox<int>::sender> to;
  {
    mailbox<int> box(2);
    to = box.make_sender();
    BOOST_TEST(to->try_send(1));
  }
  BOOST_TEST(!to->try_send(2));
  BOOST_TEST(to->is_closed());
  co_return;
}

BOOST_AUTO_TEST_CASE(the_mailbox_and_its_senders_outlive_the_loop) {
  std::unique_ptr<mailbox<int>> box;
  std::optional<mailbox<int>::sender> to;
  for (const bool waits : {false, true}) {
    for (const bool woken : {false, true}) {
      {
        cosock::loop loop;
        box = loop.run(make_mailbox(2));
        to = box->make_sender();
        auto receiver = loop.start(receive_one(*box));
        if (waits) run_until_idle(loop);
        if (woken) BOOST_TEST(to->try_send(1));
      }
      if (waits) BOOST_TEST(!to->try_send(1));
      cosock::loop other;
      BOOST_CHECK_EXCEPTION(other.run(receive_one(*box)), system_error, is(error::wrong_loop));
    }
  }
}

BOOST_AUTO_TEST_CASE(threads_send_while_mailboxes_and_loops_come_and_go) {
  for (int i = 0; i != 50; ++i) {
    auto loop = std::make_unique<cosock::loop>();
    auto box = loop->run(make_mailbox(4));
    std::vector<std::jthread> threads;
    for (int t = 0; t != 3; ++t)
      threads.emplace_back([to = box->make_sender()] {
        for (int k = 0; k != 300; ++k) static_cast<void>(to.try_send(1));
      });
    const auto receive = [&](mailbox<int>& from) -> task<> {
      while (co_await from.receive()) continue;
    };
    auto receiver = loop->start(receive(*box));
    for (int k = 0; k != i % 7; ++k) loop->poll();
    if (i % 2) {
      loop.reset();
      box.reset();
    } else {
      box.reset();
      loop.reset();
    }
  }
}

BOOST_AUTO_TEST_CASE(a_mailbox_needs_a_loop) {
  BOOST_CHECK_THROW(mailbox<int>(1), std::logic_error);
}

COROUTINE_TEST_CASE(sending_and_receiving_allocate_nothing) {
  mailbox<int> box(4);
  const auto to = box.make_sender();
  const auto rounds = [&](int times) -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        while (co_await box.receive()) continue;
      });
      for (int i = 0; i != times; ++i) {
        BOOST_REQUIRE(to.try_send(i));
        co_await cosock::yield();
      }
      n.cancel();
    });
  };
  co_await rounds(1);
  test::allocations_until_failure = 1'000'000;
  co_await rounds(200);
  const long used = 1'000'000 - test::allocations_until_failure.exchange(-1);
  BOOST_TEST(used < 20);  // frames, the nursery, the cancellation: once
}
