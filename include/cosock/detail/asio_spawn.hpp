// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The parts of spawn() (asio.hpp): a task that Asio's code starts on a loop, and the call of its
// handler on the handler's own executor. The code is in lib/asio/asio.cpp.

#include <cosock/detail/asio_loop_executor.hpp>
#include <cosock/serve.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <optional>
#include <tuple>

namespace cosock::detail {

class embedded_loop;
struct spawn_cancellation;

/// A task that code of Asio has started. It owns itself, the task, and the handler that waits for
/// it; complete() destroys it.
class COSOCK_API spawned {
 public:
  spawned(const spawned&) = delete;
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* p, std::size_t size) { release_frame(p, size); }

  /// To be called first, on any thread: finds or makes the loop for this executor.
  void attach_loop(const asio::any_io_executor& executor);
  /// Then, if the handler has a cancellation slot. The link may be used from any thread, and may
  /// outlive the task.
  std::shared_ptr<spawn_cancellation> make_link();
  /// Then: starts the task soon, on its loop, and passes the ownership to it.
  static void launch(std::unique_ptr<spawned>);

 protected:
  spawned() = default;
  virtual ~spawned();
  friend struct std::default_delete<spawned>;

  virtual child_coroutine make() = 0;
  /// Hands over the result, and destroys this.
  virtual void complete(std::exception_ptr error) = 0;
  /// In the destructor of a derived class: destroys the frame, which refers to members of that
  /// class.
  void finish() noexcept { root_.reset(); }

 private:
  friend class embedded_loop;
  friend struct spawn_cancellation;
  struct task_root final : root {
    task_root(loop_state& loop, spawned& owner) noexcept : root(loop), owner_(owner) {}
    ~task_root() { finish(); }
    void start(child_coroutine started, bool cancelled) {
      scope_.cancelled = cancelled;
      begin(std::move(started));
    }
    void cancel() noexcept override {
      scope_.cancelled = true;
      task_group::cancel();
    }
    void on_all_done() noexcept override { owner_.end(error()); }
    void dropped() noexcept override { delete &owner_; }
    std::exception_ptr error() noexcept;
    spawned& owner_;
  };
  void begin(loop_state& loop);
  void end(std::exception_ptr error) noexcept;

  std::optional<task_root> root_;
  std::optional<loop_executor_impl> executor_impl_;
  std::shared_ptr<embedded_loop> embedded_in_;
  std::shared_ptr<spawn_cancellation> link_;
};

struct COSOCK_API spawn_cancellation : std::enable_shared_from_this<spawn_cancellation> {
  explicit spawn_cancellation(spawned& owner) : home(*owner.executor_impl_), task(&owner) {}
  void cancel();
  loop_executor_impl home;
  spawned* task;  // touched on the loop only; null: the task has ended
  bool cancelled = false;
};

/// The function that is stored in the cancellation slot of the handler.
struct spawn_canceller {
  std::shared_ptr<spawn_cancellation> link;
  void operator()(asio::cancellation_type) const { link->cancel(); }
};

/// The handler and its arguments, as a function without arguments.
template <class Handler, class... Args>
struct spawn_completion {
  Handler handler;
  std::tuple<Args...> args;
  void operator()() && {
    std::apply([this](Args&... arguments) { std::move(handler)(std::move(arguments)...); }, args);
  }
  using allocator_type = asio::associated_allocator_t<Handler, frame_allocator<void>>;
  allocator_type get_allocator() const noexcept {
    return asio::get_associated_allocator(handler, frame_allocator<void>());
  }
};

/// A completion that is passed on to the executor of the handler. The work guard keeps that
/// executor's context running until then.
template <class Completion, class Executor>
struct spawn_delivery {
  Completion completion;
  asio::executor_work_guard<Executor> work;
  void operator()() && { asio::dispatch(work.get_executor(), std::move(completion)); }
  using allocator_type = typename Completion::allocator_type;
  allocator_type get_allocator() const noexcept { return completion.get_allocator(); }
};

/// The executor of the task, if the handler has another one; otherwise empty. The handler is
/// dispatched from there. So an exception of the handler leaves the run() of the context, not that
/// of the loop, and an executor that may run a function at once does so, as after co_spawn.
/// (Posting to the system executor instead, which use_future has, would start threads.)
template <class Executor>
asio::any_io_executor step_before(const Executor& through, const asio::any_io_executor& executor) {
  if constexpr (std::is_same_v<Executor, asio::any_io_executor>) {
    if (through == executor) return {};
  } else {
    const Executor* const same = executor.target<Executor>();
    if (same && *same == through) return {};
  }
  return executor;
}

