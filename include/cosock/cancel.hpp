// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/clock.hpp>

namespace cosock {

namespace detail {

/// A scope around an operand, with or without a deadline.
class COSOCK_API timeout_scope : public cancellable, public timer {
 public:
  void cancel() noexcept override { inner_.cancel(); }  // from outside
  void expire() noexcept override;
  void describe(wait_report&) const override;

 protected:
  timeout_scope() noexcept {}
  ~timeout_scope() { leave(); }

  void enter(cancel_node& outer) noexcept {
    outer_ = &outer;
    inner_.loop = outer.loop;
    outer.pending = this;  // before the operand runs: it may cancel the outer scope
    if (outer.cancelled || expired_) inner_.cancelled = true;
  }
  /// The operand has ended, or is destroyed.
  void leave() noexcept {
    if (!outer_) return;
    if (outer_->pending == this) outer_->pending = nullptr;
    if (yielding_) [[unlikely]]
      yielding_->cancel();
    // If the outer scope was cancelled too, that is the reason, and not this deadline.
    if (outer_->cancelled) expired_ = false;
    outer_ = nullptr;
    stop_timer();
  }
  /// For start(), if the operand has ended without a wait. If that is because the deadline had
  /// passed before it began, other tasks run now and then.
  step complete_or_yield(std::coroutine_handle<> awaiting) {
    return expired_ ? yield_in_scope(awaiting) : step::done;
  }
  failure translated(failure inner) const noexcept;
  /// For a catch block: rethrows the exception, `cancelled` as `timed_out` with the limit in its text.
  [[noreturn]] void rethrow(passed_limit) const;

  /// The result of the operand of `scope`, a class derived from this one.
  template <class Scope, class A>
  decltype(auto) result_of_operand(const Scope& scope, A& operand) {
    leave();
    if (!expired_) [[likely]]
      return operand.result();
    try {
      return operand.result();
    } catch (...) {
      rethrow(scope.own_limit());
    }
  }

  cancel_node inner_;
  cancel_node* outer_ = nullptr;
  bool expired_ = false;

 private:
  class yielding;
  [[noreturn]] static void rethrow_with_limit(const std::exception_ptr&, passed_limit);
  step yield_in_scope(std::coroutine_handle<> awaiting);
  cancellable* yielding_ = nullptr;
};

/// The awaitable that with_timeout and with_deadline return.
template <class A, bool Deadline>
class COSOCK_AWAITABLE timeout_awaiter final : public awaiter_of<timeout_awaiter<A, Deadline>>,
                                               public timeout_scope {
 public:
  template <class B>
  timeout_awaiter(std::int64_t ns, B&& operation)
      : ns_(ns), operand_(operand(std::forward<B>(operation))) {}
  timeout_awaiter(timeout_awaiter&& other) noexcept
      : timeout_scope(), ns_(other.ns_), operand_(std::move(other.operand_)) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    // An operation that ends at once needs no clock; a task may compute before it first waits.
    constexpr bool is_task = !std::derived_from<A, operation>;
    std::int64_t at = 0;
    if constexpr (Deadline) {
      at = ns_;
      const std::int64_t now = current_time(*outer.loop);
      expired_ = at <= now;
      ns_ = expired_ ? 0 : at - now;
    } else {
      if (is_task) at = later(current_time(*outer.loop), ns_);
      expired_ = ns_ <= 0;
    }
    enter(outer);
    if (operand_.start(awaiting, inner_) == step::done) return complete_or_yield(awaiting);
    if (expired_) return step::pending;
    if (!Deadline && !is_task) at = later(current_time(*outer.loop), ns_);
    start_timer(*outer.loop, at);
    return step::pending;
  }
  decltype(auto) result() { return result_of_operand(*this, operand_); }
  failure fail() noexcept {
    leave();
    return translated(operand_.fail());
  }
  bool has_details() const noexcept { return detail::has_details(operand_); }
  passed_limit limit() const noexcept {
    const passed_limit inner = limit_of(operand_);
    return inner || !expired_ ? inner : own_limit();
  }
  passed_limit own_limit() const noexcept {
    return Deadline ? passed_limit::of_deadline(ns_) : passed_limit::of_duration(ns_);
  }

