// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Messages that are queued: they wait for room, and keep their order and their bytes.

#include <cosock/outbox.hpp>

#define BOOST_TEST_MODULE outbox_send
#include "allocations.hpp"
#include "manual_event.hpp"
#include "outbox_fixture.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/reader.hpp>
#include <cosock/when.hpp>

#include <memory>
#include <string>
#include <vector>

namespace {

using cosock::error;
using cosock::nursery;
using cosock::outbox;
using cosock::outbox_options;
using cosock::task;
using cosock::with_nursery;
using test::run;
using test::run_until_idle;
using test::scripted_stream;
using test::send;

}  // namespace

BOOST_AUTO_TEST_CASE(a_send_waits_for_room) {
  for (const bool cancelled : {false, true}) {
    cosock::loop loop;
    const auto s = loop.run(test::make_scripted_stream());
    outbox out(*s, {.max_messages = 1});
    BOOST_TEST(out.try_send("x"));
    auto waits = loop.start(send(out, "y"));
    run_until_idle(loop);
    BOOST_TEST(!waits.done());
    if (cancelled) {
      waits.cancel();
      run_until_idle(loop);
      BOOST_TEST(test::ended_with(waits, error::cancelled));
      BOOST_TEST(out.messages() == 1u);
    }
    auto writer = loop.start(run(out));
    run_until_idle(loop);
    BOOST_TEST(waits.done());
    BOOST_TEST(s->sent() == (cancelled ? "x" : "xy"));
    out.close();
    run_until_idle(loop);
    writer.result();
  }
}

BOOST_AUTO_TEST_CASE(a_send_that_was_cancelled_has_queued_nothing_and_one_that_was_queued_counts) {
  cosock::loop loop;
  const auto s = loop.run(test::make_scripted_stream());
  outbox out(*s, {.max_messages = 1});
  auto early = loop.start([](outbox& out) -> task<> {
    cosock::cancel_scope scope;
    scope.cancel();
    co_await scope.run(out.send("early"));
  }(out));
  run_until_idle(loop);
  BOOST_TEST(test::ended_with(early, error::cancelled));
  BOOST_TEST(out.messages() == 0u);
  BOOST_TEST(out.try_send("one"));
  auto two = loop.start(send(out, "two"));
  auto three = loop.start(send(out, "three"));
  auto four = loop.start(send(out, "four"));
  run_until_idle(loop);
  auto writer = loop.start(run(out));
  two.cancel();
  run_until_idle(loop);
  BOOST_TEST(test::ended_with(two, error::cancelled));
  three.result();
  four.result();
  BOOST_TEST(s->sent() == "onethreefour");
}

BOOST_AUTO_TEST_CASE(room_made_in_the_turn_of_a_cancellation_counts) {
  cosock::loop loop;
  const auto s = loop.run(test::make_scripted_stream());
  s->set_room(0);
  outbox out(*s, {.max_messages = 1});
  auto writer = loop.start(run(out));
  run_until_idle(loop);
  BOOST_TEST(out.try_send("a"));
  run_until_idle(loop);  // being written
  BOOST_TEST(out.try_send("b"));
  auto c = loop.start(send(out, "c"));
  run_until_idle(loop);
  BOOST_TEST(!c.done());
  auto canceller = loop.start([](scripted_stream& s) -> task<> {
    s.set_room(100);
    co_return;
  }(*s));
  run_until_idle(loop);
  c.cancel();
  run_until_idle(loop);
  c.result();
  BOOST_TEST(s->sent() == "abc");
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_takes_all_with_it) {
  for (int what = 0; what != 3; ++what) {
    std::unique_ptr<scripted_stream> s;
    std::unique_ptr<outbox> out;
    auto loop = std::make_unique<cosock::loop>();
    s = loop->run(test::make_scripted_stream());
    s->set_room(what == 0 ? 100 : 0);
    out = std::make_unique<outbox>(*s, outbox_options{.max_messages = 1});
    auto writer = loop->start(run(*out));
    run_until_idle(*loop);
    if (what != 0) BOOST_TEST(out->try_send("a"));
    if (what == 2) run_until_idle(*loop);
    auto b = loop->start(send(*out, "b"));
    auto c = loop->start(send(*out, "c"));
    if (what == 2) run_until_idle(*loop);
    loop.reset();
    BOOST_TEST(!out->try_send("late"));
  }
}

