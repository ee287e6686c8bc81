// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What happens to messages, and to a slow consumer, when an outbox is full.

#include <cosock/outbox.hpp>

#define BOOST_TEST_MODULE outbox_full
#include "manual_event.hpp"
#include "outbox_fixture.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <memory>
#include <string>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::error;
using cosock::outbox;
using cosock::outbox_options;
using cosock::overflow_policy;
using cosock::task;
using test::is;
using test::run;
using test::run_until_idle;
using test::scripted_stream;
using test::send;

}  // namespace

BOOST_AUTO_TEST_CASE(the_limits_are_those_of_what_waits) {
  cosock::loop loop;
  const auto s = loop.run(test::make_scripted_stream());
  outbox out(*s, {.max_messages = 3, .max_bytes = 10});
  BOOST_TEST(out.try_send("12345"));
  BOOST_TEST(!out.try_send("123456"));
  BOOST_TEST(out.try_send("12345"));
  BOOST_TEST(!out.try_send("1"));
  BOOST_TEST(out.bytes() == 10u);
  outbox few(*s, {.max_messages = 2});
  BOOST_TEST(few.try_send("1"));
  BOOST_TEST(few.try_send("2"));
  BOOST_TEST(!few.try_send("3"));
  outbox alone(*s, {.max_bytes = 10});
  BOOST_TEST(alone.try_send(std::string(1000, 'x')));
  BOOST_TEST(!alone.try_send(""));
}

BOOST_AUTO_TEST_CASE(the_oldest_are_dropped_but_not_what_is_being_written) {
  cosock::loop loop;
  const auto s = loop.run(test::make_scripted_stream());
  s->set_room(1);
  outbox out(*s, {.max_messages = 3, .policy = overflow_policy::drop_oldest});
  auto writer = loop.start(run(out));
  run_until_idle(loop);
  BOOST_TEST(out.try_send("[first]"));
  run_until_idle(loop);
  auto flushes = loop.start([](outbox& out) -> task<> { co_await out.flush(); }(out));
  for (int i = 0; i != 10; ++i) BOOST_TEST(out.try_send(std::to_string(i)));
  run_until_idle(loop);
  BOOST_TEST(!flushes.done());  // the first is on its way
  BOOST_TEST(out.dropped() == 7u);
  BOOST_TEST(out.messages() == 3u);
  s->set_room(1000);
  run_until_idle(loop);
  flushes.result();
  BOOST_TEST(s->sent() == "[first]789");
  out.close();
  run_until_idle(loop);
  writer.result();
}

