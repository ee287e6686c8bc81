// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What tests of sockets have in common: errors, limits, and loops that end under what waits.

#include "manual_event.hpp"
#include "stream_fixture.hpp"

#include <sys/resource.h>

#include <memory>
#include <stdexcept>

namespace test {

inline error_code system_code(int number) { return {number, boost::system::system_category()}; }

/// Gives the code with which the call throws.
template <class F>
error_code thrown_by(F call) {
  try {
    call();
  } catch (const boost::system::system_error& e) {
    return e.code();
  }
  return {};
}

/// Sets the number of descriptors to what is open now.
class no_more_descriptors {
 public:
  no_more_descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int next = ::dup(0);
    ::close(next);
    const rlimit full = {static_cast<rlim_t>(next), before_.rlim_max};
    BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &full) == 0);
  }
  ~no_more_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

/// Starts a task on a loop that does not run.
template <class T>
std::unique_ptr<cosock::task_handle<T>> start_on(cosock::loop& on, task<T> work) {
  return std::unique_ptr<cosock::task_handle<T>>(
      new cosock::task_handle<T>(on.start(std::move(work))));
}

/// Sets a flag when the frame that it is in is destroyed.
struct destruction_flag {
  explicit destruction_flag(bool& destroyed) : destroyed(destroyed) {}
  ~destruction_flag() { destroyed = true; }
  bool& destroyed;
};

template <class F>
task<> wait_in(F make, bool& destroyed, bool& resumed) {
  const destruction_flag in_frame(destroyed);
  co_await outcome_of(make());
  resumed = true;
}

/// Lets the loop end under what `make()` gives, before or after the object that owns the task.
template <class F>
void end_loop_under(std::unique_ptr<cosock::loop> on, bool task_first, F make) {
  bool destroyed = false;
  bool resumed = false;
  auto task = start_on(*on, wait_in(std::move(make), destroyed, resumed));
  run_until_idle(*on);
  BOOST_REQUIRE(!task->done());
  if (task_first) {
    task.reset();
    BOOST_TEST(destroyed);
    on.reset();
  } else {
    on.reset();
    BOOST_TEST(destroyed);
    BOOST_CHECK_THROW(task->result(), std::logic_error);
    task.reset();
  }
  BOOST_TEST(!resumed);
}

}  // namespace test