 private:
  std::int64_t ns_;  // of the clock for a deadline, and since start() how far ahead it was
  A operand_;
};

/// A scope that keeps outer cancellations out, or delays them by a grace period.
class COSOCK_API shield_scope : public cancellable, public timer {
 public:
  void cancel() noexcept override;  // from outside
  void expire() noexcept override { inner_.cancel(); }
  void describe(wait_report& to) const override { to.scope(inner_); }

 protected:
  explicit shield_scope(std::int64_t grace) noexcept : grace_(grace) {}
  ~shield_scope() { leave(); }

  void enter(cancel_node& outer) noexcept {
    inner_.loop = outer.loop;
    outer_ = &outer;
    outer.pending = this;
    if (outer.cancelled) cancel();
  }
  void leave() noexcept {
    if (!outer_) return;
    if (outer_->pending == this) outer_->pending = nullptr;
    outer_ = nullptr;
    stop_timer();
  }
  cancel_node inner_;
  cancel_node* outer_ = nullptr;
  std::int64_t grace_;
};

/// The awaitable that shielded and with_grace return.
template <class A>
class COSOCK_AWAITABLE shield_awaiter final : public awaiter_of<shield_awaiter<A>>,
                                              public shield_scope {
 public:
  template <class B>
  shield_awaiter(std::int64_t grace, B&& operation)
      : shield_scope(grace), operand_(operand(std::forward<B>(operation))) {}
  shield_awaiter(shield_awaiter&& other) noexcept
      : shield_scope(other.grace_), operand_(std::move(other.operand_)) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    enter(outer);
    return operand_.start(awaiting, inner_);
  }
  decltype(auto) result() {
    leave();
    return operand_.result();
  }
  failure fail() noexcept {
    leave();
    return operand_.fail();
  }
  bool has_details() const noexcept { return detail::has_details(operand_); }
  passed_limit limit() const noexcept { return limit_of(operand_); }

 private:
  A operand_;
};

template <class A>
class scope_awaiter;

}  // namespace detail

/// Awaits `operation`, a task or an operation such as `socket.receive(buffer)`, for at most `limit`.
///
/// Returns the result of `operation`. Throws `error::timed_out`, with the limit in what(), if the limit
/// expires first: every operation inside, name resolution included, then ends with
/// `error::cancelled`. If the operation
/// completes before that takes effect, its result is returned. Other errors pass unchanged. A
/// cancellation from outside is thrown as `error::cancelled`, so it differs from an expired limit.
/// Limits nest: the nearest deadline wins.
///
/// Input that arrived before the limit is delivered before the limit expires, even if a task that
/// computes has delayed the loop. A limit of zero or less has passed already: an operation is not
/// attempted, and a task runs until its first wait, which fails. A limit of 292 years or more, or
/// infinity, never expires. Throws std::invalid_argument from the call, not from the await, for
/// NaN. The time counts from the `co_await`. Allocates no memory, and needs no system call for each
/// limit.
template <class Rep, class Period, class A>
auto with_timeout(std::chrono::duration<Rep, Period> limit, A&& operation) {
  return detail::timeout_awaiter<detail::operand_t<A>, false>(detail::to_ns(limit),
                                                              std::forward<A>(operation));
}

/// Like with_timeout, with a time point of cosock::clock instead of a duration: `cosock::now() + 5s`.
template <class Clock, class Duration, class A>
auto with_deadline(std::chrono::time_point<Clock, Duration> deadline, A&& operation) {
  return detail::timeout_awaiter<detail::operand_t<A>, true>(detail::deadline_ns(deadline),
                                                             std::forward<A>(operation));
}

/// Awaits `operation`, shielded from cancellation of the enclosing scopes, for cleanup that must
/// await, such as a farewell message. Returns its result. It needs a limit of its own:
/// `shielded(with_timeout(1s, goodbye()))`. Afterwards an enclosing scope that was cancelled is still
/// cancelled.
template <class A>
auto shielded(A&& operation) {
  return detail::shield_awaiter<detail::operand_t<A>>(INT64_MAX, std::forward<A>(operation));
}

