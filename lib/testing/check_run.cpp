// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "testing/check_run.hpp"

#include "testing/expect.hpp"

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/loop.hpp>
#include <cosock/sync.hpp>
#include <cosock/time.hpp>

#include <dirent.h>

namespace cosock::testing::detail {

namespace {

/// How many descriptors this process has open.
std::size_t open_descriptors() {
  std::size_t n = 0;
  DIR* const all = ::opendir("/proc/self/fd");
  if (!all) return 0;  // no /proc: leaks are not found
  while (::readdir(all)) ++n;
  ::closedir(all);
  return n;
}

task<> limited(time_span limit, task<> work) {
  co_await cosock::with_timeout(limit, std::move(work));
}

task<> with_descriptors_counted(task<> (*body)(const void*), const void* argument,
                                bool closes_at_once) {
  const std::size_t before = open_descriptors();
  co_await body(argument);
  while (!closes_at_once && open_descriptors() > before) co_await cosock::yield();
  const std::size_t after = open_descriptors();
  if (after != before)
    fail(__FILE__, __LINE__,
         "the number of open descriptors is " + std::to_string(after) + ", not " +
             std::to_string(before) + " as before",
         false);
}

}  // namespace

std::string run_check(task<> (*body)(const void*), const void* argument, time_span limit,
                      bool closes_at_once) {
  recorder record;
  try {
    cosock::loop loop;
    loop.run(limited(limit, with_descriptors_counted(body, argument, closes_at_once)));
  } catch (const check_stopped&) {
  } catch (const boost::system::system_error& e) {
    record.add(e.code() == error::timed_out ? "it does not end"
                                            : std::string("it threw: ") + e.what());
  } catch (const std::exception& e) {
    record.add(std::string("it threw: ") + e.what());
  }
  return record.text();
}

}  // namespace cosock::testing::detail
