// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The time until a simulated name server answers. Awaited by resolve() on a simulated host; a dump shows the
// look-up, as it does where a thread asks the system. It does not own the look-up.

#include <cosock/detail/timer.hpp>

#include "loop/thread_pool.hpp"

namespace cosock::detail {

class answer_delay final : public awaiter_of<answer_delay>, public awaited_operation, public timer {
 public:
  answer_delay(const job& asked, std::int64_t ns) noexcept : asked_(asked), ns_(ns) {}
  answer_delay(const answer_delay&) = delete;

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    suspend();
    start_timer(*parent.loop, later(current_time(*parent.loop), ns_));
    return step::pending;
  }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

  void fire() override { resume(); }
  void describe_operation(wait_report& to) const override { asked_.describe(to); }
  void cancel() noexcept override {
    failure_ = cancelled_failure();
    stop_timer();
    // In a queue already if the delay has passed.
    if (!operation::linked()) scheduler::get(*scope_->loop).schedule(*this);
  }
  void expire() noexcept override { scheduler::get(*scope_->loop).schedule(*this); }

 private:
  const job& asked_;
  const std::int64_t ns_;
};

}  // namespace cosock::detail
