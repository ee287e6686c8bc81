// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/waiter.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <variant>

namespace cosock {

template <class T = void>
class promise;
template <class T = void>
class future;

namespace detail {

[[noreturn]] COSOCK_API void raise_promise_set();
COSOCK_API failure broken_promise_failure() noexcept;

/// The state that a promise, its future and a pending get() share: the one allocation of the three.
template <class T>
struct promised {
  static_assert(std::is_void_v<T> || std::is_object_v<T>, "a promise has a value, not a reference");
  using value_type = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  enum class stage : unsigned char { empty, result, broken, taken };

  std::optional<value_type> value;
  std::exception_ptr error;
  wait_list receiver;  // at most one
  stage now = stage::empty;
  bool wanted = true;  // the future exists

  void complete() noexcept {
    now = stage::result;
    receiver.complete_all();
  }
  void complete_broken() noexcept {
    now = stage::broken;
    if (!receiver.empty()) receiver.first().complete(broken_promise_failure());
  }
};

template <class T>
class COSOCK_AWAITABLE future_get_operation final : public awaiter_of<future_get_operation<T>>,
                                                    public waiter {
 public:
  explicit future_get_operation(std::shared_ptr<promised<T>> state) noexcept
      : state_(std::move(state)) {}
  future_get_operation(future_get_operation&& other) noexcept
      : waiter(), state_(std::move(other.state_)) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    if (!state_ || state_->now == stage::taken) return fail_closed();
    if (!state_->receiver.empty()) return fail_busy();
    if (state_->now == stage::broken) return fail_with(broken_promise_failure());
    if (state_->now == stage::result) return complete_or_yield();
    return wait_in(state_->receiver.end());
  }
  T result() {
    if (failure_) raise(failure_);
    state_->now = stage::taken;
    if (state_->error) std::rethrow_exception(std::move(state_->error));
    if constexpr (!std::is_void_v<T>) return std::move(*state_->value);
  }
  void describe_operation(wait_report& to) const override { to.operation("a future"); }
  failure fail() noexcept {
    return failure_ || !state_->error ? failure_ : failure_of(state_->error);
  }
  bool has_details() const noexcept { return !failure_ && state_->error != nullptr; }

 private:
  using stage = typename promised<T>::stage;
  std::shared_ptr<promised<T>> state_;  // the future may end after the result has come
};

}  // namespace detail

/// Makes a promise and its future.
template <class T = void>
[[nodiscard]] std::pair<promise<T>, future<T>> make_promise();

/// Sets the result for one future, once: a value of type T (no value for void) or an exception. Promise
/// and future are for tasks of one loop; for values from other threads use a mailbox. May be moved; a
/// promise that was moved from has no future. Only make_promise() allocates.
///
/// If the promise is destroyed without a result, future::get() throws `error::broken_promise`.
template <class T>
class promise {
 public:
  promise(promise&&) noexcept = default;
  promise& operator=(promise&& other) noexcept {
    if (this != &other) {
      abandon();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~promise() { abandon(); }

  /// Sets the value, and schedules the task that waits for it, which does not run inside the call.
  /// Returns false, and sets no value, if the future no longer exists. Throws std::logic_error if a
  /// result was set before, or if the promise was moved from.
  template <class... Arguments>
    requires std::constructible_from<typename detail::promised<T>::value_type, Arguments...>
  bool set_value(Arguments&&... arguments) {
    require_empty();
    if (!is_wanted()) return abandon(), false;
    state_->value.emplace(std::forward<Arguments>(arguments)...);
    state_->complete();
    return true;
  }
  /// Like set_value(), with an exception, which future::get() throws. `error` must not be null.
  bool set_exception(std::exception_ptr error) {
    require_empty();
    if (!is_wanted()) return abandon(), false;
    state_->error = std::move(error);
    state_->complete();
    return true;
  }

  /// Whether the future still exists. If not, the result need not be computed.
  [[nodiscard]] bool is_wanted() const noexcept { return state_ && state_->wanted; }

 private:
  friend std::pair<promise<T>, future<T>> make_promise<T>();
  explicit promise(std::shared_ptr<detail::promised<T>> state) noexcept
      : state_(std::move(state)) {}
  void require_empty() const {
    if (!state_ || state_->now != detail::promised<T>::stage::empty) detail::raise_promise_set();
  }
  void abandon() noexcept {
    if (is_wanted() && state_->now == detail::promised<T>::stage::empty) state_->complete_broken();
    state_.reset();
  }
  std::shared_ptr<detail::promised<T>> state_;
};

/// Waits for the result of a promise. May be moved, also while a task waits in get(). Belongs to the
/// loop on which it is used.
template <class T>
class [[nodiscard]] future {
 public:
  future(future&&) noexcept = default;
  future& operator=(future&& other) noexcept {
    if (this != &other) {
      abandon();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  /// A pending get() ends with `error::closed`.
  ~future() { abandon(); }

  /// Waits for the result, and takes it: returns the value, or throws the exception that was set.
  /// Errors: `error::broken_promise` if the promise was destroyed without a result; `error::busy` while
  /// another task waits; `error::closed` if the result was taken before, or the future is destroyed or
  /// was moved from. Cancelled: the result was not taken, and the next get() returns it.
  detail::future_get_operation<T> get() { return detail::future_get_operation<T>(state_); }
  /// Whether get() would complete without waiting.
  [[nodiscard]] bool is_ready() const noexcept {
    return state_ && state_->now != detail::promised<T>::stage::empty;
  }

 private:
  friend std::pair<promise<T>, future<T>> make_promise<T>();
  explicit future(std::shared_ptr<detail::promised<T>> state) noexcept : state_(std::move(state)) {}
  void abandon() noexcept {
    if (!state_) return;
    state_->wanted = false;
    state_->receiver.close_all();
    state_.reset();
  }
  std::shared_ptr<detail::promised<T>> state_;
};

// Implementation

template <class T>
std::pair<promise<T>, future<T>> make_promise() {
  auto state = std::make_shared<detail::promised<T>>();
  return {promise<T>(state), future<T>(state)};
}

}  // namespace cosock