/// Awaits `operation`, and delays cancellation of the enclosing scopes by `grace`, so that work in
/// progress can finish. Returns the result of `operation`. The time counts from the cancellation; zero
/// or less delays nothing. Throws std::invalid_argument from the call, not from the await, for NaN.
template <class Rep, class Period, class A>
auto with_grace(std::chrono::duration<Rep, Period> grace, A&& operation) {
  return detail::shield_awaiter<detail::operand_t<A>>(detail::to_ns(grace),
                                                      std::forward<A>(operation));
}

/// A region of work that can be cancelled from elsewhere on the same loop.
///
/// `co_await scope.run(work())` runs the work inside the scope. After cancel(), every operation
/// inside ends with `error::cancelled`, those that begin later too, until control leaves the scope.
/// Cancellation is permanent: after cancel(), every later run() is cancelled too. The object must
/// outlive the run(), holds one run() at a time, and belongs to one loop; from another thread,
/// cancel it through loop::post.
class COSOCK_API cancel_scope final : private detail::timeout_scope {
 public:
  cancel_scope() = default;
  ~cancel_scope() = default;

  /// Cancels the scope. Returns at once; the operations inside end later in this turn of the loop,
  /// or in the next one. Idempotent.
  void cancel() noexcept override { inner_.cancel(); }
  /// Whether the scope is cancelled: by cancel(), by its deadline, or by an enclosing scope.
  [[nodiscard]] bool is_cancelled() const noexcept { return inner_.cancelled; }
  /// Whether the deadline of this scope has passed while it ran.
  [[nodiscard]] bool timed_out() const noexcept { return expired_; }

  /// Sets the time, of cosock::clock, at which the scope cancels itself; also while it runs, to an earlier or a later
  /// time. `time_point::max()` removes the deadline, as clear_deadline() does. A deadline that has
  /// passed already takes effect at once. Throws std::invalid_argument for NaN.
  template <class Clock, class Duration>
  void set_deadline(std::chrono::time_point<Clock, Duration> deadline) {
    set_deadline_ns(detail::deadline_ns(deadline));
  }
  void clear_deadline() noexcept;

  /// Awaits `operation` inside the scope. Returns its result. Throws `error::timed_out` if the deadline
  /// ended it, and what() says how far ahead it was when it was set; `error::cancelled` if cancel() or
  /// an enclosing scope did; std::logic_error if the scope is running already.
  template <class A>
  auto run(A&& operation) {
    return detail::scope_awaiter<detail::operand_t<A>>(*this, std::forward<A>(operation));
  }

 private:
  template <class A>
  friend class detail::scope_awaiter;
  friend class detail::timeout_scope;
  void set_deadline_ns(std::int64_t deadline);
  void begin(detail::cancel_node& outer);
  void began(detail::cancel_node& outer);
  detail::passed_limit own_limit() const noexcept {
    return detail::passed_limit::of_deadline(ahead_);
  }
  std::int64_t deadline_ = INT64_MAX;
  std::int64_t ahead_ = 0;  // of the time at which it was set, in nanoseconds
};

template <class A>
class COSOCK_AWAITABLE detail::scope_awaiter : public awaiter_of<scope_awaiter<A>> {
 public:
  template <class B>
  scope_awaiter(cancel_scope& scope, B&& operation)
      : scope_(scope), operand_(operand(std::forward<B>(operation))) {}
  scope_awaiter(scope_awaiter&& other) noexcept
      : scope_(other.scope_), operand_(std::move(other.operand_)) {}
  ~scope_awaiter() {
    if (running_) scope_.leave();
  }

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    scope_.begin(outer);
    running_ = true;
    if (operand_.start(awaiting, scope_.inner_) == step::done)
      return scope_.complete_or_yield(awaiting);
    scope_.began(outer);
    return step::pending;
  }
  decltype(auto) result() {
    running_ = false;
    return scope_.result_of_operand(scope_, operand_);
  }
  failure fail() noexcept {
    running_ = false;
    scope_.leave();
    return scope_.translated(operand_.fail());
  }
  bool has_details() const noexcept { return detail::has_details(operand_); }
  passed_limit limit() const noexcept {
    const passed_limit inner = limit_of(operand_);
    return inner || !scope_.expired_ ? inner : scope_.own_limit();
  }

 private:
  cancel_scope& scope_;
  A operand_;
  bool running_ = false;
};

}  // namespace cosock
