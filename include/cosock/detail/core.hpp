// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The common part of all awaitables of the library: the part of a loop that headers must see, the
// nodes of the cancellation tree, and the base of everything that can wait. It owns nothing: an
// operation is a member of the frame that awaits it, and the other objects refer to it. Not for
// direct use.

#include <cosock/detail/config.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

namespace cosock::detail {

/// An error code that costs no header: the value and the address of its category. No category means
/// no error.
struct failure {
  failure() noexcept {}  // leaves `value` unset: an operation has a failure, and most do not use it
  failure(int v, const void* c) noexcept : value(v), category(c) {}
  int value;
  const void* category = nullptr;
  explicit operator bool() const noexcept { return category != nullptr; }
};

COSOCK_API failure cancelled_failure() noexcept;
COSOCK_API bool is_cancelled(const failure&) noexcept;
[[noreturn]] COSOCK_API void raise(const failure&);

/// The failure with the code of a system_error; an empty failure for any other exception.
COSOCK_API failure failure_of(const std::exception_ptr&) noexcept;

/// The part of a loop that inlined code touches.
struct loop_state {
  /// The coroutine to run next. Coroutines hand over control by setting this and returning to the
  /// loop, never by calling each other without bound: compilers make tail calls only when they
  /// optimize, and sanitizers forbid them.
  std::coroutine_handle<> next;
  /// How deep tasks that start each other are nested on the stack right now.
  int depth = 0;
  /// The turn budget: how many operations the running task may still complete at once before it has
  /// to yield. May be negative: bytes count too, and are counted after they have been moved.
  int budget = 0;
  /// Operations that wait for what other threads or signals bring, apart from descriptors. A loop with
  /// virtual time reads it: it must not let time pass in place of them.
  int outside_waits = 0;
  /// When this turn began, in units of the reactor: how long an operation has waited. See
  /// reactor::age().
  std::uint64_t stamp = 0;
  /// How many operations have ended: see loop_counters.
  std::uint64_t completed_at_once = 0;
  std::uint64_t completed_after_wait = 0;

  /// Takes the share of one operation that completes at once, and counts it. False if the budget is
  /// used up: the operation yields first.
  bool take_turn() noexcept {
    if (budget-- <= 0) return false;
    ++completed_at_once;
    return true;
  }
  /// After take_turn(): the operation has to wait nevertheless.
  void has_to_wait() noexcept { --completed_at_once; }
};

/// Nested starts of tasks before the loop resumes the next one instead, which bounds the stack.
inline constexpr int max_depth = 32;

struct cancel_node;

/// Receives what a task waits for, from the outside to the inside.
class wait_report {
 public:
  /// The program's name of what follows.
  virtual void name(const char* text, std::size_t size) = 0;
  /// A time limit around what follows; INT64_MAX: none.
  virtual void limit(std::int64_t at) = 0;
  /// The coroutine that awaits the operation, or the group, that follows.
  virtual void awaited_by(const void* coroutine) = 0;
  /// The time at which it began to wait, see loop_state::stamp.
  virtual void since(std::uint64_t stamp) = 0;
  /// The operation that waits.
  virtual void operation(const char* name) = 0;
  /// More about it: the descriptor that it reads from or writes to, which is known to be a TCP socket or
  /// not; or words.
  virtual void descriptor(int fd, bool reads, bool is_tcp) = 0;
  virtual void detail(const char* text, std::size_t size) = 0;
  /// A number and what it counts: 3 "ahead".
  virtual void count(std::size_t number, const char* what) = 0;
  /// A place in the program; `what` happened there.
  virtual void place(const char* what, const std::source_location&) = 0;
  /// One of the tasks that run side by side, and are waited for; what it waits for is told in the same
  /// way.
  virtual void child(const cancel_node&) = 0;
  /// What a scope waits for.
  void scope(const cancel_node&);

