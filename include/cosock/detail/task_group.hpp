// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/task.hpp>

namespace cosock {

namespace detail {

class task_group;
struct error_list;

/// The function of a child, with what it captured.
template <class F>
struct child_function {
  F function;
};

/// The coroutine around a task that runs beside others.
class child_coroutine {
 public:
  struct promise_type;
  struct sibling_link final : link {
    explicit sibling_link(promise_type& owner) noexcept : promise(owner) {}
    promise_type& promise;
  };
  struct promise_type final : promise_base, operation {
    task_group* owner = nullptr;
    sibling_link sibling{*this};
    cancel_node own;
    const void* function = nullptr;  // for the checks of debug builds
    std::size_t function_size = 0;

    promise_type() noexcept {}
    template <class F, class... Args>
    explicit promise_type(child_function<F>& child, Args&...) noexcept
        : function(&child), function_size(sizeof child) {}
    ~promise_type() { unlink(); }
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
    void fire() override {
      own.loop->next = std::coroutine_handle<promise_type>::from_promise(*this);
    }
    void cancel() noexcept override {}
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

/// Children that run side by side, and the coroutine that waits until all have ended.
class COSOCK_API task_group : public cancellable {
 public:
  void cancel() noexcept override;  // from outside
  void on_child_done(std::coroutine_handle<child_coroutine::promise_type> child) noexcept;

 protected:
  task_group() noexcept;
  ~task_group();
  /// Before add(): what the children belong to.
  void enter(std::coroutine_handle<> awaiting, cancel_node& outer) noexcept;
  void add(child_coroutine started);
  /// Runs the child as far as it goes before anything else.
  void add_now(child_coroutine started);
  /// After add(): whether there is something to wait for.
  step wait() noexcept;
  void cancel_children() noexcept;
  /// Destroys the children that are left. First of all in the destructor of every derived class:
  /// the children refer to its members.
  void leave() noexcept;
  /// Throws the error of the children, or all of them as multiple_errors.
  void rethrow_errors();
  /// Whether an outer scope ended a child.
  bool is_cancelled_from_outside() const noexcept { return child_cancelled_ && outer_->cancelled; }
  /// The code of the error, as failure_of() would give it for what rethrow_errors() throws.
  failure error_code() const noexcept;
  bool has_errors() const noexcept { return first_error_ || errors_taken_; }

  /// Called when the last child has ended while something waited for it.
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
  std::exception_ptr first_error_;     // needs no memory to be kept
  error_list* more_errors_ = nullptr;  // those after it
};

inline void child_coroutine::promise_type::end_awaiter::await_suspend(
    std::coroutine_handle<promise_type> ended) noexcept {
  ended.promise().owner->on_child_done(ended);
}

template <class F, class... Args>
child_coroutine run_child(child_function<F> function, Args... arguments) {
  co_await std::move(function.function)(std::move(arguments)...);
}

}  // namespace detail
}  // namespace cosock
