// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

#include <new>

namespace cosock {

template <class T = void>
class task;

namespace detail {

COSOCK_API void* allocate_frame(std::size_t size);
COSOCK_API void release_frame(void* frame, std::size_t size) noexcept;
[[noreturn]] COSOCK_API void raise_empty_task();

template <class T>
struct promise;

/// An awaitable of the program, which any coroutine may await.
template <class A>
concept external_awaitable = requires(A a, std::coroutine_handle<promise<void>> h) {
  a.await_suspend(h);
} || requires(A a) { operator co_await(std::forward<A>(a)); };

/// Awaits an operation where it stands: GCC 12 would copy one that it is given a reference to.
template <class A>
struct await_in_place {
  A& operation;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) {
    return operation.start(awaiting, *awaiting.promise().parent) == step::pending;
  }
  decltype(auto) await_resume() { return operation.result(); }
};

/// The part of the frame that all coroutines of the library have.
struct promise_base {
  std::coroutine_handle<> continuation;
  cancel_node* parent = nullptr;
  bool nested = false;  // started by, and still on the stack above, its continuation
  std::exception_ptr error;
  std::source_location where;  // of the co_await at which it waits, or waited last

  struct final_awaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> ended) noexcept {
      promise_base& promise = ended.promise();
      if (promise.nested)
        promise.nested = false;
      else
        promise.parent->loop->next = promise.continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  final_awaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }

  /// Keeps the place of the co_await, and says what is wrong with what cannot be awaited.
  template <class A>
  decltype(auto) await_transform(A&& awaited,
                                 std::source_location here = std::source_location::current()) {
    where = here;
    if constexpr (startable<std::remove_reference_t<A>>) {
      static_assert(!std::is_lvalue_reference_v<A>,
                    "an operation is awaited once: co_await std::move(it)");
      return await_in_place<std::remove_reference_t<A>>{awaited};
    } else if constexpr (requires { std::forward<A>(awaited).operator co_await(); }) {
      return std::forward<A>(awaited).operator co_await();
    } else if constexpr (external_awaitable<A>) {
      return static_cast<A&&>(awaited);
    } else {
      static_assert(
          always_false<A>,
          "this cannot be awaited in a cosock::task: an operation of Asio needs the token "
          "cosock::use_task (cosock/asio.hpp)");
      return std::suspend_never{};
    }
  }

  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* frame, std::size_t size) { release_frame(frame, size); }
};

template <class T>
struct promise : promise_base {
  static_assert(
      std::is_void_v<T> || std::is_reference_v<T> ||
          alignof(std::conditional_t < std::is_void_v<T> || std::is_reference_v<T>, int, T >) <=
              __STDCPP_DEFAULT_NEW_ALIGNMENT__,
      "the result of a task is stored in memory of operator new, whose alignment is too small for "
      "this type");
  union {
    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T> value;
  };
  bool filled = false;

  promise() noexcept {}
  ~promise() {
    if constexpr (!std::is_trivially_destructible_v<decltype(value)>)
      if (filled) destroy(value);
  }
  task<T> get_return_object() noexcept;
  /// Named by co_return as an rvalue, though the result is a reference that outlives the coroutine.
  template <class U>
  static constexpr bool is_lost =
      std::is_lvalue_reference_v<T> && !std::is_reference_v<U> && std::convertible_to<U&, T>;
  template <class U = T>
    requires(std::convertible_to<U &&, T> || is_lost<U>)
  void return_value(U&& from) {
    static_assert(!std::is_lvalue_reference_v<T> || std::is_lvalue_reference_v<U>,
                  "co_return of a reference to what ends with the coroutine: a local variable, an "
                  "argument passed by value, or a temporary");
    if constexpr (std::is_reference_v<T>)
      value = __builtin_addressof(from);
    else
      ::new (static_cast<void*>(__builtin_addressof(value))) T(std::forward<U>(from));
    filled = true;
  }
  template <class U>
  static void destroy(U& u) noexcept {
    u.~U();
  }
  T take() {
    if constexpr (std::is_reference_v<T>)
      return static_cast<T>(*value);
    else
      return std::move(value);
  }
};

template <>
struct promise<void> : promise_base {
  task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
};

/// Starts a coroutine from `awaiting`.
inline step start_nested(std::coroutine_handle<> started, promise_base& promise,
                         std::coroutine_handle<> awaiting, cancel_node& parent) {
  loop_state& loop = *parent.loop;
  promise.continuation = awaiting;
  promise.parent = &parent;
  if (loop.depth >= max_depth) {
    loop.next = started;
    return step::pending;
  }
  promise.nested = true;
  ++loop.depth;
  started.resume();
  --loop.depth;
  return std::exchange(promise.nested, false) ? step::pending : step::done;
}

template <class T>
class task_awaiter : public awaiter_of<task_awaiter<T>> {
 public:
  using handle = std::coroutine_handle<promise<T>>;
  explicit task_awaiter(handle coroutine) noexcept : handle_(coroutine) {}
  task_awaiter(task_awaiter&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  ~task_awaiter() {
    if (handle_) handle_.destroy();
  }

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!handle_) raise_empty_task();
    return start_nested(handle_, handle_.promise(), awaiting, parent);
  }
  T result() {
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    return handle_.promise().take();
  }
  failure fail() noexcept { return failure_of(handle_.promise().error); }
  bool has_details() const noexcept { return handle_.promise().error != nullptr; }

 private:
  handle handle_;
};

}  // namespace detail

/// A lazy coroutine and its result. It starts when it is awaited, and runs on the loop and inside
/// the cancellation scope of the awaiting task.
///
/// A task is awaited once, as an rvalue: `co_await work()` or `co_await std::move(kept)`. Awaiting
/// returns the result of the coroutine, or rethrows its exception. If a task is destroyed before it
/// is awaited, its coroutine never runs. If it is destroyed while it waits, the coroutine ends at
/// that point, and its local variables are destroyed.
///
/// Arguments passed by value live as long as the task; those passed by reference or view must
/// outlive the `co_await`. The memory of the frame is kept for later frames of the thread on which
/// the task ends.
template <class T>
class [[nodiscard("a task does nothing until it is awaited: is co_await missing?")]] task
    : public detail::needs_co_await {
 public:
  /// For the compiler.
  using promise_type = detail::promise<T>;
  /// The type of the result.
  using value_type = T;

  task(task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  task& operator=(task&& other) noexcept {
    task(std::move(other)).swap(*this);
    return *this;
  }
  ~task() {
    if (handle_) handle_.destroy();
  }
  /// Exchanges the coroutines of the two tasks.
  void swap(task& other) noexcept { std::swap(handle_, other.handle_); }

  /// Starts the coroutine and waits for its result. Throws std::logic_error for a task that was
  /// awaited or moved from before.
  detail::task_awaiter<T> operator co_await() && noexcept {
    return detail::task_awaiter<T>(std::exchange(handle_, {}));
  }
  /// Compile-time error: a task is awaited once, as an rvalue (`std::move`).
  template <class U = T>
  detail::task_awaiter<U> operator co_await() & {
    static_assert(detail::always_false<U>,
                  "a task is awaited once: co_await std::move(it), which leaves it empty");
    return std::move(*this).operator co_await();
  }

 private:
  friend promise_type;
  explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : handle_(coroutine) {}
  std::coroutine_handle<promise_type> handle_;
};

template <class T>
task<T> detail::promise<T>::get_return_object() noexcept {
  return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}

inline task<void> detail::promise<void>::get_return_object() noexcept {
  return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}

}  // namespace cosock
