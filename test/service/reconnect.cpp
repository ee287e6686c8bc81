// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/reconnect.hpp>

#define BOOST_TEST_MODULE reconnect
#include "manual_event.hpp"
#include "operation_endings.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/local.hpp>
#include <cosock/sync.hpp>

#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::system::error_code;
using boost::system::system_error;
using cosock::after_session;
using cosock::error;
using cosock::reconnect_options;
using cosock::reconnecting_client;
using cosock::retry_notice;
using cosock::task;
using cosock::tcp_socket;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using test::counted;
using test::ended_with;
using test::is;
using test::settle;
namespace errc = boost::system::errc;

static_assert(std::is_trivially_destructible_v<reconnect_options>);

/// A clock that goes on by the waits, which take no time unless they are held.
class stub_clock final : public cosock::backoff_clock {
 public:
  steady_clock::time_point now() override { return now_; }
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
  steady_clock::time_point now_{};
};

/// What stands for a connection: it knows when it is closed.
struct line {
  counted alive;
};

enum class place { nowhere, connecting, in_session, waiting };

/// A client, and a peer that fails as it is told.
struct machine {
  explicit machine(reconnect_options options = {}) : client(with_clock(options)) {}

  task<line> connect() {
    ++connects;
    if (stands == place::connecting) co_await test::forever();
    if (connecting) connecting();
    co_return line{};
  }
  task<after_session> session(line&) {
    ++sessions;
    BOOST_TEST(counted::alive == 1);
    if (stands == place::in_session) co_await test::forever();
    co_return in_session ? in_session() : after_session::reconnect;
  }
  task<> run() {
    return client.run([this] { return connect(); }, [this](line& l) { return session(l); });
  }
  reconnect_options with_clock(reconnect_options options) {
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
  std::function<after_session()> in_session;
  int connects = 0;
  int sessions = 0;
  reconnecting_client client;
};

[[noreturn]] void fail(error_code why, const char* text = "it failed") {
  throw system_error(why, text);
}
error_code of_system(int number) {
  return {number, boost::system::system_category()};
}

std::vector<nanoseconds> waits_of(reconnect_options options, std::size_t many) {
  options.max_attempts = many + 1;
  machine m(options);
  m.connecting = [] { fail(of_system(ECONNREFUSED)); };
  cosock::loop loop;
  BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, is(errc::connection_refused));
  BOOST_TEST(m.clock.waits.size() == many);
  return m.clock.waits;
}

/// A port on which connections are refused, as long as the object lives.
class closed_port {
 public:
  closed_port() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&name);
    socklen_t size = sizeof name;
    BOOST_REQUIRE(::bind(fd_, any, size) == 0);
    ::getsockname(fd_, any, &size);
    at_ = {cosock::address::loopback_v4(), ntohs(name.sin_port)};
  }
  closed_port(const closed_port&) = delete;
  ~closed_port() { ::close(fd_); }
  const cosock::endpoint& at() const { return at_; }

 private:
  int fd_;
  cosock::endpoint at_;
};

cosock::endpoint any_port() {
  return {cosock::address::loopback_v4(), 0};
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_waits_grow_up_to_the_cap_and_are_random_below_it) {
  constexpr int seeds = 300;
  constexpr std::size_t many = 12;
  std::vector<double> share(many);
  for (int seed = 1; seed <= seeds; ++seed) {
    reconnect_options options;
    options.seed = static_cast<std::uint64_t>(seed);
    options.cap = 10s;
    const auto waits = waits_of(options, many);
    nanoseconds most = 100ms;
    for (std::size_t i = 0; i != many; ++i, most = std::min<nanoseconds>(2 * most, 10s)) {
      BOOST_REQUIRE((waits[i] >= 0ns && waits[i] <= most));
      share[i] += static_cast<double>(waits[i].count()) / static_cast<double>(most.count());
    }
  }
  for (const double each : share) {
    BOOST_TEST(each / seeds > 0.43);
    BOOST_TEST(each / seeds < 0.57);
  }
}

