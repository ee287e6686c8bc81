// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// An outbox that breaks, is cancelled, closed or flushed.

#include <cosock/outbox.hpp>

#define BOOST_TEST_MODULE outbox_ends
#include "manual_event.hpp"
#include "outbox_fixture.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <stdexcept>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::error;
using cosock::nursery;
using cosock::outbox;
using cosock::task;
using cosock::with_nursery;
using test::is;
using test::run;
using test::run_until_idle;
using test::send;

}  // namespace

BOOST_AUTO_TEST_CASE(a_stream_that_breaks_tells_everybody) {
  cosock::loop loop;
  const auto s = loop.run(test::make_scripted_stream());
  s->set_room(3);
  outbox out(*s, {.max_messages = 1});
  auto writer = loop.start(run(out));
  run_until_idle(loop);
  BOOST_TEST(out.try_send("first"));
  run_until_idle(loop);
  BOOST_TEST(out.try_send("second"));
  auto waits = loop.start(send(out, "third"));
  auto flushes = loop.start([](outbox& out) -> task<> { co_await out.flush(); }(out));
  run_until_idle(loop);
  s->fail_send(EPIPE);
  run_until_idle(loop);
  const auto broken = is(boost::system::errc::broken_pipe);
  BOOST_CHECK_EXCEPTION(writer.result(), system_error, broken);
  BOOST_CHECK_EXCEPTION(waits.result(), system_error, broken);
  BOOST_CHECK_EXCEPTION(flushes.result(), system_error, broken);
  BOOST_CHECK_EXCEPTION(loop.run(send(out, "x")), system_error, broken);
  BOOST_TEST(!out.try_send("x"));
  BOOST_CHECK_THROW(loop.run(run(out)), std::logic_error);
}

BOOST_AUTO_TEST_CASE(when_run_is_cancelled_nobody_waits_for_it) {
  for (const bool writing : {false, true}) {
    cosock::loop loop;
    const auto s = loop.run(test::make_scripted_stream());
    s->set_room(0);
    outbox out(*s, {.max_messages = 1});
    auto writer = loop.start(run(out));
    run_until_idle(loop);
    if (writing) {
      BOOST_TEST(out.try_send("a"));
      run_until_idle(loop);
      BOOST_TEST(out.try_send("b"));
      auto waits = loop.start(send(out, "c"));
      run_until_idle(loop);
      writer.cancel();
      run_until_idle(loop);
      BOOST_TEST(test::ended_with(waits, error::closed));
    } else {
      writer.cancel();
      run_until_idle(loop);
    }
    BOOST_TEST(test::ended_with(writer, error::cancelled));
    BOOST_CHECK_EXCEPTION(loop.run(send(out, "x")), system_error, is(error::closed));
  }
}

BOOST_AUTO_TEST_CASE(closing_writes_what_is_queued) {
  cosock::loop loop;
  const auto s = loop.run(test::make_scripted_stream());
  s->set_room(0);
  outbox out(*s, {.max_messages = 2});
  auto writer = loop.start(run(out));
  run_until_idle(loop);
  BOOST_TEST(out.try_send("a"));
  run_until_idle(loop);
  BOOST_TEST(out.try_send("b"));
  BOOST_TEST(out.try_send("c"));
  auto waits = loop.start(send(out, "d"));
  run_until_idle(loop);
  out.close();
  out.close();
  run_until_idle(loop);
  BOOST_TEST(test::ended_with(waits, error::closed));
  BOOST_TEST(!writer.done());
  s->set_room(100);
  run_until_idle(loop);
  writer.result();
  BOOST_TEST(s->sent() == "abc");
  BOOST_TEST(s->is_open());
  BOOST_CHECK_EXCEPTION(loop.run(send(out, "e")), system_error, is(error::closed));
}

COROUTINE_TEST_CASE(a_flush_waits_for_what_was_queued_before) {
  const auto s = co_await test::make_scripted_stream();
  s->set_room(0);
  outbox out(*s);
  co_await out.flush();
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() { return out.run(); });
    co_await out.send("a");
    const auto late = co_await as_result(cosock::with_timeout(100us, out.flush()));
    BOOST_TEST((late.error() == error::timed_out));
    s->set_room(1);
    co_await out.flush();
    BOOST_TEST(s->sent() == "a");
    out.close();
  });
}

BOOST_AUTO_TEST_CASE(a_flush_is_cancelled_and_one_that_has_completed_is_not) {
  cosock::loop loop;
  const auto s = loop.run(test::make_scripted_stream());
  s->set_room(0);
  outbox out(*s);
  const auto flush = [&](cosock::cancel_scope& scope) -> task<> {
    co_await scope.run(out.flush());
  };
  cosock::cancel_scope early;
  early.cancel();
  BOOST_CHECK_EXCEPTION(loop.run(flush(early)), system_error, is(error::cancelled));
  BOOST_TEST(out.try_send("a"));
  auto writer = loop.start(run(out));
  cosock::cancel_scope first;
  cosock::cancel_scope second;
  auto one = loop.start(flush(first));
  auto two = loop.start(flush(second));
  run_until_idle(loop);
  first.cancel();
  run_until_idle(loop);
  BOOST_TEST(test::ended_with(one, error::cancelled));
  BOOST_TEST(!two.done());
  s->set_room(1);
  run_until_idle(loop);
  second.cancel();
  two.result();
  out.close();
  run_until_idle(loop);
  writer.result();
}
