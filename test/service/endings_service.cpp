// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of servers, and of clients that connect again.

#include <cosock/reconnect.hpp>
#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE endings_service
#include "fake_acceptor.hpp"
#include "operation_endings.hpp"
#include "reconnect_machine.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace {

using cosock::task;
using test::operation_kind;
using test::waitable;
using test::way;

struct server {
  test::fake_acceptor acceptor;
  cosock::server_handle handle;
  cosock::local_stream_socket client;
};

task<> hold(cosock::local_stream_socket& s) {
  char into[1];
  co_await s.receive(into);
}
task<cosock::local_stream_socket> connect_to(test::fake_acceptor& acceptor) {
  co_return acceptor.connect();
}

/// With a handler that runs, the server ends when that has ended.
template <bool serves>
waitable serve(cosock::loop& on) {
  const auto of = std::make_shared<server>();
  if (serves) of->client = on.run(connect_to(of->acceptor));
  static const auto run = [](server& of) -> task<> {
    co_await cosock::serve(of.acceptor, hold, of.handle, {.drain = std::chrono::seconds(0)});
  };
  return {.wait = [of] { return run(*of); },
          .provide = [of] { of->handle.stop(); },
          .fail = [of] { of->acceptor.fail(EBADF); },
          .close = [of] { of->acceptor.close(); }};
}

template <test::place where>
waitable reconnect(cosock::loop&) {
  // A wait of the seed, which no test outlasts.
  cosock::reconnecting_client_options options;
  options.base = options.cap = std::chrono::hours(1000);
  options.seed = 1;
  const auto of = std::make_shared<test::machine>(options);
  of->stands = where;
  return {.wait = [of] { return of->run(); }, .provide = [of] { of->client.stop(); }};
}

operation_kind serve_row(const char* name, waitable (*make)(cosock::loop&)) {
  return {.name = name,
          .make = make,
          .completes = test::completion::in_provide,
          .fails_with = {EBADF, boost::system::system_category()},
          .once = true,
          .except = {{way::destroy, "the acceptor outlives the call"}}};
}
operation_kind reconnect_row(const char* name, waitable (*make)(cosock::loop&)) {
  return {.name = name,
          .make = make,
          .except = {{way::fail, "it tries again"},
                     {way::close, "it completes by stop()"},
                     {way::destroy, "the client outlives the call"}}};
}

const test::register_endings registered({
    serve_row("serve", serve<false>),
    serve_row("serve_with_connection", serve<true>),
    reconnect_row("reconnect_while_connecting", reconnect<test::place::connecting>),
    reconnect_row("reconnect_in_session", reconnect<test::place::in_session>),
    reconnect_row("reconnect_while_waiting", reconnect<test::place::waiting>),
});

}  // namespace