BOOST_AUTO_TEST_CASE(the_waits_are_those_of_the_seed) {
  reconnect_options one;
  one.seed = 1;
  reconnect_options other;
  other.seed = 2;
  BOOST_TEST((waits_of(one, 10) == waits_of(one, 10)));
  BOOST_TEST((waits_of(one, 10) != waits_of(other, 10)));
  BOOST_TEST((waits_of({}, 10) != waits_of({}, 10)));
}

BOOST_AUTO_TEST_CASE(no_base_and_no_cap_is_too_small_or_too_large) {
  const auto largest = [](nanoseconds base, nanoseconds cap) {
    reconnect_options options;
    options.seed = 7;
    options.base = base;
    options.cap = cap;
    nanoseconds most = 0ns;
    for (const nanoseconds each : waits_of(options, 80)) {
      BOOST_TEST((each >= 0ns));
      most = std::max(most, each);
    }
    return most;
  };
  constexpr nanoseconds ever = nanoseconds::max();
  BOOST_TEST((largest(0ns, 1s) == 0ns));
  BOOST_TEST((largest(-1s, 1s) == 0ns));
  BOOST_TEST((largest(1s, 0ns) == 0ns));
  BOOST_TEST((largest(1s, -1s) == 0ns));
  BOOST_TEST((largest(5s, 1s) <= 1s));
  BOOST_TEST((largest(5s, 1s) > 900ms));
  BOOST_TEST((largest(1ns, ever) > ever / 2));
  BOOST_TEST((largest(ever, ever) > ever / 2));
}

BOOST_AUTO_TEST_CASE(the_waits_begin_anew_after_a_connection_that_has_lasted) {
  for (const bool lasts : {false, true}) {
    std::vector<std::size_t> attempts;
    auto observe = [&](const retry_notice& n) { attempts.push_back(n.attempt); };
    reconnect_options options;
    options.base = 1s;
    options.stable = 60s;
    options.on_retry = observe;
    machine m(options);
    m.in_session = [&] {
      if (m.sessions == 5) m.clock.advance(lasts ? 60s : 60s - 1ns);
      return m.sessions == 8 ? after_session::done : after_session::reconnect;
    };
    cosock::loop loop;
    loop.run(m.run());
    const std::vector<std::size_t> expected = lasts ? std::vector<std::size_t>{1, 2, 3, 4, 1, 2, 3}
                                                    : std::vector<std::size_t>{1, 2, 3, 4, 5, 6, 7};
    BOOST_TEST(attempts == expected, boost::test_tools::per_element());
    if (lasts) BOOST_TEST((m.clock.waits[4] <= 1s));
  }
}

BOOST_AUTO_TEST_CASE(time_that_was_spent_on_connecting_does_not_count_as_a_connection) {
  reconnect_options options;
  options.max_attempts = 2;
  machine m(options);
  m.connecting = [&] { m.clock.advance(1h); };
  cosock::loop loop;
  BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, is(error::end_of_stream));
  BOOST_TEST(m.connects == 2);
}

