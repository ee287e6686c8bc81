// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sleeping, and the start of a timer: the code of time.hpp and detail/timer.hpp. The timers are in
// the wheel of their scheduler.

#include <cosock/time.hpp>

#include "core/scheduler.hpp"

#include <stdexcept>

namespace cosock::detail {

void refuse_nan() { throw std::invalid_argument("cosock: a duration is not a number (NaN)"); }

std::int64_t steady_now() noexcept {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

void timer::start_timer(loop_state& loop, std::int64_t time) noexcept {
  stop_timer();
  scheduler::get(loop).set_timer(*this, time);
}

step sleep_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  // A sleep of zero is how tasks yield, so it does not read the clock.
  const std::int64_t now = ns_ <= 0 && !absolute_ ? 0 : steady_now();
  const std::int64_t time = absolute_ ? ns_ : later(now, ns_);
  suspend();
  if (time <= now)
    scheduler::get(*parent.loop).schedule_next_turn(*this);
  else
    start_timer(*parent.loop, time);
  return step::pending;
}

void sleep_operation::expire() noexcept { scheduler::get(*scope_->loop).schedule(*this); }

void sleep_operation::cancel() noexcept {
  failure_ = cancelled_failure();
  stop_timer();
  // In a queue already if it has expired, or if it only yields.
  if (!operation::linked()) scheduler::get(*scope_->loop).schedule(*this);
}

}  // namespace cosock::detail
