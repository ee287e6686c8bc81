// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The table of endings: each kind of operation, ended in each way. A case for each combination.

#include "operation_kinds.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <vector>

namespace test {

/// A column of the table, and the ways that a kind must have for it.
struct ending {
  const char* name;
  std::vector<way> needs;
  void (*check)(trial&);
};

namespace endings {

inline void completes(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.provide();
  BOOST_TEST(!task.done());
  t.complete(task);
}
inline void completes_at_once(trial& t) {
  t.on.provide();
  auto task = t.start();
  BOOST_TEST(!task.done());
  t.complete(task);
}
inline void fails(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.fail();
  BOOST_TEST(!task.done());
  t.finish(task);
  t.expect(task, t.of.fails_with);
}

inline void cancelled_before_it_would_wait(trial& t) {
  cosock::cancel_scope scope;
  scope.cancel();
  auto task = t.start_in(scope);
  t.end(task);
  t.expect_cancelled(task);
  t.expect_nothing_taken(false);
}
inline void cancelled_before_it_would_complete_at_once(trial& t) {
  t.on.provide();
  cosock::cancel_scope scope;
  scope.cancel();
  auto task = t.start_in(scope);
  t.end(task);
  t.expect_cancelled(task);
  t.expect_nothing_taken(true);
}
inline void cancelled_before_its_task_runs(trial& t) {
  auto task = t.start();
  task.cancel();
  t.end(task);
  t.expect_cancelled(task);
  t.expect_nothing_taken(false);
}
inline void cancelled_while_pending(trial& t) {
  auto task = t.start();
  t.suspend(task);
  task.cancel();
  BOOST_TEST(!task.done());
  t.end(task);
  t.expect_cancelled(task);
  t.expect_nothing_taken(false);
}
// A kind that a cancellation does not reach has these two endings too: it completes.
inline void cancelled_before_the_loop_sees_its_completion(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.provide();
  task.cancel();
  if (t.of.completes == completion::in_provide) return t.complete(task);
  t.end(task);
  t.expect_cancelled(task);
  t.expect_nothing_taken(true);
}
inline void cancelled_in_the_turn_in_which_it_completes(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.provide();
  // The loop delivers this after the events, and before it resumes a task.
  t.loop().post([&] { task.cancel(); });
  if (t.of.completes != completion::later) return t.complete(task);
  t.end(task);
  t.expect_cancelled(task);
  t.expect_nothing_taken(true);
}
inline void completed_in_the_turn_in_which_it_is_cancelled(trial& t) {
  auto task = t.start();
  t.suspend(task);
  task.cancel();
  t.on.provide();
  t.end(task);
  t.expect_cancelled(task);
  t.expect_nothing_taken(true);
}

inline void its_time_limit_passes(trial& t) {
  auto task = t.start_within(1ms);
  t.finish(task);
  t.expect(task, make_error_code(cosock::error::timed_out));
  t.expect_nothing_taken(false);
}
inline void its_time_limit_has_passed_before_it_starts(trial& t) {
  auto task = t.start_within(0ns);
  t.finish(task);
  t.expect(task, make_error_code(cosock::error::timed_out));
  t.expect_nothing_taken(false);
}

inline void its_task_is_destroyed_before_it_runs(trial& t) {
  for (const bool cancelled : {false, true}) {
    {
      auto task = t.start();
      if (cancelled) task.cancel();
    }
    t.expect_no_frames();
    run_until_idle(t.loop());
  }
  t.expect_nothing_taken(false);
}
inline void its_task_is_destroyed_while_pending(trial& t) {
  {
    auto task = t.start();
    t.suspend(task);
  }
  t.expect_no_frames();
  run_until_idle(t.loop());
  t.expect_nothing_taken(false);
}
inline void its_task_is_destroyed_after_its_cancellation(trial& t) {
  {
    auto task = t.start();
    t.suspend(task);
    task.cancel();
  }
  t.expect_no_frames();
  run_until_idle(t.loop());
  t.expect_nothing_taken(false);
}
inline void its_task_is_destroyed_after_its_completion(trial& t) {
  {
    auto task = t.start();
    t.suspend(task);
    t.on.provide();
  }
  t.expect_no_frames();
  run_until_idle(t.loop());
  if (t.of.completes != completion::in_provide) t.expect_nothing_taken(true);
}

inline void its_object_is_closed_before_it_starts(trial& t) {
  t.on.close();
  auto task = t.start();
  t.end(task);
  t.expect(task, t.of.closed_with);
}
inline void its_object_is_closed_while_pending(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.close();
  BOOST_TEST(!task.done());
  t.end(task);
  t.expect(task, t.of.closed_with);
  if (t.of.once) return;
  auto next = t.start();
  t.end(next);
  t.expect(next, t.of.closed_with);
}
inline void its_object_is_closed_after_its_completion(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.provide();
  t.on.close();
  t.end(task);
  t.expect_result_or(task, t.of.closed_with);
}
inline void its_object_is_destroyed_while_pending(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.destroy();
  BOOST_TEST(!task.done());
  t.end(task);
  t.expect(task, make_error_code(cosock::error::closed));
}
inline void its_object_is_destroyed_after_its_completion(trial& t) {
  auto task = t.start();
  t.suspend(task);
  t.on.provide();
  t.on.destroy();
  t.end(task);
  t.expect_result_or(task, make_error_code(cosock::error::closed));
}
inline void its_object_is_destroyed_after_its_cancellation(trial& t) {
  auto task = t.start();
  t.suspend(task);
  task.cancel();
  t.on.destroy();
  t.end(task);
  t.expect_cancelled(task);
}

/// A second task waits, or is refused.
inline void destroy_loop_of_two(trial& t, const std::function<void()>& before) {
  auto task = t.start();
  t.suspend(task);
  auto other = t.start();
  run_until_idle(t.loop());
  if (before) before();
  t.destroy_loop();
  BOOST_CHECK_THROW(task.result(), std::logic_error);
  // The task ended with the loop: nothing reaches it any more.
  task.cancel();
  if (!before && t.of.completes == completion::in_provide && t.of.can(way::provide)) t.on.provide();
}
inline void its_loop_is_destroyed_before_it_runs(trial& t) {
  auto task = t.start();
  t.destroy_loop();
  BOOST_CHECK_THROW(task.result(), std::logic_error);
}
inline void its_loop_is_destroyed_while_pending(trial& t) { destroy_loop_of_two(t, nullptr); }
inline void its_loop_is_destroyed_after_its_completion(trial& t) {
  destroy_loop_of_two(t, [&] { t.on.provide(); });
}
inline void its_loop_is_destroyed_after_its_cancellation(trial& t) {
  auto task = t.start();
  t.suspend(task);
  task.cancel();
  t.destroy_loop();
  BOOST_CHECK_THROW(task.result(), std::logic_error);
}

#define COSOCK_ENDING(name, ...) \
  ending { #name, {__VA_ARGS__}, name }
inline const ending all[] = {
    COSOCK_ENDING(completes, way::provide),
    COSOCK_ENDING(completes_at_once, way::provide),
    COSOCK_ENDING(fails, way::fail),
    COSOCK_ENDING(cancelled_before_it_would_wait, way::cancel),
    COSOCK_ENDING(cancelled_before_it_would_complete_at_once, way::cancel, way::provide),
    COSOCK_ENDING(cancelled_before_its_task_runs, way::cancel),
    COSOCK_ENDING(cancelled_while_pending, way::cancel),
    COSOCK_ENDING(cancelled_before_the_loop_sees_its_completion, way::provide),
    COSOCK_ENDING(cancelled_in_the_turn_in_which_it_completes, way::provide),
    COSOCK_ENDING(completed_in_the_turn_in_which_it_is_cancelled, way::cancel, way::provide),
    COSOCK_ENDING(its_time_limit_passes, way::cancel),
    COSOCK_ENDING(its_time_limit_has_passed_before_it_starts, way::cancel),
    COSOCK_ENDING(its_task_is_destroyed_before_it_runs),
    COSOCK_ENDING(its_task_is_destroyed_while_pending),
    COSOCK_ENDING(its_task_is_destroyed_after_its_cancellation),
    COSOCK_ENDING(its_task_is_destroyed_after_its_completion, way::provide),
    COSOCK_ENDING(its_object_is_closed_before_it_starts, way::close),
    COSOCK_ENDING(its_object_is_closed_while_pending, way::close),
    COSOCK_ENDING(its_object_is_closed_after_its_completion, way::close, way::provide),
    COSOCK_ENDING(its_object_is_destroyed_while_pending, way::destroy),
    COSOCK_ENDING(its_object_is_destroyed_after_its_completion, way::destroy, way::provide),
    COSOCK_ENDING(its_object_is_destroyed_after_its_cancellation, way::destroy, way::cancel),
    COSOCK_ENDING(its_loop_is_destroyed_before_it_runs),
    COSOCK_ENDING(its_loop_is_destroyed_while_pending),
    COSOCK_ENDING(its_loop_is_destroyed_after_its_completion, way::provide),
    COSOCK_ENDING(its_loop_is_destroyed_after_its_cancellation),
};
#undef COSOCK_ENDING

}  // namespace endings

/// Registers a suite for each kind, with a case for each ending that applies to it. `run` calls the
/// body of a case; the cases are skipped where `precondition` does not hold.
struct register_endings {
  using body = std::function<void()>;
  explicit register_endings(
      const std::vector<operation_kind>& rows,
      void (*run)(const body&) = [](const body& b) { b(); },
      const boost::unit_test::test_unit::precondition_t& precondition = {}) {
    for (const operation_kind& row : rows) {
      auto* suite = BOOST_TEST_SUITE(row.name);
      for (const ending& e : endings::all)
        if (std::all_of(e.needs.begin(), e.needs.end(), [&](way in) { return row.can(in); }))
          suite->add(boost::unit_test::make_test_case(
              [row, run, check = e.check] {
                run([&] {
                  trial t(row);
                  check(t);
                });
              },
              e.name, __FILE__, __LINE__));
      if (precondition) suite->add_precondition(precondition);
      boost::unit_test::framework::current_auto_test_suite().add(suite);
    }
  }
};

}  // namespace test
