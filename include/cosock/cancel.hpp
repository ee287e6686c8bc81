// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/duration.hpp>
#include <cosock/detail/timer.hpp>

namespace cosock {

namespace detail {

/// A scope around an operand, with a deadline or without.
class COSOCK_API timeout_scope : public waiting, public timer {
 public:
  void cancel() noexcept override { inner_.cancel(); }  // from outside
  void expire() noexcept override;

 protected:
  timeout_scope() noexcept {}
  ~timeout_scope() { leave(); }

  void enter(scope& outer) noexcept {
    outer_ = &outer;
    inner_.on = outer.on;
    outer.pending = this;  // before the inside runs: it may cancel what is around it
    if (outer.cancelled || expired_) inner_.cancelled = true;
  }
  /// The inside has ended, or is destroyed.
  void leave() noexcept {
    if (!outer_) return;
    if (outer_->pending == this) outer_->pending = nullptr;
    if (rest_) [[unlikely]]
      rest_->cancel();
    // Where the outside was cancelled too, that is the reason, and not this deadline.
    if (outer_->cancelled) expired_ = false;
    outer_ = nullptr;
    stop_timer();
  }
  /// For start(), where the inside has ended without a wait. Where that is because the time had
  /// passed before it began, the others have their turn now and then.
  step complete_or_yield(std::coroutine_handle<> awaiting) {
    return expired_ ? rest(awaiting) : step::done;
  }
  failure translated(failure inner) const noexcept;
  /// To be called where an exception is being handled: throws it on, `cancelled` as `timed_out`.
  [[noreturn]] void rethrow() const;

  template <class A>
  decltype(auto) result_of_operand(A& operand) {
    leave();
    if (!expired_) [[likely]]
      return operand.result();
    try {
      return operand.result();
    } catch (...) {
      rethrow();
    }
  }

  scope inner_;
  scope* outer_ = nullptr;
  bool expired_ = false;

 private:
  class resting;
  step rest(std::coroutine_handle<> awaiting);
  waiting* rest_ = nullptr;
};

/// What with_timeout and with_deadline give.
template <class A, bool Deadline>
class COSOCK_AWAITABLE timeout_awaiter final : public awaiter_of<timeout_awaiter<A, Deadline>>,
                                               public timeout_scope {
 public:
  template <class B>
  timeout_awaiter(std::int64_t ns, B&& of) : ns_(ns), of_(operand(std::forward<B>(of))) {}
  timeout_awaiter(timeout_awaiter&& other) noexcept
      : timeout_scope(), ns_(other.ns_), of_(std::move(other.of_)) {}

  step start(std::coroutine_handle<> awaiting, scope& outer) {
    // An operation that ends at once needs no clock; a task may compute before it first waits.
    constexpr bool is_task = !std::derived_from<A, operation>;
    std::int64_t at = Deadline ? ns_ : is_task ? later(steady_now(), ns_) : 0;
    expired_ = Deadline ? ns_ <= steady_now() : ns_ <= 0;
    enter(outer);
    if (of_.start(awaiting, inner_) == step::done) return complete_or_yield(awaiting);
    if (expired_) return step::pending;
    if (!Deadline && !is_task) at = later(steady_now(), ns_);
    start_timer(*outer.on, at);
    return step::pending;
  }
  decltype(auto) result() { return result_of_operand(of_); }
  failure fail() noexcept {
    leave();
    return translated(of_.fail());
  }
  bool has_details() const noexcept { return detail::has_details(of_); }

 private:
  std::int64_t ns_;
  A of_;
};

/// A scope that keeps outer cancellations out, for ever or for a time of grace.
class COSOCK_API shield_scope : public waiting, public timer {
 public:
  void cancel() noexcept override;  // from outside
  void expire() noexcept override { inner_.cancel(); }

 protected:
  explicit shield_scope(std::int64_t grace) noexcept : grace_(grace) {}
  ~shield_scope() { leave(); }

  void leave() noexcept {
    if (!outer_) return;
    if (outer_->pending == this) outer_->pending = nullptr;
    outer_ = nullptr;
    stop_timer();
  }
  scope inner_;
  scope* outer_ = nullptr;
  std::int64_t grace_;
};

/// What shielded and with_grace give.
template <class A>
class COSOCK_AWAITABLE shield_awaiter final : public awaiter_of<shield_awaiter<A>>,
                                              public shield_scope {
 public:
  template <class B>
  shield_awaiter(std::int64_t grace, B&& of)
      : shield_scope(grace), of_(operand(std::forward<B>(of))) {}
  shield_awaiter(shield_awaiter&& other) noexcept
      : shield_scope(other.grace_), of_(std::move(other.of_)) {}

  step start(std::coroutine_handle<> awaiting, scope& outer) {
    inner_.on = outer.on;
    outer_ = &outer;
    outer.pending = this;
    if (outer.cancelled) cancel();
    return of_.start(awaiting, inner_);
  }
  decltype(auto) result() {
    leave();
    return of_.result();
  }
  failure fail() noexcept {
    leave();
    return of_.fail();
  }
  bool has_details() const noexcept { return detail::has_details(of_); }

 private:
  A of_;
};

template <class A>
class scope_awaiter;

}  // namespace detail

/// Awaits `of`, for at most `limit`: a task, or an operation such as `socket.receive(buffer)`.
///
/// Gives what `of` gives. If the limit passes first, everything that waits inside, name look-ups
/// included, ends with `error::cancelled`, and the await throws `error::timed_out`. A value that
/// comes all the same is given, not lost. An error of another kind passes unchanged. A cancellation
/// from outside passes as `error::cancelled`, so the two are never mistaken for each other. Limits
/// nest: the nearer one wins.
///
/// Input that came before the limit is delivered before the limit expires, also if the loop was held
/// up meanwhile by a task that computes. A limit of zero or less has passed already: nothing is
/// attempted. One of 292 years or more, or infinity, never passes. Throws std::invalid_argument, when
/// it is called, for NaN. The time counts from the `co_await`. Costs no allocation, and no timer of
/// the system.
template <class Rep, class Period, class A>
auto with_timeout(std::chrono::duration<Rep, Period> limit, A&& of) {
  return detail::timeout_awaiter<detail::operand_t<A>, false>(detail::to_ns(limit),
                                                         std::forward<A>(of));
}

/// As with_timeout, with a point of the monotonic clock instead of a duration.
template <class Duration, class A>
auto with_deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> deadline, A&& of) {
  return detail::timeout_awaiter<detail::operand_t<A>, true>(
      detail::to_ns(deadline.time_since_epoch()), std::forward<A>(of));
}

