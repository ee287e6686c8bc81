// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Look-ups that a test starts, and the threads that answer them.

#include <cosock/resolve.hpp>

#include "support.hpp"
#include "thread_tools.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace test {

using boost::system::system_error;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::resolve;
using cosock::task;
using cosock::task_handle;
using endpoints = std::vector<endpoint>;

inline std::size_t resolver_threads() { return threads_named("cosock-resolve"); }

inline std::string joined(endpoints all) {
  std::string text;
  for (const endpoint& each : all) text += (text.empty() ? "" : " ") + each.to_string();
  return text;
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

using pending = std::unique_ptr<task_handle<endpoints>>;

/// Starts a look-up that stays where it is, of IPv4 addresses only: that is one question.
inline pending started(loop& on, std::string host) {
  return pending(
      new task_handle<endpoints>(on.start(resolve(std::move(host), 80, {.family = family::v4}))));
}

}  // namespace test
