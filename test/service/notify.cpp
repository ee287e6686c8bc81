// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/notify.hpp>

#define BOOST_TEST_MODULE notify
#include "error_text.hpp"
#include "manager.hpp"
#include "support.hpp"

#include <cosock/testing/virtual_loop.hpp>
#include <cosock/when.hpp>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::task;
namespace errc = boost::system::errc;

BOOST_AUTO_TEST_CASE(without_a_manager_nothing_happens) {
  for (const auto& value : {std::optional<std::string>(), std::optional<std::string>("")}) {
    const variable none("NOTIFY_SOCKET", value);
    BOOST_TEST(!cosock::notify_ready());
    BOOST_TEST(!cosock::notify_reloading());
    BOOST_TEST(!cosock::notify_stopping());
    BOOST_TEST(!cosock::notify_status("x"));
    BOOST_TEST(!cosock::notify_extend_timeout(1s));
    BOOST_TEST(!cosock::notify("X_OWN=1"));
  }
}

BOOST_AUTO_TEST_CASE(a_manager_is_told_at_a_path_and_at_an_abstract_name) {
  for (const bool abstract : {false, true}) {
    manager told(abstract);
    BOOST_TEST(cosock::notify_ready());
    BOOST_TEST(told.next() == "READY=1");
    BOOST_TEST(cosock::notify_ready("serves 3 sockets"));
    BOOST_TEST(told.next() == "READY=1\nSTATUS=serves 3 sockets");
    BOOST_TEST(cosock::notify_stopping("drains"));
    BOOST_TEST(told.next() == "STOPPING=1\nSTATUS=drains");
    BOOST_TEST(cosock::notify_status("x=1"));
    BOOST_TEST(told.next() == "STATUS=x=1");
    BOOST_TEST(cosock::notify_status(""));
    BOOST_TEST(told.next() == "STATUS=");
    BOOST_TEST(cosock::notify("ERRNO=2\nX_OWN=1"));
    BOOST_TEST(told.next() == "ERRNO=2\nX_OWN=1");
    BOOST_TEST(told.next() == "");
  }
}

BOOST_AUTO_TEST_CASE(a_reload_has_the_time_of_the_monotonic_clock) {
  manager told;
  const auto now = [] {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
  };
  const auto before = now();
  BOOST_TEST(cosock::notify_reloading("reads again"));
  const std::string text = told.next();
  const std::string_view begin = "RELOADING=1\nMONOTONIC_USEC=";
  BOOST_REQUIRE(text.substr(0, begin.size()) == begin);
  const auto at = std::stoll(text.substr(begin.size()));
  BOOST_TEST(before <= at);
  BOOST_TEST(at <= now());
  BOOST_TEST(contains(text, "\nSTATUS=reads again"));
}

BOOST_AUTO_TEST_CASE(more_time_is_rounded_up_to_microseconds) {
  manager told;
  BOOST_TEST(cosock::notify_extend_timeout(1500ms));
  BOOST_TEST(told.next() == "EXTEND_TIMEOUT_USEC=1500000");
  BOOST_TEST(cosock::notify_extend_timeout(1ns));
  BOOST_TEST(told.next() == "EXTEND_TIMEOUT_USEC=1");
  BOOST_TEST(cosock::notify_extend_timeout(cosock::unlimited));
  BOOST_TEST(told.next() == "EXTEND_TIMEOUT_USEC=9223372036854776");
  for (const auto wrong : {0ns, -1ns, std::chrono::nanoseconds::min()})
    BOOST_CHECK_EXCEPTION(cosock::notify_extend_timeout(wrong), system_error,
                          says(errc::invalid_argument, "more than zero"));
}

BOOST_AUTO_TEST_CASE(malformed_text_is_refused) {
  manager told;
  const std::string with_nul("a\0b", 3);
  for (const std::string& status : {std::string("two\nlines"), with_nul}) {
    BOOST_CHECK_EXCEPTION(cosock::notify_ready(status), system_error,
                          says(errc::invalid_argument, "accepted: one line"));
    BOOST_CHECK_EXCEPTION(cosock::notify_status(status), system_error,
                          says(errc::invalid_argument, "accepted: one line"));
  }
  BOOST_CHECK_EXCEPTION(cosock::notify(""), system_error,
                        says(errc::invalid_argument, "accepted: NAME=VALUE"));
  BOOST_TEST(told.next() == "");
}

BOOST_AUTO_TEST_CASE(other_kinds_of_sockets_are_refused) {
  for (const char* name : {"vsock:2:1234", "relative/path", "@", "/", "127.0.0.1:9", "./x"}) {
    const variable socket("NOTIFY_SOCKET", name);
    if (std::string_view(name) == "/") {
      BOOST_CHECK_THROW(cosock::notify_ready(), system_error);
      continue;
    }
    BOOST_CHECK_EXCEPTION(cosock::notify_ready(), system_error,
                          says(errc::invalid_argument, name,
                               "accepted: an absolute path, or @ and an abstract name"));
  }
  const variable socket("NOTIFY_SOCKET", '/' + std::string(200, 'x'));
  BOOST_CHECK_EXCEPTION(cosock::notify_ready(), system_error, says(errc::filename_too_long, "107"));
}

