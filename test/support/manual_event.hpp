// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/loop.hpp>
#include <cosock/task.hpp>
#include <cosock/time.hpp>

#include <chrono>
#include <ostream>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COSOCK_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COSOCK_TEST_SANITIZED 1
#endif
#endif
#ifndef COSOCK_TEST_SANITIZED
#define COSOCK_TEST_SANITIZED 0
#endif

namespace cosock {
inline std::ostream& boost_test_print_type(std::ostream& to, error e) {
  return to << make_error_code(e).message();
}
}  // namespace cosock

namespace test {

/// Runs what is ready, and what becomes ready by that, without waiting.
inline void run_until_idle(cosock::loop& loop) {
  while (loop.poll() != 0) continue;
}

/// Runs the loop until the task has ended.
template <class T>
void finish(cosock::loop& on, cosock::task_handle<T>& work) {
  while (!work.done()) on.run_some();
}

template <class T>
boost::system::error_code code_of(cosock::task_handle<T>& work) {
  try {
    (void)work.result();
  } catch (const boost::system::system_error& e) {
    return e.code();
  }
  return {};
}

inline bool ended_with(cosock::task_handle<void>& work, const boost::system::error_code& expected) {
  return work.done() && code_of(work) == expected;
}

/// Waits for ever.
inline auto forever() { return cosock::sleep_for(std::chrono::hours::max()); }

/// An event that the test sets. Takes one task that waits; its wait completes, although it was
/// cancelled, if the event has been set.
class manual_event {
 public:
  void set() {
    is_set_ = true;
    scope_.cancel();
  }
  cosock::task<> wait() {
    const auto waited = co_await cosock::as_result(scope_.run(forever()));
    if (!is_set_) throw boost::system::system_error(waited.error());
  }

 private:
  bool is_set_ = false;
  cosock::cancel_scope scope_;
};

/// Counts its objects that are alive.
class instance_counter {
 public:
  instance_counter() noexcept { ++alive; }
  instance_counter(const instance_counter&) noexcept { ++alive; }
  instance_counter(instance_counter&&) noexcept { ++alive; }
  instance_counter& operator=(const instance_counter&) = default;
  ~instance_counter() { --alive; }
  static inline int alive = 0;
};

}  // namespace test