 protected:
  ~wait_report() = default;
};

/// Anything that can be cancelled: an operation, a nested scope, a group of tasks.
class cancellable {
 public:
  /// Makes it end soon. Never resumes a coroutine itself: the loop does, later.
  virtual void cancel() noexcept = 0;
  /// Tells what it waits for. It waits.
  virtual void describe(wait_report&) const = 0;

 protected:
  cancellable() = default;
  cancellable(const cancellable&&) = delete;
  cancellable& operator=(const cancellable&&) = delete;
  ~cancellable() = default;
};

/// A node of the cancellation tree. A chain of tasks that await each other waits for one thing at a
/// time, so a scope needs only one pointer: to an operation, a nested scope, or a group of tasks.
/// The object that sets `pending` clears it when it ends or is destroyed.
struct cancel_node {
  loop_state* loop = nullptr;
  cancellable* pending = nullptr;
  bool cancelled = false;  // stays set: later operations in the scope fail in enter()

  void cancel() noexcept {
    if (cancelled) return;
    cancelled = true;  // first, so that whatever pending->cancel() causes finds the scope cancelled
    if (pending) pending->cancel();
  }
};

inline void wait_report::scope(const cancel_node& inner) {
  if (inner.pending) inner.pending->describe(*this);
}

/// An element, or the head, of a circular intrusive list. Intrusive, so that queuing needs no
/// memory and cannot fail; circular, so that an element unlinks itself without the list.
struct link {
  constexpr link() noexcept {}
  link* previous = nullptr;  // null: in no list, and `following` is not set
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

/// The number of elements behind the head of a list.
inline std::size_t length(const link& head) noexcept {
  std::size_t all = 0;
  for (const link* l = head.following; l != &head; l = l->following) ++all;
  return all;
}

/// An object that has to end before its loop does, such as an open socket. The loop does not own
/// it.
class loop_service : public link {
 public:
  /// Called when the loop is destroyed, after its tasks. The service is unlinked already.
  virtual void on_loop_shutdown() noexcept = 0;

 protected:
  loop_service() = default;
  loop_service(const loop_service&) = delete;
  loop_service& operator=(const loop_service&) = delete;
  ~loop_service() { unlink(); }
};

/// The place of a message in the queue of a loop. A class of its own, because compilers warn of a
/// class that has both friends and a protected destructor.
class loop_message_link {
  friend class loop_handle;
  friend class scheduler;
  class loop_message* next_message_ = nullptr;
};

/// A message from another thread to a loop. It is a part of the object that it is about, so sending
/// it allocates nothing. The sender makes sure that it lives until deliver() or discard() is
/// called.
class loop_message : public loop_message_link {
 public:
  /// Called once, on the loop, never inside the call that sent the message.
  virtual void deliver() = 0;
  /// Called once, instead of deliver(), if the loop is gone. Only releases the message.
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
  pending,  ///< it waits: the coroutine that awaits it is resumed later
};

/// Anything that waits for the loop. It is put into a queue of the loop, which calls fire() in its
/// turn.
class operation : public cancellable, public link {
 public:
  virtual void fire() = 0;
  void describe(wait_report& to) const override { to.operation("its turn"); }

 protected:
  operation() = default;
  ~operation() = default;  // a derived class unlinks it, if it may be in a queue
};

/// An operation that a coroutine awaits.
class awaited_operation : public operation {
 public:
  void describe(wait_report& to) const override {
    to.awaited_by(awaiting_);
    to.since(begun_);
    describe_operation(to);
  }

 protected:
  /// Tells its name, and what it knows about its wait.
  virtual void describe_operation(wait_report& to) const { to.operation("its turn"); }
  awaited_operation() noexcept {}
  ~awaited_operation() {
    // Unlikely: an operation that has ended has no scope.
    if (scope_) [[unlikely]]
      detach_from_scope();
  }
  /// Destroyed while it waits: leaves its queue and the scope. (It is not the pending object if
  /// start() threw before suspend().)
  void detach_from_scope() noexcept {
    if (scope_->pending == this) scope_->pending = nullptr;
    unlink();
  }

