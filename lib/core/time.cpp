// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sleeping, and the start of a timer: the code of time.hpp and detail/timer.hpp. The timers are in
// the wheel of their scheduler.

#include <cosock/time.hpp>

#include "core/scheduler.hpp"

#include <time.h>

#include <stdexcept>

namespace cosock::detail {

void refuse_nan() { throw std::invalid_argument("cosock: a duration is not a number (NaN)"); }

std::int64_t real_time() noexcept {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::int64_t current_time(const loop_state& loop) noexcept {
  return scheduler::get(loop).io().now();
}

std::int64_t current_time() noexcept {
  const scheduler* const running = scheduler::current();
  return running ? running->io().now() : real_time();
}

void timer::start_timer(loop_state& loop, std::int64_t time) noexcept {
  stop_timer();
  scheduler::get(loop).set_timer(*this, time);
}

step sleep_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  // A sleep of zero is how tasks yield, so it does not read the clock.
  const std::int64_t now = ns_ <= 0 && !absolute_ ? 0 : current_time(*parent.loop);
  const std::int64_t time = absolute_ ? ns_ : later(now, ns_);
  suspend();
  if (time <= now)
    scheduler::get(*parent.loop).schedule_next_turn(*this);
  else
    start_timer(*parent.loop, time);
  return step::pending;
}

void sleep_operation::describe_operation(wait_report& to) const {
  to.operation("a sleep");
  if (is_running()) to.limit(timer_wheel::time_of(tick));
}

void sleep_operation::expire() noexcept { scheduler::get(*scope_->loop).schedule(*this); }

void sleep_operation::cancel() noexcept {
  failure_ = cancelled_failure();
  stop_timer();
  // In a queue already if it has expired, or if it only yields.
  if (!operation::linked()) scheduler::get(*scope_->loop).schedule(*this);
}

}  // namespace cosock::detail