BOOST_AUTO_TEST_CASE(errors_that_no_retry_can_cure_end_it) {
  const error_code permanent[] = {
      error::service_not_found,   error::not_an_address,
      error::other_loop,          error::busy,
      of_system(EACCES),          of_system(EPERM),
      of_system(EAFNOSUPPORT),    of_system(EINVAL),
      of_system(EPROTONOSUPPORT), of_system(ENAMETOOLONG),
      of_system(EPROTOTYPE),      make_error_code(errc::permission_denied),
  };
  for (const error_code& why : permanent) {
    BOOST_TEST_CONTEXT(why.message()) {
      BOOST_TEST(cosock::is_permanent(why));
      for (const bool in_session : {false, true}) {
        machine m;
        m.in_session = [&]() -> after_session { fail(why, "with this text"); };
        if (!in_session) m.connecting = [&] { fail(why, "with this text"); };
        cosock::loop loop;
        BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, [&](const system_error& e) {
          return e.code() == why && std::string(e.what()).starts_with("with this text");
        });
        BOOST_TEST(m.clock.waits.empty());
        BOOST_TEST(m.sessions == (in_session ? 1 : 0));
        BOOST_TEST(counted::alive == 0);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(errors_that_may_pass_are_retried) {
  const error_code passing[] = {
      error::host_not_found,    error::name_server,      error::timed_out,
      error::end_of_stream,     error::closed,           error::cancelled,
      error::message_truncated, error::line_too_long,    error::frame_too_long,
      error::bad_frame,         error::slow_consumer,    of_system(ECONNREFUSED),
      of_system(ECONNRESET),    of_system(EPIPE),        of_system(ETIMEDOUT),
      of_system(ENETUNREACH),   of_system(EHOSTUNREACH), of_system(EADDRNOTAVAIL),
      of_system(EMFILE),        of_system(ENOBUFS),      of_system(ENOENT),
  };
  for (const error_code& why : passing) {
    BOOST_TEST_CONTEXT(why.message()) {
      BOOST_TEST(!cosock::is_permanent(why));
      machine m;
      m.connecting = [&] {
        if (m.connects == 1) fail(why);
      };
      m.in_session = [&] {
        if (m.sessions == 1) fail(why);
        return after_session::done;
      };
      cosock::loop loop;
      loop.run(m.run());
      BOOST_TEST(m.connects == 3);
      BOOST_TEST(m.clock.waits.size() == 2u);
    }
  }
}

BOOST_AUTO_TEST_CASE(several_errors_are_retried_if_each_may_pass) {
  const auto of = [](auto exception) { return std::make_exception_ptr(exception); };
  const std::exception_ptr reset = of(system_error(of_system(ECONNRESET)));
  const auto runs = [&](const std::exception_ptr& other) {
    machine m;
    m.in_session = [&]() -> after_session {
      if (m.sessions == 2) return after_session::done;
      throw cosock::multiple_errors({reset, other});
    };
    cosock::loop loop;
    loop.run(m.run());
    BOOST_TEST(m.sessions == 2);
  };
  runs(of(system_error(of_system(EPIPE))));
  BOOST_CHECK_THROW(runs(of(system_error(of_system(EACCES)))), cosock::multiple_errors);
  BOOST_CHECK_THROW(runs(of(std::runtime_error("a bug"))), cosock::multiple_errors);
}

BOOST_AUTO_TEST_CASE(exceptions_that_are_no_system_error_end_it) {
  struct oddity {};
  for (const int where : {0, 1, 2, 3}) {
    auto observe = [&](const retry_notice&) {
      if (where >= 2) throw oddity();
    };
    reconnect_options options;
    options.on_retry = observe;
    machine m(options);
    m.connecting = [&] {
      if (where == 0) throw oddity();
    };
    m.in_session = [&]() -> after_session {
      if (where == 1) throw oddity();
      if (where == 2) fail(of_system(EPIPE));
      return after_session::reconnect;
    };
    cosock::loop loop;
    BOOST_CHECK_THROW(loop.run(m.run()), oddity);
    BOOST_TEST(counted::alive == 0);
    BOOST_TEST(m.clock.waits.empty());
    BOOST_TEST(m.connects == 1);
  }
}

BOOST_AUTO_TEST_CASE(a_session_that_is_done_ends_it) {
  machine m;
  m.in_session = [] { return after_session::done; };
  cosock::loop loop;
  loop.run(m.run());
  BOOST_TEST(m.sessions == 1);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(!m.client.is_stopped());
  loop.run(m.run());  // it may run again
  BOOST_TEST(m.sessions == 2);
}

BOOST_AUTO_TEST_CASE(it_gives_up_after_so_many_attempts_in_a_row) {
  for (const std::size_t most : {1u, 2u, 5u}) {
    reconnect_options options;
    options.max_attempts = most;
    machine m(options);
    m.connecting = [] { fail(of_system(ECONNREFUSED), "the last one"); };
    cosock::loop loop;
    for (std::size_t runs = 1; runs != 3; ++runs) {
      BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, [](const system_error& e) {
        return is(errc::connection_refused)(e) && std::string(e.what()).starts_with("the last");
      });
      BOOST_TEST(static_cast<std::size_t>(m.connects) == runs * most);
      BOOST_TEST(m.clock.waits.size() == runs * (most - 1));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_connection_that_has_lasted_is_no_attempt_that_failed) {
  reconnect_options options;
  options.max_attempts = 3;
  machine m(options);
  m.in_session = [&] {
    if (m.sessions == 2 || m.sessions == 5) m.clock.advance(30s);
    return after_session::reconnect;
  };
  cosock::loop loop;
  BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, [](const system_error& e) {
    return is(error::end_of_stream)(e) && e.what() == std::string("the connection has ended");
  });
  BOOST_TEST(m.sessions == 8);
}

BOOST_AUTO_TEST_CASE(the_observer_is_told_the_error_the_delay_and_the_attempt) {
  struct seen {
    error_code error;
    std::string text;
    nanoseconds delay;
    std::size_t attempt;
  };
  std::vector<seen> all;
  machine* running = nullptr;
  auto observe = [&](const retry_notice& n) {
    all.push_back({n.error, std::string(n.text), n.delay, n.attempt});
    BOOST_TEST(counted::alive == 0);  // the connection is closed
    BOOST_TEST(running->clock.waits.size() == all.size() - 1);
  };
  reconnect_options options;
  options.on_retry = observe;
  machine m(options);
  running = &m;
  m.connecting = [&] {
    if (m.connects == 1) fail(of_system(ECONNREFUSED), "nobody there");
  };
  m.in_session = [&] {
    if (m.sessions == 1) fail(error::bad_frame, "what is that");
    return m.sessions == 2 ? after_session::reconnect : after_session::done;
  };
  cosock::loop loop;
  loop.run(m.run());
  BOOST_REQUIRE(all.size() == 3u);
  BOOST_TEST((all[0].error == errc::connection_refused));
  BOOST_TEST((all[1].error == error::bad_frame));
  BOOST_TEST((all[2].error == error::end_of_stream));
  BOOST_TEST(all[0].text.starts_with("nobody there"));
  BOOST_TEST(all[1].text.starts_with("what is that"));
  BOOST_TEST(all[2].text == "the connection has ended");
  for (std::size_t i = 0; i != 3; ++i) {
    BOOST_TEST((all[i].delay == m.clock.waits[i]));
    BOOST_TEST(all[i].attempt == i + 1);
  }
}

BOOST_AUTO_TEST_CASE(anything_that_can_be_called_observes) {
  static int calls = 0;
  struct functor {
    void operator()(const retry_notice&) const { ++calls; }
  };
  const functor constant;
  const std::function<void(const retry_notice&)> wrapped = [](const retry_notice&) { ++calls; };
  const retry_notice notice{{}, "", 0ns, 1};
  void (*const plain)(const retry_notice&) = [](const retry_notice&) { ++calls; };
  cosock::retry_observer().operator()(notice);
  BOOST_TEST(calls == 0);
  for (const cosock::retry_observer& each :
       {cosock::retry_observer(constant), cosock::retry_observer(wrapped),
        cosock::retry_observer(plain), cosock::retry_observer(*plain),
        cosock::retry_observer([](const retry_notice&) { ++calls; }),
        cosock::retry_observer([](const auto&) { ++calls; })})
    each(notice);
  BOOST_TEST(calls == 6);
  const reconnect_options options{.on_retry = [](const retry_notice&) { ++calls; }};
  options.on_retry(notice);
  BOOST_TEST(calls == 7);
  static_assert(!std::constructible_from<cosock::retry_observer, functor>);  // it would dangle
}

BOOST_AUTO_TEST_CASE(cancelled_at_every_step_it_ends_and_closes) {
  for (const place where : {place::connecting, place::in_session, place::waiting}) {
    for (const bool timed : {false, true}) {
      machine m;
      m.stop_at(where);
      cosock::loop loop;
      cosock::cancel_scope scope;
      auto running = loop.start([](cosock::cancel_scope& scope, machine& m) -> task<> {
        co_await scope.run(m.run());
      }(scope, m));
      settle(loop);
      BOOST_TEST(!running.done());
      BOOST_TEST(counted::alive == (where == place::in_session ? 1 : 0));
      if (timed)
        scope.set_deadline(steady_clock::now());
      else
        scope.cancel();
      settle(loop);
      BOOST_TEST(ended_with(running, timed ? error::timed_out : error::cancelled));
      BOOST_TEST(counted::alive == 0);
      BOOST_TEST(m.connects == 1);
      BOOST_TEST(m.clock.waits.size() == (where == place::waiting ? 1u : 0u));
    }
  }
}

BOOST_AUTO_TEST_CASE(stopped_at_every_step_it_returns) {
  for (const place where : {place::connecting, place::in_session, place::waiting}) {
    machine m;
    m.stop_at(where);
    cosock::loop loop;
    auto running = loop.start(m.run());
    settle(loop);
    BOOST_TEST(!running.done());
    m.client.stop();
    m.client.stop();
    BOOST_TEST(!running.done());
    settle(loop);
    BOOST_REQUIRE(running.done());
    running.result();
    BOOST_TEST(counted::alive == 0);
    BOOST_TEST(m.client.is_stopped());
    loop.run(m.run());  // for good
    BOOST_TEST(m.connects == 1);
  }
}

BOOST_AUTO_TEST_CASE(what_is_stopped_and_cancelled_throws_cancelled) {
  for (const bool before : {false, true}) {
    machine m;
    m.stop_at(place::in_session);
    cosock::loop loop;
    if (before) m.client.stop();
    auto running = loop.start(m.run());
    if (!before) {
      settle(loop);
      m.client.stop();
    }
    running.cancel();
    settle(loop);
    BOOST_TEST(ended_with(running, error::cancelled));
  }
}

BOOST_AUTO_TEST_CASE(cancelled_before_it_starts_it_tries_nothing) {
  machine m;
  cosock::loop loop;
  auto running = loop.start(m.run());
  running.cancel();
  settle(loop);
  BOOST_TEST(ended_with(running, error::cancelled));
  BOOST_TEST(m.connects == 0);
}

BOOST_AUTO_TEST_CASE(a_connection_that_was_made_although_it_is_cancelled_is_closed) {
  machine m;
  test::gate gate;
  cosock::loop loop;
  auto running = loop.start(m.client.run(
      [&]() -> task<line> {
        co_await gate.wait();
        co_return co_await m.connect();
      },
      [&](line& l) { return m.session(l); }));
  settle(loop);
  gate.open();
  running.cancel();
  settle(loop);
  BOOST_TEST(ended_with(running, error::cancelled));
  BOOST_TEST(m.connects == 1);
  BOOST_TEST(m.sessions == 0);
  BOOST_TEST(counted::alive == 0);
}

BOOST_AUTO_TEST_CASE(what_ends_in_a_cancelled_scope_is_not_retried_but_done_counts) {
  for (const int ends : {0, 1, 2, 3}) {
    int notices = 0;
    auto observe = [&](const retry_notice&) { ++notices; };
    reconnect_options options;
    options.on_retry = observe;
    machine m(options);
    cosock::loop loop;
    cosock::cancel_scope scope;
    m.in_session = [&] {
      scope.cancel();
      if (ends == 1) fail(of_system(ECONNRESET));
      if (ends == 3) throw std::runtime_error("a bug");
      return ends == 2 ? after_session::done : after_session::reconnect;
    };
    auto running = loop.start([](cosock::cancel_scope& scope, machine& m) -> task<> {
      co_await scope.run(m.run());
    }(scope, m));
    settle(loop);
    BOOST_REQUIRE(running.done());
    if (ends == 2)
      running.result();
    else if (ends == 3)
      BOOST_CHECK_THROW(running.result(), std::runtime_error);
    else
      BOOST_TEST(ended_with(running, error::cancelled));
    BOOST_TEST(notices == 0);
    BOOST_TEST(m.connects == 1);
  }
}

BOOST_AUTO_TEST_CASE(the_observer_and_the_session_may_stop_it) {
  for (const bool session : {false, true}) {
    machine* running = nullptr;
    auto observe = [&](const retry_notice&) { running->client.stop(); };
    reconnect_options options;
    options.on_retry = observe;
    machine m(options);
    running = &m;
    m.in_session = [&] {
      if (session) m.client.stop();
      return after_session::reconnect;
    };
    cosock::loop loop;
    loop.run(m.run());
    BOOST_TEST(m.sessions == 1);
  }
}

BOOST_AUTO_TEST_CASE(a_session_that_cancels_itself_is_followed_by_the_next) {
  machine m;
  cosock::loop loop;
  std::optional<cosock::cancel_scope> scope;
  auto running = loop.start(m.client.run(
      [&] { return m.connect(); },
      [&](line&) -> task<> { co_await scope.emplace().run(test::forever()); }));
  settle(loop);
  scope->cancel();
  settle(loop);
  BOOST_TEST(!running.done());
  BOOST_TEST(m.connects == 2);
  BOOST_TEST(m.clock.waits.size() == 1u);
}

BOOST_AUTO_TEST_CASE(it_runs_once_at_a_time) {
  machine m;
  m.stop_at(place::in_session);
  cosock::loop loop;
  auto running = loop.start(m.run());
  settle(loop);
  BOOST_CHECK_THROW(loop.run(m.run()), std::logic_error);
  BOOST_TEST(!running.done());
  m.client.stop();
  settle(loop);
  running.result();
}

BOOST_AUTO_TEST_CASE(destroyed_at_every_step_it_leaves_nothing) {
  for (const place where : {place::connecting, place::in_session, place::waiting}) {
    machine m;
    m.stop_at(where);
    for (const bool with_loop : {false, true}) {
      auto loop = std::make_unique<cosock::loop>();
      auto task = loop->start(m.run());
      settle(*loop);
      BOOST_TEST(!task.done());
      if (with_loop) {
        loop.reset();
        BOOST_CHECK_THROW(task.result(), std::logic_error);
        BOOST_TEST(counted::alive == 0);
      }
    }
    BOOST_TEST(counted::alive == 0);
    BOOST_TEST(m.connects == 2);
    m.client.stop();  // it runs no more, and can be told so
  }
}

COROUTINE_TEST_CASE(a_server_may_come_and_go) {
  stub_clock clock;
  closed_port nobody;
  std::optional<cosock::tcp_acceptor> acceptor;
  std::vector<std::string> events;
  auto observe = [&](const retry_notice& n) {
    events.push_back(n.error.message());
    if (n.attempt == 2) acceptor.emplace(any_port());
  };
  reconnecting_client client({.on_retry = observe, .clock = &clock});
  const auto connect = [&] {
    return cosock::connect(acceptor ? acceptor->local_endpoint() : nobody.at());
  };
  const auto session = [&](tcp_socket& socket) -> task<> {
    co_await socket.send("hello");
    char into[10];
    while (const std::size_t n = co_await socket.receive(into))
      events.emplace_back(into, n);
    clock.advance(1h);
  };
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await client.run(connect, session); });
    for (int i = 0; i != 3; ++i) {
      while (!acceptor) co_await cosock::yield();
      auto peer = co_await acceptor->accept();
      acceptor.reset();
      char into[5];
      co_await peer.receive_exactly(into);
      co_await peer.send("welcome");
      peer.shutdown_send();
      BOOST_TEST((co_await peer.receive(into)) == 0u);  // the client closes its side
    }
    client.stop();
  });
  const std::string refused = of_system(ECONNREFUSED).message();
  const std::string ended = make_error_code(error::end_of_stream).message();
  const std::vector<std::string> expected = {refused, refused, "welcome", ended,    refused,
                                             "welcome", ended, refused,   "welcome"};
  BOOST_REQUIRE(events.size() >= expected.size());
  events.resize(expected.size());
  BOOST_TEST(events == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(a_host_and_a_port_will_do) {
  stub_clock clock;
  cosock::tcp_acceptor acceptor(any_port());
  const std::uint16_t port = acceptor.local_endpoint().port();
  const std::size_t before = test::open_descriptors();
  for (const bool text : {false, true}) {
    reconnecting_client client({.clock = &clock});
    const auto session = [](tcp_socket& socket) -> task<after_session> {
      BOOST_TEST(socket.no_delay() == false);
      char into[1];
      const std::size_t n = co_await socket.receive(into);
      co_return n == 0 ? after_session::reconnect : after_session::done;
    };
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start([&]() -> task<> {
        if (text)
          co_await client.run("127.0.0.1", std::to_string(port), session, {.no_delay = false});
        else
          co_await client.run("127.0.0.1", port, session, {.no_delay = false});
      });
      for (int i = 0; i != 3; ++i) {
        auto peer = co_await acceptor.accept();
        if (i == 2) co_await peer.send("x");
      }
    });
    BOOST_TEST(test::open_descriptors() == before);
  }
  BOOST_TEST(clock.waits.size() == 4u);
}