BOOST_AUTO_TEST_CASE(a_slow_consumer_is_cut_off_if_one_says_so) {
  for (const bool tries : {false, true}) {
    for (const bool running : {false, true}) {
      cosock::loop loop;
      const auto s = loop.run(test::make_scripted_stream());
      s->set_room(0);
      outbox out(*s, {.max_messages = 1, .policy = overflow_policy::close});
      auto writer = running ? loop.start(run(out)) : loop.start([]() -> task<> { co_return; }());
      run_until_idle(loop);
      BOOST_TEST(out.try_send("a"));
      run_until_idle(loop);
      if (running) BOOST_TEST(out.try_send("b"));
      if (tries)
        BOOST_TEST(!out.try_send("c"));
      else
        BOOST_CHECK_EXCEPTION(loop.run(send(out, "c")), system_error, is(error::slow_consumer));
      BOOST_TEST(!s->is_open());
      run_until_idle(loop);
      if (running) BOOST_TEST(test::ended_with(writer, error::slow_consumer));
      if (!running)
        BOOST_CHECK_EXCEPTION(loop.run(run(out)), system_error, is(error::slow_consumer));
      BOOST_CHECK_EXCEPTION(loop.run(send(out, "d")), system_error, is(error::slow_consumer));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_slow_consumer_is_told_so_behind_what_is_being_written) {
  for (const bool tries : {false, true}) {
    cosock::loop loop;
    const auto s = loop.run(test::make_scripted_stream());
    s->set_room(3);
    std::string words = "[slow]";
    outbox out(*s, {.max_messages = 1, .policy = overflow_policy::close, .close_message = words});
    words = "[late]";
    auto writer = loop.start(run(out));
    run_until_idle(loop);
    BOOST_TEST(out.try_send("[first]"));
    run_until_idle(loop);
    BOOST_TEST(out.try_send("[second]"));
    auto flushes = loop.start([](outbox& out) -> task<> { co_await out.flush(); }(out));
    run_until_idle(loop);
    if (tries)
      BOOST_TEST(!out.try_send("[third]"));
    else
      BOOST_CHECK_EXCEPTION(loop.run(send(out, "[third]")), system_error, is(error::slow_consumer));
    BOOST_CHECK_EXCEPTION(loop.run(send(out, "[fourth]")), system_error, is(error::slow_consumer));
    run_until_idle(loop);
    BOOST_TEST(test::ended_with(flushes, error::slow_consumer));
    BOOST_TEST(!writer.done());
    BOOST_TEST(s->is_open());
    BOOST_TEST(out.messages() == 0u);
    BOOST_TEST(out.bytes() == 0u);
    s->set_room(7);
    run_until_idle(loop);
    BOOST_TEST(s->is_open());
    s->set_room(100);
    run_until_idle(loop);
    BOOST_TEST(s->sent() == "[first][slow]");
    BOOST_TEST(s->is_shut());
    BOOST_TEST(s->is_open());  // until the peer has ended too
    s->end();
    run_until_idle(loop);
    BOOST_TEST(!s->is_open());
    BOOST_TEST(test::ended_with(writer, error::slow_consumer));
  }
}

BOOST_AUTO_TEST_CASE(a_slow_consumer_that_does_not_listen_is_cut_off) {
  enum { in_time, at_once, cancelled, breaks, closed, last };
  for (int how = in_time; how != last; ++how) {
    cosock::loop loop;
    const auto s = loop.run(test::make_scripted_stream());
    s->set_room(0);
    auto time = std::chrono::nanoseconds::max();
    if (how == in_time) time = 1ms;
    if (how == at_once) time = 0ms;
    outbox out(*s, {.max_messages = 1,
                    .policy = overflow_policy::close,
                    .close_message = "slow",
                    .close_timeout = time});
    auto writer = loop.start(run(out));
    run_until_idle(loop);
    BOOST_TEST(out.try_send("a"));
    run_until_idle(loop);
    BOOST_TEST(out.try_send("b"));
    BOOST_TEST(!out.try_send("c"));
    run_until_idle(loop);
    if (how >= cancelled) BOOST_TEST(!writer.done());
    if (how == cancelled) writer.cancel();
    if (how == breaks) s->fail_send(EPIPE);
    if (how == closed) s->close();
    while (!writer.done()) run_until_idle(loop);
    BOOST_TEST(!s->is_open());
    BOOST_TEST(s->sent().empty());
    BOOST_TEST(test::ended_with(writer, error::slow_consumer));
  }
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_takes_last_words_with_it) {
  std::unique_ptr<scripted_stream> s;
  std::unique_ptr<outbox> out;
  auto loop = std::make_unique<cosock::loop>();
  s = loop->run(test::make_scripted_stream());
  s->set_room(0);
  out = std::make_unique<outbox>(
      *s,
      outbox_options{.max_messages = 1, .policy = overflow_policy::close, .close_message = "slow"});
  auto writer = loop->start(run(*out));
  run_until_idle(*loop);
  BOOST_TEST(out->try_send("a"));
  run_until_idle(*loop);
  BOOST_TEST(out->try_send("b"));
  BOOST_TEST(!out->try_send("c"));
  run_until_idle(*loop);
  loop.reset();
  BOOST_TEST(!s->is_open());
}
