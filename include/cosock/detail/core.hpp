// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What every awaitable of the library shares: the part of a loop that headers must see, the nodes of
// the cancellation tree, and the base of everything that can wait. Not for direct use.

#include <cosock/detail/config.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <utility>

namespace cosock::detail {

/// An error code that costs no header: the value and the address of its category. No category means
/// no error.
struct failure {
  failure() noexcept {}
  failure(int v, const void* c) noexcept : value(v), category(c) {}
  int value;
  const void* category = nullptr;
  explicit operator bool() const noexcept { return category != nullptr; }
};

COSOCK_API failure cancelled_failure() noexcept;
COSOCK_API bool is_cancelled(const failure&) noexcept;
[[noreturn]] COSOCK_API void raise(const failure&);

/// The failure carried by an exception that is a system_error; none for any other exception.
COSOCK_API failure failure_of(const std::exception_ptr&) noexcept;

/// The part of a loop that inlined code touches.
struct loop_state {
  /// The coroutine to run next. Coroutines hand over control by setting this and returning to the
  /// loop, never by calling each other without bound: compilers make tail calls only when they
  /// optimise, and sanitizers forbid them.
  std::coroutine_handle<> next;
  /// How deep tasks that start each other are nested on the stack right now.
  int depth = 0;
  /// How many more operations the running task may complete at once before it has to yield.
  int budget = 0;

  /// Takes the part of one operation that completes at once. False if the running task has none
  /// left: the operation yields first.
  bool take_turn() noexcept { return budget-- > 0; }
};

inline constexpr int max_depth = 32;

/// Anything that can be cancelled: an operation, a nested scope, a group of tasks.
class cancellable {
 public:
  /// Makes it end soon. Never resumes a coroutine itself: the loop does, later.
  virtual void cancel() noexcept = 0;

 protected:
  cancellable() = default;
  cancellable(const cancellable&&) = delete;
  cancellable& operator=(const cancellable&&) = delete;
  ~cancellable() = default;
};

/// A node of the cancellation tree. A chain of tasks that await each other waits for one thing at a
/// time, so one pointer is all that a scope needs to reach what is inside it.
struct cancel_node {
  loop_state* loop = nullptr;
  cancellable* pending = nullptr;
  bool cancelled = false;

  void cancel() noexcept {
    if (cancelled) return;
    cancelled = true;
    if (pending) pending->cancel();
  }
};

/// An element, or the head, of a circular intrusive list.
struct link {
  link() noexcept {}
  link* previous = nullptr;  // null: in no list, and the other pointer says nothing
  link* following;

  bool linked() const noexcept { return previous != nullptr; }
  void unlink() noexcept {
    if (!previous) return;
    previous->following = following;
    following->previous = previous;
    previous = nullptr;
  }
  /// Puts this element in front of `next`: at the end of the list when `next` is its head.
  void insert_before(link& next) noexcept {
    previous = next.previous;
    following = &next;
    next.previous->following = this;
    next.previous = this;
  }
};

/// Something that has to end before its loop does.
class loop_service : public link {
 public:
  /// The loop is being destroyed, its tasks have gone. No longer in the list of the loop.
  virtual void on_loop_shutdown() noexcept = 0;

 protected:
  loop_service() = default;
  loop_service(const loop_service&) = delete;
  loop_service& operator=(const loop_service&) = delete;
  ~loop_service() { unlink(); }
};

/// Where a message stands among others. Apart from it, because a class with friends and a destructor that
/// is protected makes compilers warn.
class loop_message_link {
  friend class loop_handle;
  friend class scheduler;
  class loop_message* next_message_ = nullptr;
};

/// Something that another thread tells a loop. It is a part of what it is about, so sending it allocates
/// nothing, and whoever sends it owns it, or sees to it that it lives until one of the two is called.
class loop_message : public loop_message_link {
 public:
  /// On the loop, once: acts. Not inside the call that sent it.
  virtual void deliver() = 0;
  /// Once, instead: the loop is gone. Acts on nothing, and releases.
  virtual void discard() noexcept = 0;

 protected:
  loop_message() = default;
  loop_message(const loop_message&) = delete;
  loop_message& operator=(const loop_message&) = delete;
  ~loop_message() = default;
};

/// How far an operation has come.
enum class step : bool {
  done,     ///< it has its result, or a failure
  pending,  ///< it waits: what awaits it is resumed later
};

/// Anything that waits for the loop: put into one of its queues, and fired when its turn has come.
class operation : public cancellable, public link {
 public:
  virtual void fire() = 0;

