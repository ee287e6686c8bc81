// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Limits, shields and cancel_scope: the code of <cosock/cancel.hpp> that is not a template. The
// awaitables there call it on the thread of their loop. A scope owns no operation; it only passes a
// cancellation on.

#include <cosock/cancel.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "core/text.hpp"

#include <stdexcept>

namespace cosock {

namespace detail {

/// Resumes the coroutine around an expired limit in the next turn. Without it a task that awaits
/// expired limits in a loop would starve the others. Deletes itself.
class timeout_scope::yielding final : public operation {
 public:
  yielding(std::coroutine_handle<> awaiting, timeout_scope& scope) noexcept
      : awaiting_(awaiting), timeout_(scope) {
    timeout_.yielding_ = this;
    scheduler::get(*timeout_.inner_.loop).yield(*this);
  }
  void fire() override {
    timeout_.inner_.loop->next = awaiting_;
    cancel();
  }
  /// Called by fire(), and by timeout_scope::leave() if the coroutine is destroyed before.
  void cancel() noexcept override {
    timeout_.yielding_ = nullptr;
    unlink();
    delete this;
  }

 private:
  std::coroutine_handle<> awaiting_;
  timeout_scope& timeout_;
};

step timeout_scope::yield_in_scope(std::coroutine_handle<> awaiting) {
  if (inner_.loop->take_turn()) return step::done;
  new yielding(awaiting, *this);
  return step::pending;
}

void timeout_scope::expire() noexcept {
  if (inner_.cancelled) return;  // for an earlier reason, so the error stays `cancelled`
  expired_ = true;
  inner_.cancel();
}

void timeout_scope::describe(wait_report& to) const {
  to.limit(is_running() ? timer_wheel::time_of(tick) : INT64_MAX);
  to.scope(inner_);
}

failure timeout_scope::translated(failure inner) const noexcept {
  return expired_ && is_cancelled(inner) ? own_failure(error::timed_out) : inner;
}

/// The exception is `timed_out`, and belongs to the caller alone. Its text ends with the message of the
/// code, unless its class has a text of its own.
void timeout_scope::rethrow_with_limit(const std::exception_ptr& error, passed_limit limit) {
  try {
    std::rethrow_exception(error);
  } catch (detailed_error& e) {
    std::string text = e.text_.what();
    if (const std::string message = e.code().message(); text.ends_with(message)) {
      text.replace(text.size() - message.size(), message.size(), text_of(limit));
      e.text_ = std::runtime_error(text);
    }
    throw;
  }
}

void timeout_scope::rethrow(passed_limit limit) const {
  try {
    throw;
  } catch (const multiple_errors&) {
    // Its code is that of the first error only; `timed_out` would hide the others.
    throw;
  } catch (const detailed_error& e) {
    if (e.code() != error::cancelled || !expired_) throw;
    rethrow_with_limit(e.with_code(error::timed_out), limit);
  } catch (const boost::system::system_error& e) {
    if (e.code() != error::cancelled || !expired_) throw;
    raise_as(own_failure(error::timed_out), text_of(limit));
  }
}

void shield_scope::cancel() noexcept {
  // INT64_MAX is shielded(): no cancellation from outside ever passes.
  if (grace_ <= 0)
    inner_.cancel();
  else if (grace_ != INT64_MAX && !is_running())
    start_timer(*inner_.loop, later(current_time(*inner_.loop), grace_));
}

}  // namespace detail

void cancel_scope::set_deadline_ns(std::int64_t deadline) {
  deadline_ = deadline;
  const std::int64_t now = outer_ ? detail::current_time(*outer_->loop) : detail::current_time();
  ahead_ = deadline > now ? deadline - now : 0;
  if (!outer_) return;
  stop_timer();
  if (deadline_ <= now)
    expire();
  else if (deadline_ != INT64_MAX)
    start_timer(*outer_->loop, deadline_);
}

void cancel_scope::clear_deadline() noexcept {
  deadline_ = INT64_MAX;
  stop_timer();
}

void cancel_scope::begin(detail::cancel_node& outer) {
  if (outer_) throw std::logic_error("cosock: a cancel_scope holds one run() at a time");
  // Before enter(), which cancels the inner scope if the deadline has expired.
  if (deadline_ != INT64_MAX && !inner_.cancelled && deadline_ <= detail::current_time(*outer.loop))
    expired_ = true;
  enter(outer);
}

/// After the work has begun, and only if it waits: work that ends at once needs no timer.
void cancel_scope::began(detail::cancel_node& outer) {
  if (deadline_ != INT64_MAX && !inner_.cancelled) start_timer(*outer.loop, deadline_);
}

}  // namespace cosock
