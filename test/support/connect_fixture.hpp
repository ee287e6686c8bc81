// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// How connect() ends, and a network in which the hosts file alone counts.

#include <cosock/connect.hpp>

#include "netns.hpp"

#include <string>

/// A test case in a network of its own, whose names are those of test::hosts_only.
#define HOSTS_TEST_CASE(name)                                                             \
  static cosock::task<> name##_task();                                                    \
  BOOST_AUTO_TEST_CASE(name, *boost::unit_test::precondition(test::may_have_a_network)) { \
    test::in_network([] { test::run_case(name##_task()); }, test::hosts_only);            \
  }                                                                                       \
  static cosock::task<> name##_task()

namespace test {

using boost::system::error_code;
using boost::system::system_error;
using cosock::connect;
using cosock::connect_options;
using cosock::endpoint;
using cosock::task;
using cosock::tcp_socket;

/// What connecting fails with.
struct refusal {
  error_code code;
  std::string text;
};
template <class Connect>
task<refusal> failure_of(Connect to) {
  refusal why;
  try {
    (void)co_await std::move(to);
    BOOST_ERROR("connected");
  } catch (const system_error& e) {
    why.code = e.code();
    why.text = e.what();
  }
  co_return why;
}

/// One connect(endpoint) as a task that can be started.
inline task<tcp_socket> to_one(endpoint to, connect_options options = {}) {
  co_return co_await connect(to, options);
}

inline connect_options with_delay(std::chrono::nanoseconds delay) {
  connect_options options;
  options.attempt_delay = delay;
  return options;
}

/// A network without a name server, in which the hosts file alone counts.
inline const test::etc hosts_only = [] {
  test::etc files;
  files.nsswitch_conf = "hosts: files\nservices: files\n";
  files.hosts =
      "127.0.0.1 localhost\n::1 localhost\n127.0.0.11 two.test\n127.0.0.12 two.test\n"
      "::1 both.test\n127.0.0.1 both.test\n";
  return files;
}();

}  // namespace test
