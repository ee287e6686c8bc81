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

// What the tasks of one loop use to wait for each other. None of it locks or allocates, and none of
// it may be touched by another thread (that is what mailbox.hpp and loop::post are for).
//
// Each wait is a cancellation point, also where it need not wait. Where a wait was granted and
// cancelled before its task ran, the grant counts: the task has what it waited for, and meets the
// cancellation at its next wait. An object that is destroyed ends those who wait for it with
// `error::closed`.

/// Something that has happened, or has not yet. Any number of tasks may wait for it.
class COSOCK_API event {
 public:
  event() noexcept = default;

  /// It has happened: every task that waits goes on, also if reset() comes before it runs.
  /// Idempotent.
  void set() noexcept {
    set_ = true;
    waiters_.complete_all();
  }
  /// It has not happened: later waits wait. A task that goes on after a wait may so find the event
  /// reset; where that matters, it looks at what the event was about, in a loop.
  void reset() noexcept { set_ = false; }
  /// Whether it has happened.
  [[nodiscard]] bool is_set() const noexcept { return set_; }

  /// Waits until it has happened. Throws `error::cancelled`, or `error::closed` if the event is
  /// destroyed meanwhile.
  detail::event_wait_operation wait() noexcept;

 private:
  friend class detail::event_wait_operation;
  detail::wait_list waiters_;
  bool set_ = false;
};

/// A number of permits, which tasks acquire and give back: a limit on how many do something at
/// once, or on how much of something is in use. First come, first served: a task that wants many
/// permits is not overtaken by one that wants few.
class COSOCK_API semaphore {
 public:
  /// Permits that were acquired; given back when the object is destroyed, at the latest. The
  /// semaphore outlives it. Empty if it holds none.
  class [[nodiscard]] permit {
   public:
    permit() noexcept = default;
    permit(permit&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), count_(other.count_) {}
    permit& operator=(permit&& other) noexcept {
      if (this != &other) {
        release();
        of_ = std::exchange(other.of_, nullptr);
        count_ = other.count_;
      }
      return *this;
    }
    ~permit() { release(); }

    /// Gives the permits back now. Idempotent.
    void release() noexcept {
      if (of_) std::exchange(of_, nullptr)->release(count_);
    }
    /// Keeps the permits out for good, or until someone calls semaphore::release.
    void forget() noexcept { of_ = nullptr; }
    /// Whether there is a permit in it.
    explicit operator bool() const noexcept { return of_ != nullptr; }

   private:
    friend class semaphore;
    friend class detail::semaphore_acquire_operation;
    permit(semaphore& of, std::size_t count) noexcept : of_(&of), count_(count) {}
    semaphore* of_ = nullptr;
    std::size_t count_ = 0;
  };

  /// With so many permits to begin with: none, or up to SIZE_MAX.
  explicit semaphore(std::size_t permits) noexcept : available_(permits) {
    granted_.previous = granted_.following = &granted_;
  }
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore();

  /// Waits for so many permits, and gives them; for 0 it only waits behind those who came before.
  /// Throws `error::cancelled`, or `error::closed` if
  /// the semaphore is destroyed meanwhile: no permit was taken. A task that is destroyed before it
  /// could use them gives them back.
  detail::semaphore_acquire_operation acquire(std::size_t count = 1) noexcept;

  /// The permits, or none if they are not there at once, or if others wait.
  permit try_acquire(std::size_t count = 1) noexcept {
    if (!waiters_.empty() || available_ < count) return {};
    available_ -= count;
    return {*this, count};
  }

  /// Adds permits: those of a permit that was forgotten, or new ones. There are never more than
  /// SIZE_MAX.
  void release(std::size_t count = 1) noexcept {
    available_ = detail::saturating_sum(available_, count);
    if (!waiters_.empty()) grant();
  }

  /// How many permits could be acquired.
  [[nodiscard]] std::size_t available() const noexcept { return available_; }

 private:
  friend class detail::semaphore_acquire_operation;
  void grant() noexcept;
  std::size_t available_;
  detail::wait_list waiters_;
  detail::link granted_;  // waiters that have theirs, and have not run yet
};

/// What one task at a time may hold: for what must not be interleaved although it waits in between,
/// such as several sends that belong together. First come, first served; not recursive.
class COSOCK_API mutex {
 public:
  /// Holds the mutex until it is destroyed, or until release(). The mutex outlives it.
  using guard = semaphore::permit;

  mutex() noexcept = default;

  /// Waits until nobody holds it, and gives the guard. Throws as semaphore::acquire.
  detail::semaphore_acquire_operation lock() noexcept;
  /// The guard, or an empty one if somebody holds it, or waits for it.
  guard try_lock() noexcept { return one_.try_acquire(); }
  /// Whether somebody holds it.
  [[nodiscard]] bool is_locked() const noexcept { return one_.available() == 0; }

 private:
  semaphore one_{1};
};

// Implementation

namespace detail {

class COSOCK_AWAITABLE event_wait_operation final : public awaiter_of<event_wait_operation>,
                                                    public waiter {
 public:
  explicit event_wait_operation(event& of) noexcept : of_(of) {}
  event_wait_operation(event_wait_operation&& other) noexcept : waiter(), of_(other.of_) {}

  step start(std::coroutine_handle<> awaiting, scope& where) {
    if (!enter(awaiting, where)) return complete_or_yield();
    return of_.set_ ? complete_or_yield() : wait_in(of_.waiters_.end());
  }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

 private:
  event& of_;
};

class COSOCK_AWAITABLE semaphore_acquire_operation final
    : public awaiter_of<semaphore_acquire_operation>,
      public waiter {
 public:
  semaphore_acquire_operation(semaphore& of, std::size_t count) noexcept
      : of_(&of), count_(count) {}
  semaphore_acquire_operation(semaphore_acquire_operation&& other) noexcept
      : waiter(), of_(other.of_), count_(other.count_) {}
  ~semaphore_acquire_operation() {
    if (scope_) [[unlikely]]
      leave();
  }

  step start(std::coroutine_handle<> awaiting, scope& where);
  semaphore::permit result() {
    if (failure_) raise(failure_);
    return {*of_, count_};
  }
  failure fail() noexcept { return failure_; }

  void fire() override {
    granted_.unlink();
    resume();
  }
  void cancel() noexcept override;

 private:
  friend class cosock::semaphore;
  struct grant final : link {
    explicit grant(semaphore_acquire_operation& owner) noexcept : of(owner) {}
    semaphore_acquire_operation& of;
  };
  void leave() noexcept;
  semaphore* of_;
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
