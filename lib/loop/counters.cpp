// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// loop::counters(): collects what the scheduler, the thread pool and the watch of turns know. It owns nothing.

#include "loop/engine.hpp"
#include "loop/loop_watch.hpp"
#include "loop/thread_pool.hpp"

#include <algorithm>

namespace cosock {

namespace detail {

loop_counters engine::counters() const noexcept {
  loop_counters all;
  all.tasks = tasks;
  all.ready = ready();
  all.descriptors = watched();
  all.timers = timers();
  const auto look_ups = static_cast<std::size_t>(pending_look_ups);
  if (look_ups != 0) all.look_ups_queued = job_queue::queued(*handle(), false);
  all.look_ups_running = look_ups - std::min(all.look_ups_queued, look_ups);
  const auto calls = static_cast<std::size_t>(pending_calls);
  if (calls != 0) all.calls_queued = job_queue::queued(*handle(), true);
  all.calls_running = calls - std::min(all.calls_queued, calls);
  all.ready_peak = ready_peak();
  all.completed_at_once = completed_at_once;
  all.completed_after_wait = completed_after_wait;
  all.budget_yields = budget_yields();
  all.messages = messages();
  if (turns_watch_) turns_watch_->count(all);
  return all;
}

}  // namespace detail

loop_counters loop::counters() const noexcept { return engine_->counters(); }

}  // namespace cosock