COROUTINE_TEST_CASE(a_port_or_a_path_that_cannot_be_ends_it) {
  stub_clock clock;
  reconnecting_client client({.clock = &clock});
  const auto session = [](auto&) -> task<> { co_return; };
  BOOST_CHECK_EXCEPTION(co_await client.run("127.0.0.1", "65536", session), system_error,
                        is(error::service_not_found));
  const std::string path(200, 'x');
  const auto local = [&] {
    return cosock::connect<cosock::local_stream_socket>(cosock::local_endpoint::path(path));
  };
  BOOST_CHECK_EXCEPTION(co_await client.run(local, session), system_error,
                        is(errc::filename_too_long));
  const auto text = [] { return cosock::connect(cosock::endpoint::parse("nowhere")); };
  BOOST_CHECK_EXCEPTION(co_await client.run(text, session), system_error,
                        is(error::not_an_address));
  BOOST_TEST(clock.waits.empty());
}

COROUTINE_TEST_CASE(a_local_server_that_is_not_there_yet_is_waited_for) {
  stub_clock clock;
  reconnecting_client client({.max_attempts = 3, .clock = &clock});
  const auto connect = [] {
    const auto at = cosock::local_endpoint::path("/nowhere/at/all");
    return cosock::connect<cosock::local_stream_socket>(at);
  };
  const auto session = [](cosock::local_stream_socket&) -> task<> { co_return; };
  BOOST_CHECK_EXCEPTION(co_await client.run(connect, session), system_error,
                        is(errc::no_such_file_or_directory));
  BOOST_TEST(clock.waits.size() == 2u);
}

