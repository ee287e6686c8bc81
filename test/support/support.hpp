// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/loop.hpp>
#include <cosock/nursery.hpp>
#include <cosock/time.hpp>

#include <boost/test/unit_test.hpp>

#include <dirent.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>

/// A test case whose body is a coroutine on a loop of its own, with a limit of time. BOOST_TEST,
/// BOOST_REQUIRE and the others work inside, and take co_await.
#define COROUTINE_TEST_CASE(name)                               \
  static cosock::task<> name##_body();                          \
  BOOST_AUTO_TEST_CASE(name) { test::run_case(name##_body()); } \
  static cosock::task<> name##_body()

namespace test {

using namespace std::chrono_literals;

/// Ends a process that hangs where no scope can reach.
struct alarm_clock {
  explicit alarm_clock(unsigned seconds = 120) { ::alarm(seconds); }
  ~alarm_clock() { ::alarm(0); }
};

inline void run_case(cosock::task<> body) {
  const alarm_clock guard;
  cosock::loop loop;
  loop.run([](cosock::task<> body) -> cosock::task<> {
    co_await cosock::with_timeout(60s, std::move(body));
  }(std::move(body)));
}

/// For BOOST_CHECK_EXCEPTION, and for the errors of as_result.
inline auto is(cosock::error e) {
  return [e](const boost::system::system_error& thrown) { return thrown.code() == e; };
}
inline auto is(boost::system::errc::errc_t e) {
  return [e](const boost::system::system_error& thrown) { return thrown.code() == e; };
}

inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

/// Throws what the last call of the system has failed with.
inline void check(bool good, const char* what) {
  if (!good) throw std::system_error(errno, std::generic_category(), what);
}

/// How many descriptors this process has open.
inline std::size_t open_descriptors() {
  std::size_t n = 0;
  DIR* all = ::opendir("/proc/self/fd");
  while (::readdir(all)) ++n;
  ::closedir(all);
  return n - 3;  // ".", ".." and the one that lists
}

}  // namespace test
