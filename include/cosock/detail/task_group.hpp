// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Tasks that run side by side: the base of nursery, when_all and when_any, and of the root of a
// loop. The code is in lib/core/task_group.cpp.

#include <cosock/task.hpp>

namespace cosock {

namespace detail {

class task_group;
struct error_list;

/// The function of a child, with its captures. A type of its own, so that the promise can find it
/// among the parameters of the coroutine.
template <class F>
struct child_function {
  F function;
};

/// The coroutine around a task that runs beside others. Owns the frame until a group takes it.
class child_coroutine {
 public:
  struct promise_type;
  /// The place among the children. Apart from `operation`, which is a link too: a child can be in
  /// the ready queue and among its siblings at the same time.
  struct sibling_link : link {};
  /// Starts the child. It is in the ready queue once, when it is added; later its operations are.
  struct starting final : operation, sibling_link {
    explicit starting(promise_type& owner) noexcept : promise(owner) {}
    ~starting() { operation::unlink(); }
    void fire() override;
    void cancel() noexcept override {}  // the group cancels `own`
    sibling_link& sibling() noexcept { return *this; }
    promise_type& promise;
  };
  // promise_base comes first, as in the promise of a task: a dump finds it in every coroutine.
  struct promise_type final : promise_base {
    task_group* owner = nullptr;
    starting start{*this};
    cancel_node own;
    const void* function = nullptr;  // for the checks of debug builds
    std::size_t function_size = 0;

    promise_type() noexcept {}
    template <class F, class... Args>
    explicit promise_type(child_function<F>& child, Args&...) noexcept
        : function(&child), function_size(sizeof child) {}
    child_coroutine get_return_object() noexcept {
      return child_coroutine(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    struct end_awaiter {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> ended) noexcept;
      void await_resume() const noexcept {}
    };
    end_awaiter final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
  };
  explicit child_coroutine(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  child_coroutine(child_coroutine&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  ~child_coroutine() {
    if (handle_) handle_.destroy();
  }
  std::coroutine_handle<promise_type> take() noexcept { return std::exchange(handle_, {}); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

/// Children that run side by side, and the coroutine that waits until all have ended. It owns the
/// children. In the outer scope it is the one pending object; each child has a scope of its own.
class COSOCK_API task_group : public cancellable {
 public:
  void cancel() noexcept override;  // from outside
  void describe(wait_report&) const override;
  void on_child_done(std::coroutine_handle<child_coroutine::promise_type> child) noexcept;

 protected:
  task_group() noexcept;
  ~task_group();
  /// Before add(): sets the scope and the coroutine to which the children belong.
  void enter(std::coroutine_handle<> awaiting, cancel_node& outer) noexcept;
  /// Adds a child, which the loop starts later.
  void add(child_coroutine started);
  /// Adds a child, and runs it until it first waits. If tasks are nested too deep, like add().
  void add_now(child_coroutine started);
  /// After add(): pending, unless all children have ended.
  step wait() noexcept;
  void cancel_children() noexcept;
  /// Destroys the children that are left. The destructor of every derived class calls it first: the
  /// children refer to members of that class, which are destroyed before ~task_group.
  void leave() noexcept;
  /// Throws the error of the children; several errors as multiple_errors.
  void rethrow_errors();
  /// Whether an outer scope ended a child.
  bool is_cancelled_from_outside() const noexcept { return child_cancelled_ && outer_->cancelled; }
  /// The code that failure_of() would return for the exception that rethrow_errors() throws.
  failure error_code() const noexcept;
  bool has_errors() const noexcept { return first_error_ || errors_taken_; }

  /// Called when the last child has ended after wait() was pending. May destroy the group.
  virtual void on_all_done() noexcept {}

  std::size_t active_ = 0;
  bool first_end_cancels_ = false;
  bool cancelled_ = false;

 private:
  std::coroutine_handle<child_coroutine::promise_type> adopt(child_coroutine&) noexcept;
  void keep_error(const std::exception_ptr&) noexcept;
  cancel_node* outer_ = nullptr;
  loop_state* loop_ = nullptr;
  std::coroutine_handle<> awaiting_;
  link children_;
  bool waiting_ = false;
  bool child_cancelled_ = false;  // a child ended because of a cancellation
  bool errors_taken_ = false;
  std::exception_ptr first_error_;     // apart from the list: keeping it cannot fail
  error_list* more_errors_ = nullptr;  // the later errors; null if there are no such errors
};

inline void child_coroutine::starting::fire() {
  promise.own.loop->next = std::coroutine_handle<promise_type>::from_promise(promise);
}

inline void child_coroutine::promise_type::end_awaiter::await_suspend(
    std::coroutine_handle<promise_type> ended) noexcept {
  ended.promise().owner->on_child_done(ended);
}

/// By value: the function and its arguments live in the frame of the child, as long as the task
/// does.
template <class F, class... Args>
child_coroutine run_child(child_function<F> function, Args... arguments) {
  co_await std::move(function.function)(std::move(arguments)...);
}

}  // namespace detail
}  // namespace cosock