 protected:
  operation() = default;
  ~operation() = default;  // those derived unlink it, if it may be in a queue
};

/// An operation that a coroutine awaits.
class awaited_operation : public operation {
 protected:
  awaited_operation() noexcept {}
  ~awaited_operation() {
    if (scope_) [[unlikely]]
      detach_from_scope();
  }
  /// Destroyed while it waits: out of the queue it is in, and out of the scope.
  void detach_from_scope() noexcept {
    if (scope_->pending == this) scope_->pending = nullptr;
    unlink();
  }

  /// Comes first in start(). False, and `cancelled` as the failure, if the scope has been
  /// cancelled: what start() then returns is complete_or_yield().
  bool enter(std::coroutine_handle<> awaiting, cancel_node& parent) noexcept {
    awaiting_ = awaiting.address();
    scope_ = &parent;
    if (!parent.cancelled) [[likely]]
      return true;
    failure_ = cancelled_failure();
    return false;
  }
  /// For start(): has its result, or a failure, without a wait.
  step done() noexcept {
    scope_ = nullptr;
    return step::done;
  }
  /// The same; but where the running task has used up its turn, the others have theirs first.
  step complete_or_yield() noexcept {
    if (scope_->loop->take_turn()) [[likely]]
      return done();
    return yield();
  }
  /// For start(): is resumed in the next turn.
  COSOCK_API step yield() noexcept;
  void suspend() noexcept { scope_->pending = this; }
  void resume() noexcept {
    scope_->pending = nullptr;
    scope_->loop->next = std::coroutine_handle<>::from_address(awaiting_);
    scope_ = nullptr;
  }

  cancel_node* scope_ = nullptr;  // null: not started, or ended
  void* awaiting_;                // a coroutine_handle, which would be cleared first
  failure failure_;
};

/// What with_timeout, as_result and the others need of an operand: start(); result(), which returns
/// the value or throws; and fail(), which returns the error if there is one.
template <class A>
concept startable = requires(A& a, std::coroutine_handle<> h, cancel_node& s) {
  { a.start(h, s) } -> std::same_as<step>;
  { a.fail() } noexcept -> std::same_as<failure>;
  a.result();
};

/// Whether result() throws more than the code that fail() has returned: a text, a count, or an
/// exception of a task's.
template <class A>
bool has_details(const A& operand) noexcept {
  if constexpr (requires { operand.has_details(); })
    return operand.has_details();
  else
    return false;
}

/// A task, or an operation of the library.
template <class A>
concept awaitable =
    startable<std::remove_reference_t<A>> || requires { std::declval<A>().operator co_await(); };

/// False, in a way that only an instantiation finds out.
template <class...>
inline constexpr bool always_false = false;

/// For what is awaited: its result cannot be had without that. (The static_assert names the
/// mistake, where a missing conversion would name a type of the library.)
struct needs_co_await {
  template <class T>
    requires std::is_arithmetic_v<T>
  operator T() const {
    static_assert(always_false<T>, "an operation is not its result: co_await is missing");
    return T();
  }
};

/// The awaiter interface over start() and result().
template <class Derived>
struct awaiter_of : needs_co_await {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) {
    static_assert(
        requires { awaiting.promise().parent; },
        "cosock operations can be awaited in a cosock::task only");
    return static_cast<Derived*>(this)->start(awaiting, *awaiting.promise().parent) ==
           step::pending;
  }
  decltype(auto) await_resume() { return static_cast<Derived*>(this)->result(); }
};

/// The operand behind whatever `co_await` accepts: a task gives its awaiter, an operation itself.
template <class A>
decltype(auto) operand(A&& a) {
  if constexpr (requires { std::forward<A>(a).operator co_await(); }) {
    return std::forward<A>(a).operator co_await();
  } else {
    static_assert(
        startable<std::remove_reference_t<A>>,
        "this is neither a task nor an operation of cosock: an operation of Asio needs the "
        "token cosock::use_task (cosock/asio.hpp)");
    static_assert(!std::is_lvalue_reference_v<A>,
                  "a task, or an operation, is awaited once: give up the name with std::move");
    return std::forward<A>(a);
  }
}
template <class A>
using operand_t = std::remove_cvref_t<decltype(operand(std::declval<A>()))>;
template <class A>
using result_of = decltype(std::declval<operand_t<A>&>().result());

}  // namespace cosock::detail
