// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Every time of an option struct, from the smallest to the largest.

#define BOOST_TEST_MODULE time_limits
#include "manual_event.hpp"
#include "reconnect_machine.hpp"
#include "scripted_stream.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/outbox.hpp>
#include <cosock/reconnect.hpp>
#include <cosock/serve.hpp>

#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cosock::error;
using cosock::task;
using cosock::time_span;
using std::chrono::nanoseconds;
using test::run_until_idle;

/// Times that have passed already.
const std::vector<time_span> past = {nanoseconds::min(),
                                     nanoseconds::min() + 1ns,
                                     std::chrono::seconds::min(),
                                     std::chrono::hours::min(),
                                     std::chrono::duration<double>(-1e300),
                                     -1ns,
                                     0ns};
/// Times that do not pass.
const std::vector<time_span> endless = {
    nanoseconds::max(),
    nanoseconds::max() - 1ns,
    nanoseconds::max() - cosock::clock::now().time_since_epoch(),
    std::chrono::seconds::max(),
    std::chrono::hours::max(),
    std::chrono::duration<std::uint64_t>::max(),
    std::chrono::duration<float>(std::numeric_limits<float>::infinity())};

const cosock::endpoint any_port(cosock::address::loopback_v4(), 0);

/// A port on which nobody listens.
cosock::endpoint closed_port() {
  cosock::tcp_acceptor acceptor(any_port);
  return acceptor.local_endpoint();
}

task<> wait_for(test::manual_event& g) { co_await g.wait(); }

/// Whether a server that is stopped while a handler waits goes on until the handler ends.
bool drains(time_span drain) {
  cosock::loop loop;
  cosock::server_handle handle;
  test::manual_event opened;
  bool waits = false;
  bool finished = false;
  const auto program = [&]() -> task<> {
    cosock::tcp_acceptor acceptor(any_port);
    const auto client = co_await cosock::connect(acceptor.local_endpoint());
    const auto handler = [&](cosock::tcp_socket&) -> task<> {
      waits = true;
      co_await wait_for(opened);
      finished = true;
    };
    co_await cosock::serve(acceptor, handler, handle, {.drain = drain, .finish_timeout = 0s});
  };
  auto server = loop.start(program());
  while (!waits) loop.run_some();
  handle.stop();
  run_until_idle(loop);
  const bool drained = !server.done();
  opened.set();
  while (!server.done()) loop.run_some();
  server.result();
  BOOST_TEST(finished == drained);
  return drained;
}

std::vector<nanoseconds> waits_of(const cosock::reconnecting_client_options& options) {
  return test::waits_of(options, 79);
}

}  // namespace

COROUTINE_TEST_CASE(the_limit_of_a_connect) {
  cosock::tcp_acceptor acceptor(any_port);
  const std::vector<cosock::endpoint> to = {acceptor.local_endpoint()};
  for (const time_span each : past) {
    BOOST_CHECK_EXCEPTION(co_await cosock::connect(to, {.timeout = each}),
                          boost::system::system_error, test::is(error::timed_out));
    BOOST_CHECK_EXCEPTION(co_await cosock::connect("127.0.0.1", to[0].port(), {.timeout = each}),
                          boost::system::system_error, test::is(error::timed_out));
  }
  for (const time_span each : endless)
    BOOST_TEST((co_await cosock::connect(to, {.timeout = each})).is_open());
}

COROUTINE_TEST_CASE(the_delay_between_attempts) {
  cosock::tcp_acceptor acceptor(any_port);
  const std::vector<cosock::endpoint> to = {closed_port(), acceptor.local_endpoint()};
  for (const auto* all : {&past, &endless})
    for (const time_span each : *all)
      BOOST_TEST((co_await cosock::connect(to, {.attempt_delay = each})).is_open());
}

BOOST_AUTO_TEST_CASE(the_time_that_handlers_have_to_end) {
  for (const time_span each : past) BOOST_TEST(!drains(each));
  for (const time_span each : endless) BOOST_TEST(drains(each));
}

