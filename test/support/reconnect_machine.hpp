// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A client of reconnecting_client whose clock, connections and errors are the test's.

#include <cosock/reconnect.hpp>

#include "manual_event.hpp"
#include "support.hpp"

#include <algorithm>
#include <functional>
#include <vector>

namespace test {

using boost::system::error_code;
using boost::system::system_error;
using cosock::reconnecting_client;
using cosock::reconnecting_client_options;
using cosock::session_result;
using cosock::task;
using std::chrono::nanoseconds;

/// A clock that goes on by the waits, which take no time unless they are held.
class stub_clock final : public cosock::backoff_clock {
 public:
  cosock::clock::time_point now() override { return now_; }
  task<> sleep_for(nanoseconds duration) override {
    waits.push_back(duration);
    if (held) co_await test::forever();
    co_await cosock::yield();
    now_ += std::min<nanoseconds>(duration, 1h);  // the longest ones would lead out of all time
  }
  void advance(nanoseconds by) { now_ += by; }
  std::vector<nanoseconds> waits;
  bool held = false;

 private:
  cosock::clock::time_point now_{};
};

/// What stands for a connection: it knows when it is closed.
struct line {
  counted alive;
};

enum class place { nowhere, connecting, in_session, waiting };

/// A client, and a peer that fails as it is told.
struct machine {
  explicit machine(reconnecting_client_options options = {}) : client(with_clock(options)) {}

  task<line> connect() {
    ++connects;
    if (stands == place::connecting) co_await test::forever();
    if (connecting) connecting();
    co_return line{};
  }
  task<session_result> session(line&) {
    ++sessions;
    BOOST_TEST(counted::alive == 1);
    if (stands == place::in_session) co_await test::forever();
    co_return in_session ? in_session() : session_result::reconnect;
  }
  task<> run() {
    return client.run([this] { return connect(); }, [this](line& l) { return session(l); });
  }
  reconnecting_client_options with_clock(reconnecting_client_options options) {
    options.clock = &clock;
    return options;
  }
  void stop_at(place where) {
    stands = where;
    clock.held = where == place::waiting;
  }

  stub_clock clock;
  place stands = place::nowhere;
  std::function<void()> connecting;
  std::function<session_result()> in_session;
  int connects = 0;
  int sessions = 0;
  reconnecting_client client;
};

[[noreturn]] inline void fail(error_code why, const char* text = "it failed") {
  throw system_error(why, text);
}

}  // namespace test
