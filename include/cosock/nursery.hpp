// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/task_group.hpp>

namespace cosock {

namespace detail {
template <class Body>
class nursery_awaiter;
}

/// Runs child tasks concurrently. `with_nursery`, which makes it, returns after all of them have
/// ended.
///
/// The first error that leaves the body or a child cancels all the others, and is thrown from
/// `with_nursery` when they have ended. If others failed with errors of their own,
/// `multiple_errors` (error.hpp) is thrown and carries all of them. A nursery and its children
/// belong to one loop.
class COSOCK_API nursery : protected detail::task_group {
 public:
  /// Starts a child: `function(arguments...)`, which returns a task. The function and its arguments
  /// are moved or copied into the child, so a lambda may capture, and the arguments reach the
  /// function as rvalues. The child first runs when the caller next waits. In a nursery that has
  /// been cancelled it runs until its first wait, which fails.
  ///
  /// Variables that the function captures by reference must outlive the child: those declared
  /// outside with_nursery do, those of its body do not. A debug build of the library reports on
  /// standard error if a child outlives such a variable.
  template <class F, class... Args>
  void start(F&& function, Args&&... arguments) {
    static_assert(std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>,
                  "a child is started from a function and arguments it takes by value, rvalue or "
                  "const reference");
    static_assert(detail::awaitable<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>,
                  "a child is a function that returns cosock::task<>");
    add(detail::run_child<std::decay_t<F>, std::decay_t<Args>...>(
        {std::forward<F>(function)}, std::forward<Args>(arguments)...));
  }

  /// Cancels the body and every child, including children that are started later. `with_nursery`
  /// then returns normally, unless there is an error to throw. Idempotent.
  void cancel() noexcept override { task_group::cancel(); }
  /// Whether cancel(), an error, or an enclosing scope has cancelled the nursery.
  [[nodiscard]] bool is_cancelled() const noexcept { return cancelled_; }

  /// The number of tasks that have not ended: the children and the body.
  [[nodiscard]] std::size_t active() const noexcept { return active_; }

 protected:
  nursery() = default;
  ~nursery() = default;
};

template <class Body>
class COSOCK_AWAITABLE detail::nursery_awaiter final : public awaiter_of<nursery_awaiter<Body>>,
                                                       public nursery {
 public:
  explicit nursery_awaiter(Body body) : body_(std::move(body)) {}
  nursery_awaiter(nursery_awaiter&& other) noexcept : nursery(), body_(std::move(other.body_)) {}

  ~nursery_awaiter() { leave(); }

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    enter(awaiting, outer);
    add_now(run_body(*this));
    return wait();
  }
  void result() {
    rethrow_errors();
    if (is_cancelled_from_outside()) raise(cancelled_failure());
  }
  failure fail() noexcept {
    return has_errors()                  ? error_code()
           : is_cancelled_from_outside() ? cancelled_failure()
                                         : failure{0, nullptr};
  }
  bool has_details() const noexcept { return has_errors(); }

 private:
  static child_coroutine run_body(nursery_awaiter& self) {
    co_await self.body_(static_cast<nursery&>(self));
  }
  Body body_;
};

/// Opens a nursery, runs `body(nursery&)` in it, which returns `task<>`, and returns after the body
/// and every child have ended. A child cannot be detached.
///
/// Throws the first error, after all have ended. On cancellation from outside it cancels the body
/// and the children, waits for them, and throws `error::cancelled`, unless all of them completed.
/// The body may be a lambda that captures by reference; it is kept until the end. Store a lambda
/// that captures by value in a named variable first (GCC 12 destroys such a temporary of a
/// `co_await` twice).
template <class Body>
auto with_nursery(Body&& body) {
  static_assert(std::is_invocable_r_v<task<>, std::decay_t<Body>&, nursery&>,
                "the body of a nursery takes cosock::nursery& and returns cosock::task<>");
  return detail::nursery_awaiter<std::decay_t<Body>>(std::forward<Body>(body));
}

}  // namespace cosock
