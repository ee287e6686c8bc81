// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE resolve
#include "allocations.hpp"
#include "core/scheduler.hpp"
#include "name_server.hpp"

#include <cosock/run.hpp>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <optional>
#include <thread>

using boost::system::system_error;
using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::resolve;
using cosock::reverse_resolve;
using cosock::running;
using cosock::task;
using cosock::with_timeout;
using test::name_server;
using test::silent_name_server;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

using endpoints = std::vector<endpoint>;

namespace {

/// The names of this process's threads.
std::vector<std::string> threads() {
  std::vector<std::string> names;
  DIR* all = ::opendir("/proc/self/task");
  while (const dirent* each = ::readdir(all)) {
    if (each->d_name[0] == '.') continue;
    std::ifstream file(std::string("/proc/self/task/") + each->d_name + "/comm");
    std::getline(file, names.emplace_back());
  }
  ::closedir(all);
  return names;
}

std::size_t resolver_threads() {
  const auto all = threads();
  return static_cast<std::size_t>(std::count(all.begin(), all.end(), "cosock-resolve"));
}

std::string joined(endpoints all) {
  std::string text;
  for (const endpoint& each : all) text += (text.empty() ? "" : " ") + each.to_string();
  return text;
}

/// In an order that does not depend on the machine's routes.
std::string sorted(endpoints all) {
  std::sort(all.begin(), all.end());
  return joined(std::move(all));
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

/// Expects the look-up to fail, and gives the text of the error.
template <class T>
task<std::string> failure_of(task<T> look_up, error e) {
  std::string text;
  try {
    (void)co_await std::move(look_up);
    BOOST_ERROR("found something");
  } catch (const system_error& thrown) {
    BOOST_TEST(test::is(e)(thrown), thrown.what());
    text = thrown.what();
  }
  co_return text;
}

using pending = std::unique_ptr<running<endpoints>>;

/// Starts a look-up that stays where it is, of IPv4 addresses only: that is one question.
pending started(loop& on, std::string host) {
  return pending(
      new running<endpoints>(on.start(resolve(std::move(host), 80, {.family = family::v4}))));
}

/// Runs the loop until the task has ended.
template <class T>
void finish(loop& on, running<T>& work) {
  while (!work.done()) on.run_some();
}

template <class T>
boost::system::error_code code_of(running<T>& work) {
  try {
    (void)work.result();
  } catch (const system_error& e) {
    return e.code();
  }
  return {};
}

/// How long the function takes: the least of a few times, because the machine may be busy.
template <class F>
std::chrono::duration<double> time_of(F function) {
  std::chrono::duration<double> least = 1h;
  for (int i = 0; i != 5 && least > 10ms; ++i) least = std::min(least, function());
  return least;
}

std::chrono::duration<double> since(steady_clock::time_point start) {
  return steady_clock::now() - start;
}

}  // namespace

// What never leaves the loop.

BOOST_AUTO_TEST_CASE(a_numeric_host_is_resolved_at_once_and_without_a_thread) {
  const std::size_t before = threads().size();
  loop l;
  for (const char* host :
       {"127.0.0.1", "192.0.2.255", "::1", "2001:db8::1", "fe80::1%lo", "::ffff:192.0.2.1"}) {
    auto look_up = l.start(resolve(host, 80));
    while (l.poll() != 0) continue;
    BOOST_REQUIRE(look_up.done());
    BOOST_TEST(joined(look_up.result()) == endpoint(address::parse(host), 80).to_string());
  }
  BOOST_TEST(threads().size() == before);
}

COROUTINE_TEST_CASE(a_port_is_a_decimal_number) {
  for (const char* port : {"0", "1", "80", "00080", "65535"}) {
    const endpoints found = co_await resolve("127.0.0.1", port);
    BOOST_TEST(found.at(0).port() == std::atoi(port));
  }
  const endpoints most = co_await resolve("::1", 65535);
  BOOST_TEST(joined(most) == "[::1]:65535");
}

COROUTINE_TEST_CASE(a_bad_port_is_refused_with_its_text) {
  const std::vector<std::string> ports = {"",
                                          "65536",
                                          "70000",
                                          "-1",
                                          "+1",
                                          " 80",
                                          "99999999999999",
                                          "/",
                                          "\xff",
                                          "\x7f",
                                          "!abc",
                                          std::string("80\0", 3),
                                          std::string("http\0", 5),
                                          std::string("\0", 1),
                                          std::string(64, 'x'),
                                          std::string(100'000, 'x'),
                                          std::string(100'000, '1')};
  const std::vector<std::string> hosts = {"127.0.0.1", "", "name.that.is.never.looked.up.test"};
  for (const std::string& host : hosts)
    for (const std::string& port : ports) {
      const std::string text = co_await failure_of(resolve(host, port), error::service_not_found);
      std::string shown = port.substr(0, 40);
      if (const auto nul = shown.find('\0'); nul != shown.npos) shown.replace(nul, 1, "\\x00");
      if (shown == "\x7f") shown = "\\x7f";
      BOOST_TEST(contains(text, '"' + shown), text);
      BOOST_TEST(contains(text, "65535"), text);
    }
}

COROUTINE_TEST_CASE(the_wanted_family_holds_for_numeric_hosts) {
  const endpoints v4 = co_await resolve("127.0.0.1", 1, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.1:1");
  const endpoints v6 = co_await resolve("::1", 1, {.family = family::v6});
  BOOST_TEST(joined(v6) == "[::1]:1");
  const std::string no_v6 =
      co_await failure_of(resolve("127.0.0.1", 1, {.family = family::v6}), error::host_not_found);
  BOOST_TEST(contains(no_v6, "127.0.0.1"), no_v6);
  const std::string no_v4 =
      co_await failure_of(resolve("::1", 1, {.family = family::v4}), error::host_not_found);
  BOOST_TEST(contains(no_v4, "::1"), no_v4);
}

COROUTINE_TEST_CASE(an_empty_host_is_loopback_or_all_interfaces) {
  const endpoints active = co_await resolve("", 80);
  BOOST_TEST(joined(active) == "[::1]:80 127.0.0.1:80");
  const endpoints passive = co_await resolve("", 80, {.passive = true});
  BOOST_TEST(passive.size() == 1u);  // [::] has the IPv4 connections too
  const endpoints v4 = co_await resolve("", 80, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.1:80");
  const endpoints any_v6 = co_await resolve("", 80, {.family = family::v6, .passive = true});
  BOOST_TEST(joined(any_v6) == "[::]:80");
}

COROUTINE_TEST_CASE(a_host_that_can_be_no_name_is_not_found) {
  const std::vector<std::string> hosts = {std::string("localhost\0", 10), std::string("\0", 1),
                                          std::string("127.0.0.1\0x", 11), std::string(256, 'a'),
                                          std::string(100'000, 'a')};
  for (const std::string& host : hosts) {
    const std::string text = co_await failure_of(resolve(host, 80), error::host_not_found);
    BOOST_TEST(contains(text, "no such host"), text);
    BOOST_TEST(text.size() < 300u);
    if (host.size() < 20) BOOST_TEST(contains(text, "\\x00"), text);
  }
}

BOOST_AUTO_TEST_CASE(cancelled_before_it_starts_it_does_nothing) {
  const std::size_t before = threads().size();
  loop l;
  for (const char* host : {"127.0.0.1", "", "localhost", "a.test"}) {
    auto look_up = l.start(resolve(host, 80));
    look_up.cancel();
    while (l.poll() != 0) continue;
    BOOST_REQUIRE(look_up.done());
    BOOST_TEST(code_of(look_up) == make_error_code(error::cancelled));
  }
  auto reverse = l.start(reverse_resolve(address::loopback_v4()));
  reverse.cancel();
  while (l.poll() != 0) continue;
  BOOST_TEST(code_of(reverse) == make_error_code(error::cancelled));
  BOOST_TEST(threads().size() == before);
}

COROUTINE_TEST_CASE(numeric_look_ups_without_end_let_other_tasks_run) {
  const auto endless = []() -> task<> {
    for (;;) (void)co_await resolve("127.0.0.1", 80);
  };
  const auto ended = co_await as_result(with_timeout(10ms, endless()));
  BOOST_TEST(ended.error() == make_error_code(error::timed_out));
}

// What the system knows by itself.

CHILD_COROUTINE_TEST_CASE(localhost_is_loopback) {
  const endpoints found = co_await resolve("localhost", 80);
  BOOST_TEST(!found.empty());
  for (const endpoint& each : found) {
    BOOST_TEST(each.address().is_loopback(), each);
    BOOST_TEST(each.port() == 80);
  }
}

CHILD_COROUTINE_TEST_CASE(a_thread_of_the_pool_takes_no_signals) {
  (void)co_await as_result(resolve("127.0.0.1", "http"));  // which a bare system may not know
  BOOST_REQUIRE(resolver_threads() == 1u);
  DIR* all = ::opendir("/proc/self/task");
  while (const dirent* each = ::readdir(all)) {
    std::ifstream file(std::string("/proc/self/task/") + each->d_name + "/status");
    bool of_pool = false;
    for (std::string line; std::getline(file, line);) {
      if (line == "Name:\tcosock-resolve") of_pool = true;
      if (of_pool && line.starts_with("SigBlk:"))
        for (const int s : {SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGPIPE})
          BOOST_TEST((std::stoull(line.substr(8), nullptr, 16) >> (s - 1) & 1) == 1u, line);
    }
  }
  ::closedir(all);
}

// A network with names in it.

NETWORK_COROUTINE_TEST_CASE(localhost_is_the_loopback_of_the_hosts_file) {
  const endpoints both = co_await resolve("localhost", 80);
  BOOST_TEST(sorted(both) == "127.0.0.1:80 [::1]:80");
  const endpoints v4 = co_await resolve("localhost", 80, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.1:80");
  const endpoints v6 = co_await resolve("localhost", 80, {.family = family::v6});
  BOOST_TEST(joined(v6) == "[::1]:80");
}

BOOST_AUTO_TEST_CASE(localhost_is_loopback_where_the_system_does_not_know_it,
                     *boost::unit_test::precondition(test::may_have_a_network)) {
  test::etc files;
  files.hosts = "127.0.0.5 listed.localhost\n";
  const auto body = []() -> task<> {
    name_server names;
    for (const char* host : {"localhost", "LocalHost.", "app.localhost", "a.b.localhost"}) {
      const endpoints both = co_await resolve(host, 80);
      BOOST_TEST(joined(both) == "[::1]:80 127.0.0.1:80", host);
    }
    const endpoints v4 = co_await resolve("localhost", "http", {.family = family::v4});
    BOOST_TEST(joined(v4) == "127.0.0.1:80");
    const endpoints listed = co_await resolve("listed.localhost", 80);
    BOOST_TEST(joined(listed) == "127.0.0.5:80");
    for (const char* host : {"mylocalhost", "localhost.test", "localhos"}) {
      const auto other = co_await as_result(resolve(host, 80));
      BOOST_TEST(other.error() == make_error_code(error::host_not_found), host);
    }
    const auto unknown = co_await as_result(resolve("localhost", "no-such-service"));
    BOOST_TEST(unknown.error() == make_error_code(error::service_not_found));
  };
  test::in_network([&] { test::run_case(body()); }, files);
}

BOOST_AUTO_TEST_CASE(an_address_that_the_hosts_file_has_twice_is_given_once,
                     *boost::unit_test::precondition(test::may_have_a_network)) {
  test::etc files;
  files.hosts = "127.0.0.5 twice.test\n127.0.0.6 twice.test\n127.0.0.5 other twice.test\n";
  const auto body = []() -> task<> {
    const endpoints found = co_await resolve("twice.test", 80);
    BOOST_TEST(sorted(found) == "127.0.0.5:80 127.0.0.6:80");
  };
  test::in_network([&] { test::run_case(body()); }, files);
}

NETWORK_COROUTINE_TEST_CASE(a_service_that_only_udp_has_is_known) {
  BOOST_TEST(joined(co_await resolve("127.0.0.1", "tftp")) == "127.0.0.1:69");
  BOOST_TEST(joined(co_await resolve("localhost", "tftp", {.family = family::v4})) ==
             "127.0.0.1:69");
  const auto none = co_await as_result(resolve("localhost", "tftpp"));
  BOOST_TEST(none.error() == make_error_code(error::service_not_found));
}

NETWORK_COROUTINE_TEST_CASE(a_name_gives_every_address_it_has) {
  name_server names;
  const endpoints dual = co_await resolve("dual.test", 80);
  BOOST_TEST(sorted(dual) == "127.0.0.2:80 [::1]:80");
  const endpoints v4 = co_await resolve("v4.test", 0);
  BOOST_TEST(sorted(v4) == "127.0.0.4:0");
  const endpoints v6 = co_await resolve("v6.test", 65535);
  BOOST_TEST(sorted(v6) == "[::6]:65535");
  endpoints many = co_await resolve("many.test", 7);
  std::sort(many.begin(), many.end());
  BOOST_REQUIRE(many.size() == 20u);
  for (std::size_t i = 0; i != 20; ++i)
    BOOST_TEST(many[i].to_string() == "127.0.1." + std::to_string(i + 1) + ":7");
}

NETWORK_COROUTINE_TEST_CASE(the_wanted_family_is_all_that_is_asked_for) {
  name_server names;
  const endpoints v4 = co_await resolve("dual.test", 80, {.family = family::v4});
  BOOST_TEST(joined(v4) == "127.0.0.2:80");
  BOOST_TEST(names.asked("dual.test") == 1);
  const endpoints v6 = co_await resolve("dual.test", 80, {.family = family::v6});
  BOOST_TEST(joined(v6) == "[::1]:80");
  const std::string text =
      co_await failure_of(resolve("v6.test", 80, {.family = family::v4}), error::host_not_found);
  BOOST_TEST(contains(text, "v6.test"), text);
}

NETWORK_COROUTINE_TEST_CASE(a_service_may_have_a_name) {
  name_server names;
  const endpoints numeric = co_await resolve("192.0.2.1", "http");
  BOOST_TEST(joined(numeric) == "192.0.2.1:80");
  const endpoints empty = co_await resolve("", "http");
  BOOST_TEST(joined(empty) == "[::1]:80 127.0.0.1:80");
  const endpoints passive = co_await resolve("", "http", {.family = family::v4, .passive = true});
  BOOST_TEST(joined(passive) == "0.0.0.0:80");
  const endpoints scoped = co_await resolve("fe80::1%lo", "http");
  BOOST_TEST(joined(scoped) == "[fe80::1%lo]:80");
  const endpoints name = co_await resolve("dual.test", "http");
  BOOST_TEST(sorted(name) == "127.0.0.2:80 [::1]:80");
  const endpoints digit_first = co_await resolve("dual.test", "3com-tsmux");
  BOOST_TEST(sorted(digit_first) == "127.0.0.2:106 [::1]:106");
}

NETWORK_COROUTINE_TEST_CASE(an_unknown_service_is_refused_with_its_text) {
  name_server names;
  const std::vector<std::string> hosts = {"127.0.0.1", "", "localhost", "dual.test", "nosuch.test"};
  const std::vector<std::string> services = {"nosuch", "abc!", "80x", "80 ", "0x50", "8.0", "1e3"};
  for (const std::string& host : hosts)
    for (const std::string& service : services) {
      const std::string text =
          co_await failure_of(resolve(host, service), error::service_not_found);
      BOOST_TEST(contains(text, '"' + service + "\": neither a port from 0 to 65535 nor a known"),
                 text);
    }
}

NETWORK_COROUTINE_TEST_CASE(an_unknown_host_is_not_found) {
  name_server names;
  for (const char* host : {"nosuch.test", "256.1.1.1", "1.2.3.4.5", "fe80::1%nosuch", "::g",
                           "[::1]", "a b", "a..b", "-",
                           "b\xc3\xbc"
                           "cher.test"}) {
    const std::string text = co_await failure_of(resolve(host, 80), error::host_not_found);
    BOOST_TEST(contains(text, host), text);
    BOOST_TEST(contains(text, "no such host"), text);
  }
  const std::string controls =
      co_await failure_of(resolve("\x1b[2Jhost\n", 80), error::host_not_found);
  BOOST_TEST(contains(controls, "\\x1b[2Jhost\\x0a: "), controls);
}

NETWORK_COROUTINE_TEST_CASE(a_name_server_that_fails_is_told_from_an_unknown_host) {
  name_server names;
  for (const char* host : {"broken.test", "refused.test"}) {
    const std::string text = co_await failure_of(resolve(host, 80), error::name_server);
    BOOST_TEST(contains(text, host), text);
    BOOST_TEST(contains(text, "name server"), text);
  }
  const auto result = co_await as_result(resolve("broken.test", 80));
  BOOST_TEST(result.error() == boost::system::errc::resource_unavailable_try_again);
}

NETWORK_COROUTINE_TEST_CASE(no_name_server_at_all_is_an_error_of_the_name_server) {
  (void)co_await failure_of(resolve("dual.test", 80), error::name_server);
}

NETWORK_COROUTINE_TEST_CASE(reverse_resolve_gives_the_name_of_an_address) {
  name_server names;
  BOOST_TEST(co_await reverse_resolve(address::loopback_v4()) == "localhost");
  BOOST_TEST(co_await reverse_resolve(address::loopback_v6()) == "localhost");
  BOOST_TEST(co_await reverse_resolve(address::parse("127.0.0.2")) == "two.test");
}

NETWORK_COROUTINE_TEST_CASE(reverse_resolve_of_an_address_without_a_name_fails) {
  name_server names;
  for (const char* of : {"127.0.0.3", "192.0.2.1", "2001:db8::1"}) {
    const std::string text =
        co_await failure_of(reverse_resolve(address::parse(of)), error::host_not_found);
    BOOST_TEST(contains(text, of), text);
  }
  (void)co_await failure_of(reverse_resolve(address::parse("127.0.0.9")), error::name_server);
}

NETWORK_COROUTINE_TEST_CASE(many_look_ups_at_once_each_get_their_own_answer) {
  name_server names;
  const auto one = [](int i) -> task<> {
    const std::string number = std::to_string(i % 200);
    const endpoints found = co_await resolve("n" + number + ".example", 1, {.family = family::v4});
    if (joined(found) != "127.1.0." + number + ":1") BOOST_ERROR(joined(found));
  };
  co_await cosock::with_nursery([&one](cosock::nursery& in) -> task<> {
    for (int i = 0; i != 400; ++i) in.start(one, i);
    co_return;
  });
  BOOST_TEST(resolver_threads() <= 16u);
  BOOST_TEST(names.asked_in_all() == 400);
}

// A name server that says nothing.

NETWORK_TEST_CASE(a_cancelled_look_up_returns_at_once_from_a_silent_name_server) {
  silent_name_server silent;
  const auto taken = time_of([] {
    loop l;
    auto look_up = l.start(resolve("silent.test", 80));
    auto reverse = l.start(reverse_resolve(address::parse("192.0.2.1")));
    while (l.poll() != 0) continue;
    BOOST_TEST(!look_up.done());
    BOOST_TEST(!reverse.done());
    const auto begin = steady_clock::now();
    look_up.cancel();
    reverse.cancel();
    finish(l, look_up);
    finish(l, reverse);
    const auto taken = since(begin);
    BOOST_TEST(code_of(look_up) == make_error_code(error::cancelled));
    BOOST_TEST(code_of(reverse) == make_error_code(error::cancelled));
    return taken;
  });
  BOOST_TEST(taken.count() < 0.050);
}

NETWORK_TEST_CASE(a_limit_ends_a_look_up_at_a_silent_name_server) {
  silent_name_server silent;
  const auto taken = time_of([] {
    loop l;
    const auto begin = steady_clock::now();
    const auto result = l.run([]() -> task<cosock::result<endpoints>> {
      co_return co_await as_result(with_timeout(5ms, resolve("silent.test", 80)));
    }());
    const auto taken = since(begin);
    BOOST_TEST(result.error() == make_error_code(error::timed_out));
    BOOST_TEST(taken >= 5ms);
    return taken;
  });
  BOOST_TEST(taken.count() < 0.055);
}

NETWORK_TEST_CASE(a_loop_ends_at_once_while_the_name_server_is_silent) {
  silent_name_server silent;
  const auto taken = time_of([] {
    std::optional<loop> l(std::in_place);
    auto look_up = l->start(resolve("silent.test", 80));
    while (l->poll() != 0) continue;
    const auto begin = steady_clock::now();
    l.reset();
    const auto taken = since(begin);
    BOOST_CHECK_THROW((void)look_up.result(), std::logic_error);
    return taken;
  });
  BOOST_TEST(taken.count() < 0.100);
}

NETWORK_TEST_CASE(run_ends_at_once_while_the_name_server_is_silent) {
  silent_name_server silent;
  static steady_clock::time_point cancelled;
  const auto taken = time_of([] {
    const int status = cosock::run([]() -> task<int> {
      const auto result = co_await as_result(with_timeout(5ms, resolve("silent.test", 80)));
      BOOST_TEST(result.error() == make_error_code(error::timed_out));
      cancelled = steady_clock::now();
      co_return 7;
    }());
    BOOST_TEST(status == 7);
    return since(cancelled);
  });
  BOOST_TEST(taken.count() < 0.100);
}

NETWORK_TEST_CASE(a_process_ends_at_once_while_the_name_server_is_silent) {
  silent_name_server silent;
  int said[2];
  BOOST_REQUIRE(::pipe(said) == 0);
  steady_clock::time_point begin;
  test::in_child([&] {  // nothing is asserted to have been cleaned up here: exit() has to do
    static loop l;
    static std::vector<pending> look_ups;
    for (int i = 0; i != 40; ++i) look_ups.push_back(started(l, "silent.test"));
    while (l.poll() != 0) continue;
    while (resolver_threads() != 16) std::this_thread::yield();
    begin = steady_clock::now();
    BOOST_TEST(::write(said[1], &begin, sizeof begin) == static_cast<ssize_t>(sizeof begin));
  });
  const auto end = steady_clock::now();
  BOOST_REQUIRE(::read(said[0], &begin, sizeof begin) == static_cast<ssize_t>(sizeof begin));
  BOOST_TEST(std::chrono::duration<double>(end - begin).count() < 3);  // leak checks included
}

// A name server that the test holds.

NETWORK_TEST_CASE(the_threads_are_few_and_what_waits_for_one_is_answered_later) {
  name_server names;
  loop l;
  std::vector<pending> look_ups;
  const auto start = [&](std::string host) { look_ups.push_back(started(l, std::move(host))); };
  for (int i = 0; i != 16; ++i) start("gate" + std::to_string(i) + ".test");
  for (int i = 0; i != 50; ++i) start("n" + std::to_string(i) + ".example");
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(16);
  BOOST_TEST(resolver_threads() == 16u);
  BOOST_TEST(names.asked_in_all() == 16);
  names.open_gate();
  for (auto& each : look_ups) finish(l, *each);
  for (std::size_t i = 0; i != look_ups.size(); ++i)
    BOOST_TEST(joined(look_ups[i]->result()) ==
               (i < 16 ? "127.0.0.7:80" : "127.1.0." + std::to_string(i - 16) + ":80"));
  BOOST_TEST(resolver_threads() == 16u);
}

NETWORK_TEST_CASE(abandoned_look_ups_are_never_asked) {
  name_server names;
  loop l;
  std::vector<pending> look_ups;
  const auto start = [&](std::string host) { look_ups.push_back(started(l, std::move(host))); };
  for (int i = 0; i != 16; ++i) start("gate" + std::to_string(i) + ".test");
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(16);
  for (int i = 0; i != 100; ++i) start("n" + std::to_string(i) + ".example");
  start("v4.test");
  while (l.poll() != 0) continue;
  for (std::size_t i = 0; i != 50; ++i) look_ups[16 + i]->cancel();
  while (l.poll() != 0) continue;
  look_ups.erase(look_ups.begin() + 16, look_ups.begin() + 116);  // cancelled, and pending
  BOOST_TEST(!look_ups.back()->done());
  names.open_gate();
  finish(l, *look_ups.back());
  BOOST_TEST(joined(look_ups.back()->result()) == "127.0.0.4:80");
  for (int i = 0; i != 100; ++i) BOOST_TEST(names.asked("n" + std::to_string(i) + ".example") == 0);
}

NETWORK_TEST_CASE(more_look_ups_than_the_queue_takes_are_refused) {
  name_server names;
  loop l;
  std::vector<pending> look_ups;
  const auto start = [&](std::string host) -> running<endpoints>& {
    return *look_ups.emplace_back(started(l, std::move(host)));
  };
  for (int i = 0; i != 16; ++i) start("gate" + std::to_string(i) + ".test");
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(16);
  for (int i = 0; i != 4096; ++i) start("v4.test");
  while (l.poll() != 0) continue;
  BOOST_TEST(!look_ups.back()->done());

  auto& refused = start("one.too.many.test");
  while (l.poll() != 0) continue;
  BOOST_REQUIRE(refused.done());
  BOOST_CHECK_EXCEPTION((void)refused.result(), system_error, [](const system_error& e) {
    return e.code() == boost::system::errc::no_buffer_space &&
           contains(e.what(), "one.too.many.test");
  });

  // What was abandoned makes room.
  look_ups[16]->cancel();
  auto& last = start("n9.example");
  while (l.poll() != 0) continue;
  BOOST_TEST(!last.done());
  names.open_gate();
  finish(l, last);
  BOOST_TEST(joined(last.result()) == "127.1.0.9:80");
}

/// What the loop of a task has for the library.
struct find_loop_state {
  cosock::detail::core* found = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
    found = task.promise().where->on;
    return false;
  }
  cosock::detail::core* await_resume() const noexcept { return found; }
};
task<cosock::detail::core*> loop_state() { co_return co_await find_loop_state(); }

NETWORK_TEST_CASE(cancelled_in_the_turn_in_which_it_completes_it_gives_its_answer) {
  name_server names;
  loop l;
  auto look_up = l.start(resolve("gate.test", 80, {.family = family::v4}));
  auto reverse = l.start(reverse_resolve(address::loopback_v4()));
  while (l.poll() != 0) continue;
  finish(l, reverse);
  while (l.poll() != 0) continue;
  auto& scheduler = cosock::detail::scheduler::of(*l.run(loop_state()));
  names.open_gate();
  while (!scheduler.has_ready()) std::this_thread::yield();
  // Delivered after the answer, and before the task is resumed.
  l.post([&] { look_up.cancel(); });
  finish(l, look_up);
  BOOST_TEST(joined(look_up.result()) == "127.0.0.7:80");
}

NETWORK_TEST_CASE(an_answer_that_comes_after_the_cancellation_is_dropped) {
  name_server names;
  loop l;
  auto cancelled = l.start(resolve("gate1.test", 80, {.family = family::v4}));
  auto destroyed = started(l, "gate2.test");
  auto other = l.start(resolve("gate3.test", 80, {.family = family::v4}));
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(3);
  cancelled.cancel();
  destroyed.reset();
  finish(l, cancelled);
  BOOST_TEST(code_of(cancelled) == make_error_code(error::cancelled));
  names.open_gate();
  finish(l, other);
  BOOST_TEST(joined(other.result()) == "127.0.0.7:80");
  auto later = l.start(resolve("v4.test", 80));
  finish(l, later);
  BOOST_TEST(joined(later.result()) == "127.0.0.4:80");
}

NETWORK_TEST_CASE(cancelled_at_any_moment_it_gives_its_answer_or_the_cancellation) {
  name_server names;
  loop l;
  int answered = 0;
  for (int i = 0; i != 400; ++i) {
    auto look_up = l.start(resolve("v4.test", 80, {.family = family::v4}));
    while (l.poll() != 0) continue;
    for (int spin = 0; spin != i && !look_up.done(); ++spin) l.poll();
    look_up.cancel();
    finish(l, look_up);
    const auto code = code_of(look_up);
    if (!code) ++answered;
    if (code && code != error::cancelled) BOOST_ERROR(code);
  }
  BOOST_TEST_MESSAGE(answered << " of 400 were answered first");
}

NETWORK_TEST_CASE(a_task_may_be_destroyed_while_its_answer_is_on_its_way) {
  name_server names;
  loop l;
  for (int i = 0; i != 400; ++i) {
    auto look_up = l.start(resolve("v4.test", 80, {.family = family::v4}));
    while (l.poll() != 0) continue;
    for (int spin = 0; spin != i && !look_up.done(); ++spin) l.poll();
  }
  auto last = l.start(resolve("v4.test", 80));
  finish(l, last);
  BOOST_TEST(joined(last.result()) == "127.0.0.4:80");
}

NETWORK_TEST_CASE(a_loop_may_be_destroyed_while_answers_are_on_their_way) {
  name_server names;
  for (int i = 0; i != 200; ++i) {
    std::optional<loop> l(std::in_place);
    auto first = l->start(resolve("v4.test", 80, {.family = family::v4}));
    auto second = l->start(reverse_resolve(address::parse("127.0.0.2")));
    while (l->poll() != 0) continue;
    for (int spin = 0; spin != i; ++spin) std::this_thread::yield();
    l.reset();
  }
  // The threads have outlived their loops.
  loop l;
  auto last = l.start(resolve("v4.test", 80));
  finish(l, last);
  BOOST_TEST(joined(last.result()) == "127.0.0.4:80");
}

NETWORK_TEST_CASE(several_loops_look_up_at_once) {
  name_server names;
  std::atomic<int> good = 0;
  const auto work = [&good](int which) {
    loop l;
    l.run([](std::atomic<int>& good, int which) -> task<> {
      const auto one = [&good](int i) -> task<> {
        const std::string number = std::to_string(i);
        const endpoints found =
            co_await resolve("n" + number + ".example", 1, {.family = family::v4});
        if (joined(found) == "127.1.0." + number + ":1") ++good;
      };
      co_await cosock::with_nursery([&one, which](cosock::nursery& in) -> task<> {
        for (int i = 0; i != 100; ++i) in.start(one, i + which * 100);
        co_return;
      });
    }(good, which));
  };
  std::thread other([&] { work(1); });
  work(0);
  other.join();
  BOOST_TEST(good == 200);
}

#ifndef __SANITIZE_THREAD__  // which forbids to start threads after such a fork
NETWORK_TEST_CASE(a_forked_child_looks_up_with_threads_of_its_own) {
  name_server names;
  loop l;
  auto first = l.start(resolve("v4.test", 80));
  finish(l, first);
  test::in_child([&] {
    loop own;
    auto look_up = own.start(resolve("v4.test", 80));
    finish(own, look_up);
    BOOST_TEST(joined(look_up.result()) == "127.0.0.4:80");
    BOOST_TEST(resolver_threads() == 1u);
    test::in_child([&] {
      loop own_too;
      auto again = own_too.start(resolve("v4.test", 80));
      finish(own_too, again);
      BOOST_TEST(joined(again.result()) == "127.0.0.4:80");
    });
  });
  auto second = l.start(resolve("v4.test", 80));
  finish(l, second);
  BOOST_TEST(joined(second.result()) == "127.0.0.4:80");
}
#endif

NETWORK_TEST_CASE(a_failed_allocation_anywhere_is_an_error_and_nothing_worse) {
  name_server names;
  const int failures = test::fail_each_allocation([] {
    try {
      loop l;
      auto look_up = l.start([]() -> task<> {
        (void)co_await resolve("dual.test", 80);
        (void)co_await resolve("", 80);
        (void)co_await reverse_resolve(address::parse("127.0.0.2"));
      }());
      finish(l, look_up);
      look_up.result();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const system_error& e) {
      test::allocations_until_failure = -1;
      BOOST_TEST(e.code() == boost::system::errc::not_enough_memory, e.what());
      return false;
    }
  });
  BOOST_TEST(failures > 10);
}