/// Awaits `of` out of reach of the cancellations around it, for clean-up that has to wait: a
/// farewell message, say. Give it a limit of its own: `shielded(with_timeout(1s, goodbye()))`.
/// After it, what was cancelled outside is still cancelled.
template <class A>
auto shielded(A&& of) {
  return detail::shield_awaiter<detail::operand_t<A>>(INT64_MAX, std::forward<A>(of));
}

/// Awaits `of`, and lets a cancellation from outside reach it only after a time of grace: what has
/// begun may end in order while everything around it stops. The time counts from the cancellation;
/// zero or less is none. Throws std::invalid_argument, when it is called, for NaN.
template <class Rep, class Period, class A>
auto with_grace(std::chrono::duration<Rep, Period> grace, A&& of) {
  return detail::shield_awaiter<detail::operand_t<A>>(detail::to_ns(grace), std::forward<A>(of));
}

/// A region of work that can be cancelled from elsewhere on the same loop.
///
/// `co_await scope.run(work())` runs the work inside the scope. After cancel() everything that waits
/// inside, and everything that is going to, ends with `error::cancelled`, until control leaves the
/// scope. Cancellation is a state, not an event: cancel() before run() counts. The object must
/// outlive the run(), holds one run() at a time, and belongs to one loop; from another thread,
/// cancel through loop::post.
class COSOCK_API cancel_scope final : private detail::timeout_scope {
 public:
  cancel_scope() = default;
  ~cancel_scope() = default;

  /// Cancels the scope. Returns at once; what is inside ends when the loop comes to it. Idempotent.
  void cancel() noexcept override { inner_.cancel(); }
  /// Whether the inside is cancelled: by cancel(), by the deadline, or from outside.
  [[nodiscard]] bool is_cancelled() const noexcept { return inner_.cancelled; }
  /// Whether the deadline of this scope has passed while it ran.
  [[nodiscard]] bool timed_out() const noexcept { return expired_; }

  /// Sets the time at which the scope cancels itself, also while it runs: sooner, later, or, with
  /// clear_deadline or `time_point::max()`, not at all. One that has passed already counts at once.
  /// Throws std::invalid_argument for NaN.
  template <class Duration>
  void set_deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> deadline) {
    set_deadline_ns(detail::to_ns(deadline.time_since_epoch()));
  }
  void clear_deadline() noexcept;

  /// Awaits `of` inside the scope. Gives what it gives; throws `error::timed_out` if the deadline
  /// ended it, `error::cancelled` if cancel() or an outer scope did. Throws std::logic_error if the
  /// scope is running already.
  template <class A>
  auto run(A&& of) {
    return detail::scope_awaiter<detail::operand_t<A>>(*this, std::forward<A>(of));
  }

 private:
  template <class A>
  friend class detail::scope_awaiter;
  void set_deadline_ns(std::int64_t deadline);
  void begin(detail::scope& outer);
  void began(detail::scope& outer);
  std::int64_t deadline_ = INT64_MAX;
};

template <class A>
class COSOCK_AWAITABLE detail::scope_awaiter : public awaiter_of<scope_awaiter<A>> {
 public:
  template <class B>
  scope_awaiter(cancel_scope& in, B&& of) : in_(in), of_(operand(std::forward<B>(of))) {}
  scope_awaiter(scope_awaiter&& other) noexcept : in_(other.in_), of_(std::move(other.of_)) {}
  ~scope_awaiter() {
    if (running_) in_.leave();
  }

  step start(std::coroutine_handle<> awaiting, scope& outer) {
    in_.begin(outer);
    running_ = true;
    if (of_.start(awaiting, in_.inner_) == step::done) return in_.complete_or_yield(awaiting);
    in_.began(outer);
    return step::pending;
  }
  decltype(auto) result() {
    running_ = false;
    return in_.result_of_operand(of_);
  }
  failure fail() noexcept {
    running_ = false;
    in_.leave();
    return in_.translated(of_.fail());
  }
  bool has_details() const noexcept { return detail::has_details(of_); }

 private:
  cancel_scope& in_;
  A of_;
  bool running_ = false;
};

}  // namespace cosock