  /// The first call in start(). False, with `cancelled` as the failure, if the scope is cancelled:
  /// start() then returns complete_or_yield().
  bool enter(std::coroutine_handle<> awaiting, cancel_node& parent) noexcept {
    awaiting_ = awaiting.address();
    scope_ = &parent;
    if (!parent.cancelled) [[likely]]
      return true;
    failure_ = cancelled_failure();
    return false;
  }
  /// For start(): the operation has ended without waiting, with a result or a failure.
  step done() noexcept {
    scope_ = nullptr;
    return step::done;
  }
  /// Like done(), but yields to the other tasks if the budget is used up.
  step complete_or_yield() noexcept {
    if (scope_->loop->take_turn()) [[likely]]
      return done();
    return yield();
  }
  /// For start(): ends the operation in the next turn, by fire().
  COSOCK_API step yield() noexcept;
  /// From now on a cancellation of the scope calls cancel().
  void suspend() noexcept {
    scope_->pending = this;
    begun_ = scope_->loop->stamp;
  }
  /// For fire(): ends the operation. Does not resume the coroutine itself: the loop does that after
  /// fire() has returned, because the coroutine may destroy this operation.
  void resume() noexcept {
    scope_->pending = nullptr;
    loop_state& loop = *scope_->loop;
    loop.next = std::coroutine_handle<>::from_address(awaiting_);
    ++loop.completed_after_wait;
    scope_ = nullptr;
  }

  cancel_node* scope_ = nullptr;  // null: not started, or ended
  void* awaiting_;                // not a coroutine_handle, whose constructor would clear it
  std::uint64_t begun_;           // set when it waits
  failure failure_;
};

/// The interface that with_timeout, as_result and the other wrappers need: start(); result(), which
/// returns the value or throws; and fail(), which returns the error without throwing.
template <class A>
concept startable = requires(A& a, std::coroutine_handle<> h, cancel_node& s) {
  { a.start(h, s) } -> std::same_as<step>;
  { a.fail() } noexcept -> std::same_as<failure>;
  a.result();
};

/// Whether result() throws more than the code that fail() returns: a text, a count, or an exception
/// of a task.
template <class A>
bool has_details(const A& operand) noexcept {
  if constexpr (requires { operand.has_details(); })
    return operand.has_details();
  else
    return false;
}

/// The limit that ended an operation, for the text of the error; empty if none did. One number, so
/// that the error of as_result stays small.
class passed_limit {
 public:
  constexpr passed_limit() noexcept = default;
  /// A limit of so many nanoseconds, which are not INT64_MAX: that limit never passes.
  static constexpr passed_limit of_duration(std::int64_t ns) noexcept {
    return passed_limit(ns > 0 ? ns + 1 : 1);
  }
  /// A deadline that was so many nanoseconds ahead when it was set.
  static constexpr passed_limit of_deadline(std::int64_t ns) noexcept {
    return passed_limit(ns > 0 ? -ns - 1 : -1);
  }
  constexpr explicit operator bool() const noexcept { return code_ != 0; }
  constexpr bool is_deadline() const noexcept { return code_ < 0; }
  constexpr std::int64_t ns() const noexcept { return (code_ < 0 ? -code_ : code_) - 1; }

 private:
  constexpr explicit passed_limit(std::int64_t code) noexcept : code_(code) {}
  std::int64_t code_ = 0;
};

/// The limit because of which fail() has returned `timed_out`: the innermost one.
template <class A>
passed_limit limit_of(const A& operand) noexcept {
  if constexpr (requires { operand.limit(); })
    return operand.limit();
  else
    return {};
}

/// A task, or an operation of the library.
template <class A>
concept awaitable =
    startable<std::remove_reference_t<A>> || requires { std::declval<A>().operator co_await(); };

/// False. It depends on template parameters, so a static_assert with it fails in an instantiation
/// only.
template <class...>
inline constexpr bool always_false = false;

/// Base of awaitables: a conversion to a number is a compile-time error. (Without this class the
/// message of the compiler would name a type of the library, not the mistake.)
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

/// The operand of a wrapper: the awaiter of a task, or the operation itself.
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
