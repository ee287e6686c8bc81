// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

namespace cosock::detail {

/// An operation that waits in the list of an object of its loop until the object completes it. The
/// first event counts: an operation that has completed keeps its result if it is cancelled
/// afterwards.
///
/// complete() moves it from that list to the ready queue of the loop, by the same `link`: it is in
/// one list at a time.
class COSOCK_API waiter : public awaited_operation {
 public:
  void fire() override { resume(); }
  void cancel() noexcept override {
    if (!completed_) complete(cancelled_failure());
  }
  /// Takes it out of its list, and schedules it: the coroutine is resumed later, not inside the
  /// call.
  void complete() noexcept;
  void complete(failure why) noexcept {
    failure_ = why;
    complete();
  }
  void complete_closed() noexcept;

 protected:
  waiter() noexcept {}
  ~waiter() = default;
  /// For start(), if the operation need not wait.
  step complete_or_yield() noexcept {
    completed_ = true;
    return awaited_operation::complete_or_yield();
  }
  /// For start(), if the operation has to wait.
  step wait_in(link& list) noexcept {
    insert_before(list);
    suspend();
    return step::pending;
  }
  step fail_with(failure why) noexcept {
    failure_ = why;
    return complete_or_yield();
  }
  step fail_closed() noexcept;
  step fail_busy() noexcept;
  step fail_wrong_loop() noexcept;
  /// For an operation that has completed and waits for its turn: its object is gone.
  void fail_later() noexcept;

  bool completed_ = false;
};

/// A waiter for what another thread or a signal brings.
class COSOCK_API outside_waiter : public waiter {
 public:
  void fire() override {
    leave();
    resume();
  }

 protected:
  outside_waiter() noexcept {}
  ~outside_waiter() { leave(); }
  step wait_in(link& list) noexcept {
    counted_by_ = scope_->loop;
    ++counted_by_->outside_waits;
    return waiter::wait_in(list);
  }

 private:
  void leave() noexcept {
    if (counted_by_) --std::exchange(counted_by_, nullptr)->outside_waits;
  }
  loop_state* counted_by_ = nullptr;
};

/// The waiters of an object, first come, first served. The destructor ends them with `closed`.
class COSOCK_API wait_list {
 public:
  wait_list() noexcept { head_.previous = head_.following = &head_; }
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;
  ~wait_list();

  bool empty() const noexcept { return head_.following == &head_; }
  waiter& first() noexcept { return static_cast<waiter&>(*head_.following); }
  link& end() noexcept { return head_; }
  void complete_all() noexcept {
    while (!empty()) first().complete();  // unlinks it
  }
  void close_all() noexcept;

 private:
  link head_;
};

}  // namespace cosock::detail
