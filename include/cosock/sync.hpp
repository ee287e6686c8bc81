// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/size.hpp>
#include <cosock/detail/waiter.hpp>

namespace cosock {

class event;
class semaphore;

namespace detail {
class event_wait_operation;
class semaphore_acquire_operation;
}  // namespace detail

// Objects with which the tasks of one loop wait for each other. They use no locks of threads and
// allocate nothing, and other threads must not use them (see mailbox.hpp and loop::post for that).
//
// Each wait is a cancellation point, also where it need not wait. If a wait succeeds, and its scope
// is cancelled before the task runs, the wait still returns normally, and the next wait is
// cancelled. If an object is destroyed, pending waits fail with `error::closed`.

/// A flag that tasks wait for (a manual-reset event). Any number of tasks may wait.
class COSOCK_API event {
 public:
  event() noexcept = default;

  /// Sets the flag and wakes every task that waits, even if reset() is called before it runs.
  /// Idempotent.
  void set() noexcept {
    set_ = true;
    waiters_.complete_all();
  }
  /// Clears the flag: later waits wait. The flag may be cleared again before a task that was woken
  /// runs; such a task rechecks its condition in a loop if that matters.
  void reset() noexcept { set_ = false; }
  /// Whether the flag is set.
  [[nodiscard]] bool is_set() const noexcept { return set_; }

  /// Waits until the flag is set. Throws `error::cancelled`; `error::closed` if the event is
  /// destroyed while the task waits.
  detail::event_wait_operation wait() noexcept;

 private:
  friend class detail::event_wait_operation;
  detail::wait_list waiters_;
  bool set_ = false;
};

/// A number of permits that tasks acquire and return: a limit on how many tasks do something at the
/// same time, or on how much of a resource is in use. First come, first served: a task that needs
/// many permits is not overtaken by one that needs few.
class COSOCK_API semaphore {
 public:
  /// Acquired permits, which return to the semaphore when the object is destroyed, at the latest.
  /// The semaphore must outlive it.
  class [[nodiscard]] permit {
   public:
    permit() noexcept = default;
    permit(permit&& other) noexcept
        : semaphore_(std::exchange(other.semaphore_, nullptr)), count_(other.count_) {}
    permit& operator=(permit&& other) noexcept {
      if (this != &other) {
        release();
        semaphore_ = std::exchange(other.semaphore_, nullptr);
        count_ = other.count_;
      }
      return *this;
    }
    ~permit() { release(); }

    /// Returns the permits now. Idempotent.
    void release() noexcept {
      if (semaphore_) std::exchange(semaphore_, nullptr)->release(count_);
    }
    /// Keeps the permits out of the semaphore, until semaphore::release() adds them again.
    void forget() noexcept { semaphore_ = nullptr; }
    /// Whether permits were acquired and not returned.
    explicit operator bool() const noexcept { return semaphore_ != nullptr; }

   private:
    friend class semaphore;
    friend class detail::semaphore_acquire_operation;
    permit(semaphore& semaphore, std::size_t count) noexcept
        : semaphore_(&semaphore), count_(count) {}
    semaphore* semaphore_ = nullptr;
    std::size_t count_ = 0;
  };

  /// Begins with this number of permits, 0 to SIZE_MAX.
  explicit semaphore(std::size_t permits) noexcept : available_(permits) {
    granted_.previous = granted_.following = &granted_;
  }
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore();

  /// Waits for `count` permits, and returns them. A count of 0 only waits behind earlier waiters.
  /// Throws `error::cancelled`; `error::closed` if the semaphore is destroyed while the task waits.
  /// After an error no permit is taken. If the task is destroyed before it runs with its permits,
  /// they return to the semaphore.
  detail::semaphore_acquire_operation acquire(std::size_t count = 1) noexcept;

  /// The permits; empty if they are not available now, or if other tasks wait.
  permit try_acquire(std::size_t count = 1) noexcept {
    if (!waiters_.empty() || available_ < count) return {};
    available_ -= count;
    return {*this, count};
  }

  /// Adds permits: those of a permit that was forgotten, or new ones. The number never exceeds
  /// SIZE_MAX.
  void release(std::size_t count = 1) noexcept {
    available_ = detail::saturating_sum(available_, count);
    if (!waiters_.empty()) grant();
  }

  /// The number of permits that are available.
  [[nodiscard]] std::size_t available() const noexcept { return available_; }

 private:
  friend class detail::semaphore_acquire_operation;
  void grant() noexcept;
  std::size_t available_;
  detail::wait_list waiters_;
  detail::link granted_;       // waiters that have theirs, and have not run yet
  std::source_location last_;  // where a permit was acquired last, for a dump of the tasks
};

/// Mutual exclusion between tasks of one loop. It may be held across `co_await`, for example for
/// several sends that belong together. First come, first served; not recursive.
class COSOCK_API mutex {
 public:
  /// Holds the mutex until it is destroyed, or until release(). The mutex must outlive it.
  using guard = semaphore::permit;

  mutex() noexcept = default;

  /// Waits until the mutex is free, and returns the guard. Throws as semaphore::acquire.
  detail::semaphore_acquire_operation lock() noexcept;
  /// The guard; empty if a task holds the mutex or waits for it.
  guard try_lock() noexcept { return one_.try_acquire(); }
  /// Whether a task holds the mutex.
  [[nodiscard]] bool is_locked() const noexcept { return one_.available() == 0; }

 private:
  semaphore one_{1};
};

// Implementation

namespace detail {

class COSOCK_AWAITABLE event_wait_operation final : public awaiter_of<event_wait_operation>,
                                                    public waiter {
 public:
  explicit event_wait_operation(event& event) noexcept : event_(event) {}
  event_wait_operation(event_wait_operation&& other) noexcept : waiter(), event_(other.event_) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    return event_.set_ ? complete_or_yield() : wait_in(event_.waiters_.end());
  }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("event::wait()"); }

 private:
  event& event_;
};

class COSOCK_AWAITABLE semaphore_acquire_operation final
    : public awaiter_of<semaphore_acquire_operation>,
      public waiter {
 public:
  semaphore_acquire_operation(semaphore& semaphore, std::size_t count) noexcept
      : semaphore_(&semaphore), count_(count) {}
  semaphore_acquire_operation(semaphore_acquire_operation&& other) noexcept
      : waiter(), semaphore_(other.semaphore_), count_(other.count_) {}
  ~semaphore_acquire_operation() {
    if (scope_) [[unlikely]]
      leave();
  }

  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  semaphore::permit result() {
    if (failure_) raise(failure_);
    return {*semaphore_, count_};
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override;

  void fire() override {
    granted_.unlink();
    resume();
  }
  void cancel() noexcept override;

 private:
  friend class cosock::semaphore;
  struct grant final : link {
    explicit grant(semaphore_acquire_operation& owner) noexcept : operation(owner) {}
    semaphore_acquire_operation& operation;
  };
  void leave() noexcept;
  semaphore* semaphore_;
  std::size_t count_;
  grant granted_{*this};
};

}  // namespace detail

inline detail::event_wait_operation event::wait() noexcept {
  return detail::event_wait_operation(*this);
}
inline detail::semaphore_acquire_operation semaphore::acquire(std::size_t count) noexcept {
  return {*this, count};
}
inline detail::semaphore_acquire_operation mutex::lock() noexcept { return one_.acquire(); }

}  // namespace cosock
