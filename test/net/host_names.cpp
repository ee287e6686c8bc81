// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Which hosts resolve() takes, and which of them wait for a name server.

#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE host_names
#include "manual_event.hpp"
#include "name_server.hpp"

#include <cosock/connect.hpp>
#include <cosock/udp.hpp>

#include <algorithm>
#include <memory>

using boost::system::system_error;
using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::resolve;
using cosock::reverse_resolve;
using cosock::task;
using cosock::task_handle;
using test::run_until_idle;
using namespace std::chrono_literals;

namespace {

using endpoints = std::vector<endpoint>;
using pending = std::unique_ptr<task_handle<endpoints>>;

std::string joined(const endpoints& all) {
  std::string text;
  for (const endpoint& each : all) text += (text.empty() ? "" : " ") + each.to_string();
  return text;
}

pending started(loop& on, std::string host, family which = family::any) {
  return pending(
      new task_handle<endpoints>(on.start(resolve(std::move(host), 80, {.family = which}))));
}

std::string answer(loop& on, std::string host, family which = family::any) {
  const pending asked = started(on, std::move(host), which);
  while (!asked->done()) on.run_some();
  return joined(asked->result());
}

test::etc with_hosts(std::string hosts, std::string nsswitch = "hosts: files dns\n") {
  test::etc files;
  files.hosts = std::move(hosts);
  files.nsswitch_conf = nsswitch + "services: files\n";
  return files;
}

/// A case in a network of its own with such files.
#define ETC_TEST_CASE(name, files)                                                        \
  static void name##_body();                                                              \
  BOOST_AUTO_TEST_CASE(name, *boost::unit_test::precondition(test::may_have_a_network)) { \
    test::in_network(&name##_body, files);                                                \
  }                                                                                       \
  static void name##_body()

/// Addresses in notations that address::parse refuses, and others that are no names either.
const std::vector<std::string> other_notations = {"0177.1",
                                                  "0x7f.1",
                                                  "2130706433",
                                                  "127.1",
                                                  "127.0.1",
                                                  "127.1.",
                                                  "127.0.0.1.",
                                                  "0x7f000001",
                                                  "0X7F000001",
                                                  "017700000001",
                                                  "0x7f.0.0.01",
                                                  "127.0.0.0x1",
                                                  "0x7f.0000001",
                                                  "0177.0x0.0.1",
                                                  "00000000177.0.0.1",
                                                  "127.000.0.1",
                                                  "0",
                                                  "1",
                                                  "0x",
                                                  "256.256.256.256",
                                                  "1.2.3.4.5",
                                                  "4294967296",
                                                  "::127.1",
                                                  "::ffff:0177.1",
                                                  "::ffff:127.000.0.1",
                                                  "[::1]",
                                                  "[127.0.0.1]",
                                                  "127.0.0.1:80",
                                                  "127.0.0.1%lo",
                                                  "127.0.0.1/8",
                                                  "127.0.0.1 x",
                                                  " 127.0.0.1",
                                                  "127.0.0.1 ",
                                                  "127.0.0.1\t",
                                                  "\\108ocalhost",
                                                  "local\\host",
                                                  "a..b",
                                                  ".localhost",
                                                  "localhost..",
                                                  ".",
                                                  "user@host",
                                                  "%31",
                                                  "::1%nosuch",
                                                  "fe80::1%999999999999"};

}  // namespace

NETWORK_COROUTINE_TEST_CASE(addresses_in_other_notations_are_no_hosts) {
  test::name_server names;
  for (const std::string& host : other_notations)
    for (const family which : {family::any, family::v4, family::v6}) {
      const std::string shown = host.substr(0, host.find('\t'));
      try {
        const endpoints found = co_await resolve(host, 80, {.family = which});
        BOOST_ERROR(host + " is " + joined(found));
      } catch (const system_error& e) {
        BOOST_TEST(e.code() == make_error_code(error::host_not_found), host);
        BOOST_TEST(std::string(e.what()).find(shown) != std::string::npos, e.what());
        BOOST_TEST(std::string(e.what()).find("no such host") != std::string::npos, e.what());
      }
      try {
        (void)co_await cosock::connect(host, 80, {.family = which});
        BOOST_ERROR("connected to " + host);
      } catch (const system_error& e) {
        BOOST_TEST(e.code() == make_error_code(error::host_not_found), host);
        BOOST_TEST(std::string(e.what()).find(shown) != std::string::npos, e.what());
      }
    }
  for (const std::string& host : other_notations) {
    const auto connected = co_await as_result(cosock::connect_udp(host, "80"));
    BOOST_TEST(connected.error() == make_error_code(error::host_not_found), host);
  }
  BOOST_TEST(names.asked_in_all() == 0);
}

NETWORK_COROUTINE_TEST_CASE(names_that_look_a_little_like_numbers_are_looked_up) {
  test::name_server names;
  for (const char* host : {"1.2.3.example", "127.0.0.1.example", "0x7g", "1e3", "0xhost", "a1",
                           "1-2", "_srv._tcp.example", "12a", "v4.test."}) {
    const auto looked_up = co_await as_result(resolve(host, 80, {.family = family::v4}));
    BOOST_TEST(names.asked_in_all() > 0, host);
    if (looked_up.has_error())
      BOOST_TEST(looked_up.error() == make_error_code(error::host_not_found), host);
  }
}

ETC_TEST_CASE(localhost_never_reaches_a_name_server,
              with_hosts("127.0.0.1 somebody\n", "hosts: dns\n")) {
  test::name_server names;
  loop l;
  for (const char* host : {"localhost", "LOCALHOST", "localhost.", "LocalHost.", "a.localhost",
                           "a.b.localhost.", "a.LOCALHOST", "_x.localhost"}) {
    BOOST_TEST(answer(l, host) == "[::1]:80 127.0.0.1:80", host);
    BOOST_TEST(answer(l, host, family::v4) == "127.0.0.1:80", host);
    BOOST_TEST(answer(l, host, family::v6) == "[::1]:80", host);
  }
  BOOST_TEST(names.asked_in_all() == 0);
}

ETC_TEST_CASE(localhost_is_loopback_whatever_the_hosts_file_says,
              with_hosts("192.0.2.1 localhost app.localhost\n127.0.0.5 app.localhost # here\n"
                         "2001:db8::1 localhost\n192.0.2.3 far.localhost\n")) {
  test::name_server names;
  loop l;
  BOOST_TEST(answer(l, "localhost") == "[::1]:80 127.0.0.1:80");
  BOOST_TEST(answer(l, "App.Localhost.") == "127.0.0.5:80");
  BOOST_TEST(answer(l, "app.localhost", family::v6) == "[::1]:80");
  BOOST_TEST(answer(l, "far.localhost") == "[::1]:80 127.0.0.1:80");
  BOOST_TEST(names.asked_in_all() == 0);
}

// A name server that does not answer.

namespace {

/// Abandons look-ups that the name server never answers.
void abandon_look_ups(loop& on, int number) {
  std::vector<pending> all;
  for (int i = 0; i != number; ++i) all.push_back(started(on, "silent.test", family::v4));
  run_until_idle(on);
  for (const pending& each : all) {
    each->cancel();
    while (!each->done()) on.run_some();
  }
}

}  // namespace

ETC_TEST_CASE(what_needs_no_server_does_not_wait_for_a_silent_one,
              with_hosts("127.0.0.1 localhost\n127.0.0.8 listed.test Alias # note\n"
                         "::8 listed.test\n",
                         "# a comment\nhosts:\tmyhostname files [NOTFOUND=continue] dns\n")) {
  test::silent_name_server silent;
  loop l;
  const auto begin = cosock::clock::now();
  // Of these, as many are asked as may be, and the others wait.
  std::vector<pending> waiting;
  for (int i = 0; i != 300; ++i) waiting.push_back(started(l, "silent.test"));
  run_until_idle(l);
  abandon_look_ups(l, 300);
  BOOST_TEST(answer(l, "listed.test", family::v4) == "127.0.0.8:80");
  BOOST_TEST(answer(l, "LISTED.test", family::v6) == "[::8]:80");
  BOOST_TEST(answer(l, "alias") == "127.0.0.8:80");
  BOOST_TEST(answer(l, "localhost", family::v4) == "127.0.0.1:80");
  BOOST_TEST(answer(l, "192.0.2.1") == "192.0.2.1:80");
  const auto rest = [](bool& done) -> task<> {
    BOOST_TEST(joined(co_await resolve("127.0.0.1", "http")) == "127.0.0.1:80");
    BOOST_TEST(joined(co_await resolve("listed.test", "http", {.family = family::v4})) ==
               "127.0.0.8:80");
    BOOST_TEST(co_await reverse_resolve(address::parse("127.0.0.8")) == "listed.test");
    cosock::tcp_acceptor acceptor(endpoint(address::loopback_v4(), 0));
    const auto port = acceptor.local_endpoint().port();
    (void)co_await cosock::connect("localhost", port);
    (void)co_await cosock::connect_udp("alias", "80");
    done = true;
  };
  bool done = false;
  auto work = l.start(rest(done));
  while (!work.done()) l.run_some();
  work.result();
  BOOST_TEST(done);
  BOOST_TEST((cosock::clock::now() - begin < 4s));  // the name server is waited for for 5 s
}

NETWORK_TEST_CASE(abandoned_look_ups_at_a_silent_server_do_not_hold_up_new_ones) {
  test::name_server names;
  loop l;
  const auto begin = cosock::clock::now();
  for (const int number : {16, 40, 50}) {
    abandon_look_ups(l, number);
    BOOST_TEST(answer(l, "v4.test", family::v4) == "127.0.0.4:80");
    BOOST_TEST(answer(l, "dual.test", family::v6) == "[::1]:80");
  }
  BOOST_TEST((cosock::clock::now() - begin < 4s));
}

ETC_TEST_CASE(a_hosts_file_that_does_not_come_first_is_not_asked_first,
              with_hosts("127.0.0.8 n1.example\n", "hosts: dns files\n")) {
  test::name_server names;
  loop l;
  BOOST_TEST(answer(l, "n1.example", family::v4) == "127.1.0.1:80");
  BOOST_TEST(names.asked("n1.example") == 1);
}

ETC_TEST_CASE(without_any_files_names_are_still_looked_up, with_hosts("")) {
  ::unlink("/etc/nsswitch.conf");
  ::unlink("/etc/hosts");
  test::name_server names;
  loop l;
  BOOST_TEST(answer(l, "n1.example", family::v4) == "127.1.0.1:80");
  BOOST_TEST(answer(l, "localhost", family::v4) == "127.0.0.1:80");
}

ETC_TEST_CASE(odd_lines_of_the_hosts_file_are_skipped,
              with_hosts("\n# 127.0.0.1 n2.example\n127.0.0.300 n2.example\nn2.example\n127.0.0.9\n"
                         "fe80::1%lo n2.example\n127.0.0.8\tother\v n3.example#n2.example\n"
                         "127.0.0.8 n4.example")) {
  test::name_server names;
  loop l;
  BOOST_TEST(answer(l, "n2.example", family::v4) == "127.1.0.2:80");
  BOOST_TEST(answer(l, "n3.example", family::v4) == "127.0.0.8:80");
  BOOST_TEST(answer(l, "n4.example", family::v4) == "127.0.0.8:80");
  BOOST_TEST(names.asked_in_all() == 1);
}

ETC_TEST_CASE(a_name_behind_a_long_hosts_file_is_found, with_hosts([] {
                std::string text;
                while (text.size() < 1'000'000) text += "127.0.0.9 blocked.example\n";
                return text + "127.0.0.8 last.example\n";
              }())) {
  loop l;
  BOOST_TEST(answer(l, "last.example", family::v4) == "127.0.0.8:80");
}
