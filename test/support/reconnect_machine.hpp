// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A client of reconnecting_client whose connections and errors are the test's, for a virtual loop.

#include <cosock/reconnect.hpp>

#include "manual_event.hpp"
#include "support.hpp"
#include "virtual_time.hpp"

#include <functional>
#include <vector>

namespace test {

using boost::system::error_code;
using boost::system::system_error;
using cosock::reconnecting_client;
using cosock::reconnecting_client_options;
using cosock::retry_event;
using cosock::session_result;
using cosock::task;
using std::chrono::nanoseconds;

/// What stands for a connection: it knows when it is closed.
struct line {
  instance_counter alive;
};

enum class place { nowhere, connecting, in_session, waiting };

/// A client, and a peer that fails as it is told. It waits after the first failure, so to stop it
/// there, the test lets no time pass.
struct machine {
  explicit machine(reconnecting_client_options options = {})
      : observe(options.on_retry), client(recorded(options)) {}
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;

  task<line> connect() {
    attempts.push_back(cosock::now());
    ++connects;
    if (stands == place::connecting) co_await test::forever();
    if (connecting) connecting();
    co_await take_time();
    co_return line{};
  }
  task<session_result> session(line&) {
    ++sessions;
    BOOST_TEST(instance_counter::alive == 1);
    if (stands == place::in_session) co_await test::forever();
    const session_result result = in_session ? in_session() : session_result::reconnect;
    co_await take_time();
    co_return result;
  }
  task<> run() {
    return client.run([this] { return connect(); }, [this](line& l) { return session(l); });
  }
  /// Before each wait, after the observer of the test.
  void operator()(const retry_event& event) {
    observe(event);
    waits.push_back(event.delay);
  }

  std::vector<nanoseconds> waits;
  std::vector<cosock::clock::time_point> attempts;
  nanoseconds duration{};  // of the attempt, or session, whose function sets it
  place stands = place::nowhere;
  std::function<void()> connecting;
  std::function<session_result()> in_session;
  int connects = 0;
  int sessions = 0;
  cosock::observer<const cosock::retry_event&> observe;
  reconnecting_client client;

 private:
  reconnecting_client_options recorded(reconnecting_client_options options) {
    options.on_retry = *this;
    return options;
  }
  task<> take_time() {
    if (duration != 0ns) co_await cosock::sleep_for(std::exchange(duration, 0ns));
  }
};

[[noreturn]] inline void fail(error_code why, const char* text = "it failed") {
  throw system_error(why, text);
}

/// The waits of a client that never connects: so many, or fewer if the last one outlasts all time.
inline std::vector<nanoseconds> waits_of(reconnecting_client_options options, std::size_t many) {
  options.max_attempts = many + 1;
  machine m(options);
  m.connecting = [] { fail(make_error_code(boost::system::errc::connection_refused)); };
  virtual_loop loop;
  try {
    loop.run(m.run());
    BOOST_ERROR("connected");
  } catch (const cosock::testing::stuck&) {
    BOOST_REQUIRE(!m.waits.empty());
    BOOST_TEST((m.waits.back() > nanoseconds::max() - loop.now().time_since_epoch()));
  } catch (const system_error& e) {
    BOOST_TEST(e.code() == boost::system::errc::connection_refused);
    BOOST_TEST(m.waits.size() == many);
  }
  // It waits for as long as it says.
  for (std::size_t i = 1; i < m.attempts.size(); ++i) {
    const nanoseconds passed = m.attempts[i] - m.attempts[i - 1];
    BOOST_REQUIRE((passed >= m.waits[i - 1] && passed <= m.waits[i - 1] + tick));
  }
  return m.waits;
}

}  // namespace test
