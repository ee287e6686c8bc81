// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Operations that wait in the list of an object of their loop: event, semaphore, channel and
// others. The object owns the list, not the operations in it.

#include <cosock/detail/waiter.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"

namespace cosock::detail {

void waiter::complete() noexcept {
  unlink();
  completed_ = true;
  scheduler::get(*scope_->loop).schedule(*this);
}

void waiter::complete_closed() noexcept { complete(closed_failure()); }
step waiter::fail_closed() noexcept { return fail_with(closed_failure()); }

step waiter::fail_busy() noexcept { return fail_with(own_failure(error::busy)); }
step waiter::fail_wrong_loop() noexcept { return fail_with(own_failure(error::wrong_loop)); }
void waiter::fail_later() noexcept { failure_ = closed_failure(); }

wait_list::~wait_list() { close_all(); }

void wait_list::close_all() noexcept {
  while (!empty()) first().complete_closed();
}

}  // namespace cosock::detail