BOOST_AUTO_TEST_CASE(a_manager_that_is_gone_is_an_error) {
  std::string name;
  {
    const manager gone;
    name = gone.name();
  }
  const variable socket("NOTIFY_SOCKET", name);
  BOOST_CHECK_EXCEPTION(cosock::notify_ready(), system_error,
                        says(errc::no_such_file_or_directory, "NOTIFY_SOCKET"));
}

BOOST_AUTO_TEST_CASE(a_manager_that_does_not_read_delays_for_a_second_at_most) {
  const alarm_clock guard;
  manager told;
  told.fill();
  const auto begin = std::chrono::steady_clock::now();
  BOOST_CHECK_EXCEPTION(cosock::notify_ready(), system_error, says(errc::no_buffer_space));
  const auto took = std::chrono::steady_clock::now() - begin;
  BOOST_TEST((took > 900ms));
}

BOOST_AUTO_TEST_CASE(no_descriptor_stays_open) {
  manager told;
  const std::size_t before = open_descriptors();
  BOOST_TEST(cosock::notify_ready());
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(the_period_of_the_watchdog) {
  const std::string own = std::to_string(::getpid());
  const variable no_time("WATCHDOG_USEC", std::nullopt);
  BOOST_TEST(!cosock::watchdog_period());
  variable time("WATCHDOG_USEC", "3000000");
  variable process("WATCHDOG_PID", std::nullopt);
  BOOST_TEST((cosock::watchdog_period() == 3s));
  process.assign(own);
  BOOST_TEST((cosock::watchdog_period() == 3s));
  process.assign("1");
  BOOST_TEST(!cosock::watchdog_period());
  process.assign("me");
  BOOST_CHECK_EXCEPTION(static_cast<void>(cosock::watchdog_period()), system_error,
                        says(errc::invalid_argument, "WATCHDOG_PID is \"me\""));
  process.assign(own);
  for (const char* wrong : {"0", "-1", "1s", "1.5", "99999999999999999999"}) {
    time.assign(wrong);
    BOOST_CHECK_EXCEPTION(static_cast<void>(cosock::watchdog_period()), system_error,
                          says(errc::invalid_argument, wrong, "accepted: microseconds"));
  }
  time.assign("18446744073709551615");  // longer than any time of the library
  BOOST_TEST((*cosock::watchdog_period() > std::chrono::hours(24 * 365 * 290)));
}

BOOST_AUTO_TEST_CASE(without_a_watchdog_the_task_returns) {
  manager told;
  const variable no_time("WATCHDOG_USEC", std::nullopt);
  run_case(cosock::keep_watchdog());
  const variable time("WATCHDOG_USEC", "1000");
  const variable process("WATCHDOG_PID", "1");
  run_case(cosock::keep_watchdog());
  BOOST_TEST(told.next() == "");
}

BOOST_AUTO_TEST_CASE(a_sign_of_life_comes_at_half_of_the_period) {
  manager told;
  const variable time("WATCHDOG_USEC", "10000000");
  const variable process("WATCHDOG_PID", std::nullopt);
  cosock::testing::virtual_loop loop;
  loop.run([](manager& told) -> task<> {
    const auto watches = [&]() -> task<> {
      co_await cosock::sleep_for(1ms);
      BOOST_TEST(told.next() == "WATCHDOG=1");  // at once
      for (int i = 0; i != 5; ++i) {
        co_await cosock::sleep_for(4900ms);
        BOOST_TEST(told.next() == "");
        co_await cosock::sleep_for(100ms);
        BOOST_TEST(told.next() == "WATCHDOG=1");
      }
    };
    co_await cosock::when_any(cosock::keep_watchdog(), watches());
    BOOST_TEST(told.next() == "");
  }(told));
}

BOOST_AUTO_TEST_CASE(a_blocked_loop_sends_no_sign) {
  manager told;
  const variable time("WATCHDOG_USEC", "2000");
  const variable process("WATCHDOG_PID", std::nullopt);
  run_case([](manager& told) -> task<> {
    const auto blocks = [&]() -> task<> {
      co_await cosock::sleep_for(1ms);
      while (!told.next().empty()) {
      }
      const auto end = std::chrono::steady_clock::now() + 50ms;  // the loop hangs in this task
      while (std::chrono::steady_clock::now() < end) {
      }
      BOOST_TEST(told.next() == "");
    };
    co_await cosock::when_any(cosock::keep_watchdog(), blocks());
  }(told));
}

BOOST_AUTO_TEST_CASE(a_full_queue_does_not_block_the_watchdog) {
  manager told;
  told.fill();
  const variable time("WATCHDOG_USEC", "1000000");
  const variable process("WATCHDOG_PID", std::nullopt);
  cosock::testing::virtual_loop loop;
  loop.run([](manager& told) -> task<> {
    const auto watches = [&]() -> task<> {
      co_await cosock::sleep_for(3s);
      while (!told.next().empty()) {
      }
      co_await cosock::sleep_for(1s);
      BOOST_TEST(told.next() == "WATCHDOG=1");
    };
    co_await cosock::when_any(cosock::keep_watchdog(), watches());
  }(told));
}

}  // namespace
