// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "core/scheduler.hpp"

namespace cosock::detail {

/// Ends without waiting. A coroutine that may complete at once awaits it first: so each call is a
/// cancellation point, and other tasks run even if a task calls the function in an endless loop.
class checkpoint final : public awaiter_of<checkpoint>, public awaited_operation {
 public:
  checkpoint() = default;
  checkpoint(const checkpoint&) = delete;

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    enter(awaiting, parent);
    return complete_or_yield();
  }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

  void fire() override { resume(); }
  // It is in the queue of the next turn already, so a cancellation has nothing to schedule.
  void cancel() noexcept override { failure_ = cancelled_failure(); }
};

}  // namespace cosock::detail