/// Whether an executor can call a function later. Asio's inline executor cannot; no task runs on
/// it, so step_before() is never empty for it.
template <class Executor>
concept postable = requires(const Executor& e, void (*function)()) { asio::post(e, function); };

/// Calls the handler soon, through its executor.
template <class Completion, class Executor>
void deliver(const asio::any_io_executor& before, asio::executor_work_guard<Executor> work,
             Completion completion) {
  if constexpr (postable<Executor>) {
    if (!before) {
      asio::post(work.get_executor(), std::move(completion));
      return;
    }
  }
  asio::post(before, spawn_delivery<Completion, Executor>{std::move(completion), std::move(work)});
}

template <class T>
struct signature_of {
  using type = void(std::exception_ptr, T);
};
template <>
struct signature_of<void> {
  using type = void(std::exception_ptr);
};
template <class T>
using spawn_signature = typename signature_of<T>::type;

template <class T, class Function, class Handler>
class spawned_with final : public spawned {
  using executor = asio::associated_executor_t<Handler, asio::any_io_executor>;

 public:
  spawned_with(Function function, Handler handler, const asio::any_io_executor& given)
      : function_(std::move(function)),
        handler_(std::move(handler)),
        before_(step_before(asio::get_associated_executor(handler_, given), given)),
        work_(asio::get_associated_executor(handler_, given)) {}
  ~spawned_with() override { finish(); }

 private:
  child_coroutine make() override {
    return fill_slot(function_().operator co_await(), slot_, 0, first_);
  }

  void complete(std::exception_ptr error) override {
    // The members are moved out, and this object is destroyed, before the handler is posted: its
    // memory is free by the time the handler runs.
    auto work = std::move(work_);
    const asio::any_io_executor before = std::move(before_);
    if constexpr (std::is_void_v<T>) {
      spawn_completion<Handler, std::exception_ptr> done{std::move(handler_), {std::move(error)}};
      delete this;
      deliver(before, std::move(work), std::move(done));
    } else {
      T value = slot_ ? std::move(*slot_) : T();
      spawn_completion<Handler, std::exception_ptr, T> done{std::move(handler_),
                                                            {std::move(error), std::move(value)}};
      delete this;
      deliver(before, std::move(work), std::move(done));
    }
  }

  Function function_;  // the task may refer to its captures, so it is destroyed after the task
  Handler handler_;
  asio::any_io_executor before_;
  asio::executor_work_guard<executor> work_;
  std::optional<storable<T>> slot_;
  std::size_t first_ = no_winner;
};

struct spawn_initiation {
  template <class Handler, class Function>
  void operator()(Handler&& handler, const asio::any_io_executor& executor,
                  Function function) const {
    using handler_type = std::decay_t<Handler>;
    using T = typename std::invoke_result_t<Function&>::value_type;
    auto slot = asio::get_associated_cancellation_slot(handler);
    auto job = std::make_unique<spawned_with<T, Function, handler_type>>(
        std::move(function), std::forward<Handler>(handler), executor);
    job->attach_loop(executor);
    if (slot.is_connected()) slot.template emplace<spawn_canceller>(job->make_link());
    spawned::launch(std::move(job));
  }
};

/// An existing task as a function that returns it.
template <class T>
struct ready_task {
  task<T> kept;
  task<T> operator()() { return std::move(kept); }
};

template <class>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

template <class F>
auto as_function(F&& f) {
  if constexpr (is_task<std::remove_cvref_t<F>>) {
    static_assert(!std::is_lvalue_reference_v<F>, "a task is awaited once: use std::move");
    return ready_task<typename std::remove_cvref_t<F>::value_type>{std::move(f)};
  } else {
    return std::decay_t<F>(std::forward<F>(f));
  }
}

/// The handler of a detached task: reports errors; a cancellation is not reported.
struct COSOCK_API report_error {
  error_observer on_error;
  void operator()(const std::exception_ptr&) const;
};

template <class Token>
inline constexpr bool is_detached = std::is_same_v<std::remove_cvref_t<Token>, asio::detached_t>;

template <class Where>
asio::any_io_executor executor_of(Where& where) {
  if constexpr (std::convertible_to<Where&, asio::execution_context&>)
    return where.get_executor();
  else
    return where;
}

}  // namespace cosock::detail
