// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/task.hpp>

namespace cosock {

namespace detail {

class group;
struct error_list;

/// The function of a child, with what it captured.
template <class F>
struct child_function {
  F of;
};

/// The coroutine around a task that runs beside others.
class branch {
 public:
  struct promise_type;
  struct sibling_link final : link {
    explicit sibling_link(promise_type& owner) noexcept : of(owner) {}
    promise_type& of;
  };
  struct promise_type final : promise_base, operation {
    group* in = nullptr;
    sibling_link sibling{*this};
    cancel_node own;
    const void* function = nullptr;  // for the checks of debug builds
    std::size_t function_size = 0;

    promise_type() noexcept {}
    template <class F, class... Args>
    explicit promise_type(child_function<F>& of, Args&...) noexcept
        : function(&of), function_size(sizeof of) {}
    ~promise_type() { unlink(); }
    branch get_return_object() noexcept {
      return branch(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    struct end_awaiter {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> ended) noexcept;
      void await_resume() const noexcept {}
    };
    end_awaiter final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void fire() override { own.loop->next = std::coroutine_handle<promise_type>::from_promise(*this); }
    void cancel() noexcept override {}
  };
  explicit branch(std::coroutine_handle<promise_type> of) noexcept : of_(of) {}
  branch(branch&& other) noexcept : of_(std::exchange(other.of_, {})) {}
  ~branch() {
    if (of_) of_.destroy();
  }
  std::coroutine_handle<promise_type> take() noexcept { return std::exchange(of_, {}); }

 private:
  std::coroutine_handle<promise_type> of_;
};

/// Branches that run side by side, and the coroutine that waits until all have ended.
class COSOCK_API group : public cancellable {
 public:
  void cancel() noexcept override;  // from outside
  void ended(std::coroutine_handle<branch::promise_type> which) noexcept;

 protected:
  group() noexcept;
  ~group();
  /// Before add(): what the branches belong to.
  void enter(std::coroutine_handle<> awaiting, cancel_node& outer) noexcept;
  void add(branch started);
  /// Runs the branch as far as it goes before anything else.
  void add_now(branch started);
  /// After add(): whether there is something to wait for.
  step wait() noexcept;
  void cancel_branches() noexcept;
  /// Destroys the branches that are left. First of all in the destructor of every derived class:
  /// the branches refer to its members.
  void leave() noexcept;
  /// Throws the error of the branches, or all of them as multiple_errors.
  void rethrow_errors();
  /// Whether an outer scope ended a branch.
  bool unwound() const noexcept { return unwound_ && outer_->cancelled; }
  /// The code of the error, as failure_of() would give it for what rethrow_errors() throws.
  failure error_code() const noexcept;
  bool has_errors() const noexcept { return first_error_ || errors_taken_; }

  /// Called when the last branch has ended while something waited for it.
  virtual void all_ended() noexcept {}

  std::size_t active_ = 0;
  bool first_end_cancels_ = false;
  bool cancelled_ = false;

 private:
  std::coroutine_handle<branch::promise_type> adopt(branch&) noexcept;
  void keep_error(const std::exception_ptr&) noexcept;
  cancel_node* outer_ = nullptr;
  loop_state* loop_ = nullptr;
  std::coroutine_handle<> awaiting_;
  link branches_;
  bool waiting_ = false;
  bool unwound_ = false;  // a branch ended because of a cancellation
  bool errors_taken_ = false;
  std::exception_ptr first_error_;     // needs no memory to be kept
  error_list* more_errors_ = nullptr;  // those after it
};

inline void branch::promise_type::end_awaiter::await_suspend(
    std::coroutine_handle<promise_type> ended) noexcept {
  ended.promise().in->ended(ended);
}

template <class F, class... Args>
branch run_branch(child_function<F> function, Args... arguments) {
  co_await std::move(function.of)(std::move(arguments)...);
}

}  // namespace detail
}  // namespace cosock