COROUTINE_TEST_CASE(many_messages_go_with_one_call_and_keep_their_order) {
  const auto s = co_await test::make_scripted_stream();
  outbox out(*s);
  std::string expected;
  for (int i = 0; i != 100; ++i) {
    const std::string text = std::to_string(i) + (i % 2 ? "" : std::string(50, 'x'));
    expected += text;
    if (i % 3 == 0)
      co_await out.send(std::make_shared<const std::string>(text));
    else
      co_await out.send(text);
  }
  out.close();
  co_await out.run();
  BOOST_TEST(s->sent() == expected);
  BOOST_TEST(s->writes() <= 4u);
  BOOST_TEST(out.messages() == 0u);
  BOOST_TEST(out.bytes() == 0u);
}

COROUTINE_TEST_CASE(messages_of_many_senders_are_not_mixed_up) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  const auto at = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(cosock::connect(at), acceptor.accept());
  cosock::tcp_socket& to = client;
  cosock::tcp_socket& from = server;
  constexpr int senders = 20;
  constexpr int each = 500;
  outbox out(to, {.max_messages = 8, .max_bytes = 10'000});
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await out.run();
      to.shutdown_send();
    });
    n.start([&]() -> task<> {
      co_await with_nursery([&](nursery& all) -> task<> {
        for (int i = 0; i != senders; ++i)
          all.start(
              [&](int number) -> task<> {
                for (int k = 0; k != each; ++k) {
                  std::string text = std::to_string(number) + " " + std::to_string(k) + " ";
                  text += std::string(static_cast<std::size_t>(k), 'x') + "\n";
                  co_await out.send(std::move(text));
                }
              },
              i);
        co_return;
      });
      out.close();
    });
    std::vector<int> next(senders);
    cosock::buffered_reader reader(from);
    int lines = 0;
    while (const auto line = co_await reader.read_line()) {
      const std::string text(*line);
      const auto number = static_cast<std::size_t>(std::stoi(text));
      const int k = next[number]++;
      BOOST_REQUIRE(text == std::to_string(number) + " " + std::to_string(k) + " " +
                                std::string(static_cast<std::size_t>(k), 'x'));
      ++lines;
    }
    BOOST_TEST(lines == senders * each);
  });
}

COROUTINE_TEST_CASE(a_shared_message_is_not_copied) {
  const auto s = co_await test::make_scripted_stream();
  outbox out(*s);
  outbox other(*s);
  const auto message = std::make_shared<const std::string>(1000, 'x');
  co_await out.send(message);
  co_await other.send(message);
  BOOST_TEST(message.use_count() == 3);
  out.close();
  co_await out.run();
  BOOST_TEST(message.use_count() == 2);
}

COROUTINE_TEST_CASE(sending_allocates_nothing) {
  const auto s = co_await test::make_scripted_stream();
  s->sent().reserve(1'000'000);
  const auto message = std::make_shared<const std::string>(100, 'x');
  outbox out(*s, {.max_messages = 2});
  const auto rounds = [&](int times) -> task<> {
    for (int i = 0; i != times; ++i) co_await out.send(message);
    co_await out.flush();
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() { return out.run(); });
    co_await rounds(40);
    test::allocations_until_failure = 1'000'000;
    co_await rounds(1000);
    const long left = test::allocations_until_failure.exchange(-1);
    BOOST_TEST(1'000'000 - left <= 1);  // the task
    out.close();
  });
}

COROUTINE_TEST_CASE(messages_stay_packets_where_there_are_some) {
  auto [mine, theirs] = cosock::local_pair<cosock::local_seqpacket_socket>();
  outbox out(mine, {.max_bytes = 1 << 20});
  const std::string large(100'000, 'x');  // two of them are more than one packet holds
  const std::vector<std::string> all = {"one", "two", large, large, "three"};
  co_await cosock::when_all(
      [&, &mine = mine]() -> task<> {
        for (const std::string& each : all) co_await out.send(each);
        out.close();
        co_await out.run();
        mine.close();
      }(),
      [&, &theirs = theirs]() -> task<> {
        std::string packet(1 << 20, ' ');
        for (const std::string& each : all) {
          const auto got = co_await theirs.receive_message(packet);
          BOOST_TEST((packet.substr(0, got.size) == each));
        }
        BOOST_TEST((co_await theirs.receive_message(packet)).end);
      }());
}
