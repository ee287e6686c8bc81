// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// semaphore, and its operation. The other objects of <cosock/sync.hpp> are inline; the waiting
// itself is in waiter.hpp. All of it is called on the thread of one loop.

#include <cosock/sync.hpp>

#include "core/coroutines.hpp"
#include "core/failure.hpp"

namespace cosock {

using detail::semaphore_acquire_operation;

semaphore::~semaphore() {
  // These have their permits and have not run yet. They must not return permits to this object.
  // (The waiters without permits are ended by ~wait_list.)
  while (granted_.following != &granted_) {
    auto& op = static_cast<semaphore_acquire_operation::grant&>(*granted_.following).operation;
    op.granted_.unlink();
    op.failure_ = detail::closed_failure();
  }
}

void semaphore::grant() noexcept {
  while (!waiters_.empty()) {
    auto& next = static_cast<semaphore_acquire_operation&>(waiters_.first());
    if (next.count_ > available_) return;
    available_ -= next.count_;
    last_ = detail::place_of(next.awaiting_);
    next.granted_.insert_before(granted_);
    next.complete();
  }
}

namespace detail {

step semaphore_acquire_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  if (!semaphore_->waiters_.empty() || semaphore_->available_ < count_)
    return wait_in(semaphore_->waiters_.end());
  semaphore_->available_ -= count_;
  semaphore_->last_ = place_of(awaiting_);
  // If it yields, it holds its permits in the queue of the next turn: they return if it is
  // destroyed.
  const step reached = complete_or_yield();
  if (reached == step::pending) granted_.insert_before(semaphore_->granted_);
  return reached;
}

void semaphore_acquire_operation::describe_operation(wait_report& to) const {
  to.operation("a semaphore or mutex");
  if (completed_) return to.detail("and has it", 10);
  std::size_t ahead = 0;
  for (const link* l = semaphore_->waiters_.end().following; l != this; l = l->following) ++ahead;
  to.place("acquired last at", semaphore_->last_);
  if (ahead != 0) to.count(ahead, "ahead");
}

void semaphore_acquire_operation::cancel() noexcept {
  if (completed_) return;
  complete(cancelled_failure());
  semaphore_->grant();  // the waiters behind it may need fewer permits
}

/// Destroyed while it waits for permits, or, with its permits, for its turn.
void semaphore_acquire_operation::leave() noexcept {
  unlink();
  if (granted_.linked()) {
    granted_.unlink();
    semaphore_->release(count_);
  } else if (!completed_) {
    semaphore_->grant();
  }
}

}  // namespace detail
}  // namespace cosock
