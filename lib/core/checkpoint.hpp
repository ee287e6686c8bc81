// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "core/scheduler.hpp"

namespace cosock::detail {

/// For functions that may end without waiting: awaited first, it makes them a cancellation point on
/// every call, and lets the other tasks have their turn where one calls them without end.
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
  void cancel() noexcept override { failure_ = cancelled_failure(); }
};

}  // namespace cosock::detail
