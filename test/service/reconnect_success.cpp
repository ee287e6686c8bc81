// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/reconnect.hpp>

#define BOOST_TEST_MODULE reconnect_success
#include "support.hpp"
#include "virtual_time.hpp"

#include <limits>
#include <vector>

// Which connections count as a success, after which the waits begin again from the first.

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::reconnecting_client;
using cosock::reconnecting_client_options;
using cosock::retry_event;
using cosock::session_result;
using cosock::task;
using std::chrono::nanoseconds;
namespace errc = boost::system::errc;

struct connection {};
enum class ending { in_order, with_an_error };

[[noreturn]] void fail() { throw system_error(make_error_code(errc::connection_reset)); }

/// A client whose sessions end at once. `session` is told which one it is, from 1, and says whether
/// it is the last.
template <class Session>
std::vector<std::size_t> attempts_of(Session session, reconnecting_client_options options = {}) {
  std::vector<std::size_t> attempts;
  auto observe = [&](const retry_event& n) {
    attempts.push_back(n.attempt);
    if (n.attempt == 1) BOOST_TEST((n.delay <= options.base));
  };
  options.on_retry = observe;
  reconnecting_client client(options);
  int sessions = 0;
  const auto connect = []() -> task<connection> { co_return connection{}; };
  const auto one = [&](connection&) -> task<session_result> {
    co_return session(client, ++sessions) ? session_result::done : session_result::reconnect;
  };
  test::virtual_loop loop;
  loop.run(client.run(connect, one));
  return attempts;
}

using counts = std::vector<std::size_t>;

}  // namespace

BOOST_AUTO_TEST_CASE(sessions_that_succeed_do_not_grow_the_wait) {
  for (const ending how : {ending::in_order, ending::with_an_error}) {
    const counts all = attempts_of([&](reconnecting_client& client, int which) {
      client.succeeded();
      client.succeeded();
      if (which == 6) return true;
      if (how == ending::with_an_error) fail();
      return false;
    });
    BOOST_TEST(all == counts(5, 1), boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(the_waits_begin_again_after_a_session_that_succeeded) {
  const counts all = attempts_of([](reconnecting_client& client, int which) {
    if (which == 4) client.succeeded();
    return which == 7;
  });
  const counts expected = {1, 2, 3, 1, 2, 3};
  BOOST_TEST(all == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_success_is_no_attempt_that_failed) {
  for (const std::size_t most : {std::size_t{1}, std::size_t{3}}) {
    int last = 0;
    const auto run = [&] {
      (void)attempts_of(
          [&](reconnecting_client& client, int which) {
            last = which;
            if (which <= 10) client.succeeded();
            fail();
            return false;
          },
          {.max_attempts = most});
    };
    BOOST_CHECK_EXCEPTION(run(), system_error, test::is(errc::connection_reset));
    BOOST_TEST(last == 10 + static_cast<int>(most));
  }
}

BOOST_AUTO_TEST_CASE(a_success_cures_no_permanent_error) {
  const auto run = [] {
    (void)attempts_of([](reconnecting_client& client, int) -> bool {
      client.succeeded();
      throw system_error(make_error_code(errc::permission_denied));
    });
  };
  BOOST_CHECK_EXCEPTION(run(), system_error, test::is(errc::permission_denied));
}

/// Before it, during connect(), and during a wait.
BOOST_AUTO_TEST_CASE(without_a_session_it_has_no_effect) {
  std::vector<std::size_t> attempts;
  reconnecting_client* running = nullptr;
  auto observe = [&](const retry_event& n) {
    attempts.push_back(n.attempt);
    running->succeeded();
  };
  reconnecting_client client({.max_attempts = 5, .on_retry = observe});
  running = &client;
  client.succeeded();
  const auto connect = [&]() -> task<connection> {
    client.succeeded();
    if (attempts.size() % 2) fail();
    co_return connection{};
  };
  const auto session = [](connection&) -> task<> { co_return; };
  test::virtual_loop loop;
  BOOST_CHECK_THROW(loop.run(client.run(connect, session)), system_error);
  const counts expected = {1, 2, 3, 4};
  BOOST_TEST(attempts == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_shortest_and_the_longest_stable_time) {
  const auto seven = [](reconnecting_client& client, int which) {
    if (which == 4) client.succeeded();
    return which == 7;
  };
  for (const nanoseconds none : {nanoseconds(0), nanoseconds(-1), nanoseconds::min()})
    BOOST_TEST(attempts_of(seven, {.stable = none}) == counts(6, 1),
               boost::test_tools::per_element());
  const counts expected = {1, 2, 3, 1, 2, 3};
  BOOST_TEST(attempts_of(seven, {.stable = nanoseconds::max()}) == expected,
             boost::test_tools::per_element());
  BOOST_TEST(
      attempts_of(seven, {.max_attempts = std::numeric_limits<std::size_t>::max()}) == expected,
      boost::test_tools::per_element());
}