COROUTINE_TEST_CASE(a_connection_may_be_anything_that_closes_when_destroyed) {
  stub_clock clock;
  reconnecting_client client({.clock = &clock});
  int sessions = 0;
  std::unique_ptr<cosock::byte_stream>* of_last = nullptr;
  const auto connect = []() -> task<std::unique_ptr<cosock::byte_stream>> {
    auto made = co_await test::make_scripted_stream();
    made->end();
    co_return std::move(made);
  };
  const auto session = [&](std::unique_ptr<cosock::byte_stream>& s) -> task<after_session> {
    of_last = &s;
    char into[1];
    BOOST_TEST((co_await s->receive(into)) == 0u);
    co_return ++sessions == 3 ? after_session::done : after_session::reconnect;
  };
  co_await client.run(connect, session);
  BOOST_TEST(sessions == 3);
  BOOST_TEST(of_last != nullptr);
}

COROUTINE_TEST_CASE(without_waits_it_lets_others_run) {
  reconnecting_client client({.base = 0ns});
  int attempts = 0;
  const auto connect = [&]() -> task<tcp_socket> {
    ++attempts;
    fail(of_system(ECONNREFUSED));
    co_return tcp_socket();
  };
  const auto session = [](tcp_socket&) -> task<> { co_return; };
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await client.run(connect, session); });
    while (attempts < 10) co_await cosock::yield();
    client.stop();
  });
  BOOST_TEST(attempts <= 12);
}

COROUTINE_TEST_CASE(a_failure_that_may_pass_is_the_code_of_a_connect_to_several_addresses) {
  // A link-local address without an interface can never be connected to.
  closed_port nobody;
  const cosock::endpoint never(cosock::address::parse("fe80::1"), 1);
  const auto alone = co_await test::outcome_of(cosock::connect(never));
  if (!cosock::is_permanent(alone.error)) {
    BOOST_TEST_MESSAGE("here it fails with: " << alone.error.message());
    co_return;
  }
  for (const bool first : {false, true}) {
    std::vector<cosock::endpoint> to(2, never);
    to[first ? 1 : 0] = nobody.at();
    const auto o = co_await test::outcome_of(cosock::connect(std::move(to)));
    BOOST_TEST((o.error == errc::connection_refused));
  }
  const std::vector<cosock::endpoint> hopeless(2, never);
  const auto o = co_await test::outcome_of(cosock::connect(hopeless));
  BOOST_TEST(o.error == alone.error);
}
