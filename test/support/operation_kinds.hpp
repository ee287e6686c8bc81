// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A kind of operation, as a row of the table of endings, and a trial of it.

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/loop.hpp>

#include "manual_event.hpp"
#include "support.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// An object, and an operation on it. Made for a loop that does not run, and used with that.
struct waitable {
  std::function<cosock::task<>()> wait;     // a task of one operation, pending until one of these
  std::function<void()> provide = nullptr;  // lets one operation complete, now or later
  std::function<void()> fail = nullptr;     // lets it fail
  std::function<void()> close = nullptr;    // closes the object
  std::function<void()> destroy = nullptr;  // destroys the object
};

/// The moment from which a cancellation is too late, because the operation has its result.
enum class completion {
  in_provide,  // when provide() returns
  in_loop,     // when the loop sees what was provided
  later,       // a cancellation in the turn in which the loop sees that still counts
};

/// The ways in which an operation can be ended.
enum class way { provide, fail, cancel, close, destroy };

/// A row of the table.
struct operation_kind {
  std::string name;
  std::function<waitable(cosock::loop&)> make;
  completion completes = completion::later;
  /// The codes that it fails with after fail() and close(); after destroy() that is `closed`.
  boost::system::error_code fails_with = {};
  boost::system::error_code closed_with = make_error_code(cosock::error::closed);
  /// The operation cannot be started a second time, or has nothing to wait for then.
  bool once = false;
  /// False where a thread may go on for a while with a descriptor of its own.
  bool counts_descriptors = true;
  /// The ways that do not apply, each with the reason.
  struct exception {
    way in;
    const char* reason;
  };
  std::vector<exception> except = {};

  bool can(way in) const {
    return std::none_of(except.begin(), except.end(),
                        [&](const exception& e) { return e.in == in; });
  }
};

/// Counts the frames of the tasks that a trial has started.
struct counted_frame {
  counted_frame() { ++alive; }
  ~counted_frame() { --alive; }
  counted_frame(const counted_frame&) = delete;
  static inline int alive = 0;
};

/// Checks that as many descriptors are open, and objects alive, at its end as at its beginning.
class leak_check {
 public:
  explicit leak_check(bool counts_descriptors) : counts_descriptors_(counts_descriptors) {}
  leak_check(const leak_check&) = delete;
  ~leak_check() {
    if (counts_descriptors_) BOOST_TEST(open_descriptors() == descriptors_);
    expect_no_frames();
  }
  void expect_no_frames() const {
    BOOST_TEST(counted_frame::alive == 0);
    BOOST_TEST(instance_counter::alive == objects_);
  }

 private:
  bool counts_descriptors_;
  std::size_t descriptors_ = open_descriptors();
  int objects_ = instance_counter::alive;
};

/// A kind of operation on a loop of its own, for one case.
class trial {
 public:
  explicit trial(const operation_kind& of)
      : leaks_(of.counts_descriptors),
        of(of),
        loop_(std::make_unique<cosock::loop>()),
        on(of.make(*loop_)) {
    // A row says which ways do not apply, and why.
    BOOST_REQUIRE((on.provide != nullptr) == of.can(way::provide));
    BOOST_REQUIRE((on.fail != nullptr) == of.can(way::fail));
    BOOST_REQUIRE((on.close != nullptr) == of.can(way::close));
    BOOST_REQUIRE((on.destroy != nullptr) == of.can(way::destroy));
  }

  cosock::loop& loop() { return *loop_; }
  void destroy_loop() {
    loop_.reset();
    expect_no_frames();
  }
  /// What was started has ended, and so have the tasks that it had started.
  void expect_no_frames() const { leaks_.expect_no_frames(); }

  /// Starts the operation in a task of its own.
  cosock::task_handle<void> start() {
    return loop_->start([](const waitable& object) -> cosock::task<> {
      const counted_frame frame;
      co_await object.wait();
    }(on));
  }
  cosock::task_handle<void> start_in(cosock::cancel_scope& scope) {
    return loop_->start([](const waitable& object, cosock::cancel_scope& scope) -> cosock::task<> {
      const counted_frame frame;
      co_await scope.run(object.wait());
    }(on, scope));
  }
  cosock::task_handle<void> start_within(std::chrono::nanoseconds limit) {
    return loop_->start(
        [](const waitable& object, std::chrono::nanoseconds limit) -> cosock::task<> {
          const counted_frame frame;
          co_await cosock::with_timeout(limit, object.wait());
        }(on, limit));
  }

  /// Lets the task run until it waits.
  void suspend(cosock::task_handle<void>& task) {
    run_until_idle(*loop_);
    BOOST_REQUIRE(!task.done());
  }
  /// Lets the task end by what has happened already.
  void end(cosock::task_handle<void>& task) {
    run_until_idle(*loop_);
    BOOST_REQUIRE(task.done());
  }
  /// Lets the task end, for which it may have to wait.
  void finish(cosock::task_handle<void>& task) {
    const auto limit = loop_->start([]() -> cosock::task<> { co_await cosock::sleep_for(20s); }());
    while (!task.done() && !limit.done()) loop_->run_some();
    BOOST_REQUIRE(task.done());
  }
  /// Lets the task end with a result.
  void complete(cosock::task_handle<void>& task) {
    if (of.completes == completion::in_provide)
      end(task);
    else
      finish(task);
    task.result();
  }
  void expect(cosock::task_handle<void>& task, boost::system::error_code expected) {
    BOOST_REQUIRE(task.done());
    BOOST_REQUIRE(code_of(task) == expected);
    expect_no_frames();
  }
  void expect_cancelled(cosock::task_handle<void>& task) {
    expect(task, make_error_code(cosock::error::cancelled));
  }
  /// It has its result, or the error.
  void expect_result_or(cosock::task_handle<void>& task, boost::system::error_code expected) {
    BOOST_REQUIRE(task.done());
    const boost::system::error_code got = code_of(task);
    BOOST_TEST((!got || got == expected), got.message());
  }
  /// What was provided, or is provided now, is there for the next operation.
  void expect_nothing_taken(bool provided) {
    if (of.once || !of.can(way::provide)) return;
    if (!provided) on.provide();
    auto next = start();
    complete(next);
  }

 private:
  const alarm_clock guard_{60};
  const leak_check leaks_;

 public:
  const operation_kind& of;

 private:
  std::unique_ptr<cosock::loop> loop_;

 public:
  waitable on;
};

}  // namespace test