COROUTINE_TEST_CASE(the_time_without_a_byte_in_a_copy) {
  const auto first = co_await test::make_scripted_stream();
  const auto second = co_await test::make_scripted_stream();
  for (const time_span each : past) {
    const cosock::copy_result result = co_await cosock::copy_both(*first, *second, {.idle = each});
    BOOST_TEST((result.error == error::timed_out));
  }
  for (const time_span each : endless) {
    const auto one = co_await test::make_scripted_stream();
    const auto other = co_await test::make_scripted_stream();
    one->push("hello");
    one->end();
    other->end();
    const cosock::copy_result result = co_await cosock::copy_both(*one, *other, {.idle = each});
    BOOST_TEST(!result.error, result.error.message());
    BOOST_TEST(result.first_to_second == 5u);
  }
}

BOOST_AUTO_TEST_CASE(the_time_for_last_words) {
  for (const auto* all : {&past, &endless})
    for (const time_span each : *all) {
      cosock::loop loop;
      const auto stream = loop.run(test::make_scripted_stream());
      stream->set_room(0);
      cosock::outbox out(*stream, {.max_messages = 1,
                                   .policy = cosock::overflow_policy::close,
                                   .close_message = "slow",
                                   .close_timeout = each});
      auto writer = loop.start(out.run());
      run_until_idle(loop);
      for (const char* text : {"a", "b", "c"}) {
        out.try_send(text);
        run_until_idle(loop);
      }
      BOOST_TEST(writer.done() == (all == &past));
      stream->set_room(100);
      stream->end();  // or finish() would wait for the end of the peer
      run_until_idle(loop);
      BOOST_TEST(test::ended_with(writer, error::slow_consumer));
      BOOST_TEST(stream->sent() == (all == &past ? "" : "aslow"));
    }
}

BOOST_AUTO_TEST_CASE(the_waits_of_a_client_that_reconnects) {
  for (const time_span each : past) {
    for (const nanoseconds wait : waits_of({.base = each})) BOOST_TEST((wait == 0ns));
    for (const nanoseconds wait : waits_of({.cap = each})) BOOST_TEST((wait == 0ns));
  }
  for (const time_span each : endless) {
    for (const nanoseconds wait : waits_of({.base = each, .seed = 1}))
      BOOST_TEST((wait >= 0ns && wait <= 30s));
    for (const nanoseconds wait : waits_of({.cap = each, .seed = 1})) BOOST_TEST((wait >= 0ns));
    for (const nanoseconds wait : waits_of({.base = each, .cap = each, .seed = 1}))
      BOOST_TEST((wait >= 0ns));
  }
}

BOOST_AUTO_TEST_CASE(the_seed_of_the_waits) {
  for (const std::uint64_t each : {std::uint64_t{1}, UINT64_MAX - 1, UINT64_MAX}) {
    BOOST_TEST((waits_of({.seed = each}) == waits_of({.seed = each})));
    BOOST_TEST((waits_of({.seed = each}) != waits_of({.seed = each - 1})));
  }
}

BOOST_AUTO_TEST_CASE(the_number_of_attempts) {
  using number = std::optional<std::size_t>;
  for (const number each :
       {number(), number(0), number(1), number(SIZE_MAX - 1), number(SIZE_MAX)}) {
    test::virtual_loop loop;
    cosock::reconnecting_client client({.max_attempts = each});
    int attempts = 0;
    const auto connect = [&]() -> task<int> {
      if (++attempts == 50) client.stop();
      throw boost::system::system_error(make_error_code(error::timed_out));
      co_return 0;
    };
    const auto session = [](int&) -> task<> { co_return; };
    const bool once = each && *each <= 1;
    if (once)
      BOOST_CHECK_EXCEPTION(loop.run(client.run(connect, session)), boost::system::system_error,
                            test::is(error::timed_out));
    else
      loop.run(client.run(connect, session));
    BOOST_TEST(attempts == (once ? 1 : 50));
  }
}

BOOST_AUTO_TEST_CASE(how_long_a_connection_is_stable) {
  for (const auto* all : {&past, &endless})
    for (const time_span each : *all) {
      test::virtual_loop loop;
      cosock::reconnecting_client client({.stable = each, .max_attempts = 3});
      int sessions = 0;
      const auto connect = []() -> task<int> { co_return 0; };
      const auto session = [&](int&) -> task<cosock::session_result> {
        co_return ++sessions == 10 ? cosock::session_result::done
                                   : cosock::session_result::reconnect;
      };
      if (all == &past)
        loop.run(client.run(connect, session));
      else
        BOOST_CHECK_EXCEPTION(loop.run(client.run(connect, session)), boost::system::system_error,
                              test::is(error::end_of_stream));
      BOOST_TEST(sessions == (all == &past ? 10 : 3));
    }
}
