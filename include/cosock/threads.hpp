// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/job.hpp>
#include <cosock/detail/slots.hpp>
#include <cosock/detail/temporary_lambda.hpp>

#include <concepts>

namespace cosock {

namespace detail {

/// A function of the program, and its result.
template <class F>
class call_job final : public job {
 public:
  using result_type = std::invoke_result_t<std::remove_reference_t<F>&>;

  template <class G>
  call_job(std::shared_ptr<job_queue> queue, G&& f)
      : job(std::move(queue)), function_(std::forward<G>(f)) {}
  template <class G>
  call_job(job_kind kind, G&& f) : job(kind), function_(std::forward<G>(f)) {}

  const std::exception_ptr& thrown() const noexcept { return thrown_; }
  result_type take() {
    if (thrown_) std::rethrow_exception(thrown_);
    if constexpr (std::is_reference_v<result_type>)
      return static_cast<result_type>(result_->get());
    else if constexpr (!std::is_void_v<result_type>)
      return std::move(*result_);
  }

 private:
  void run() noexcept override {
    try {
      if constexpr (std::is_void_v<result_type>)
        function_();
      else
        result_.emplace(function_());
    } catch (...) {
      thrown_ = std::current_exception();
    }
  }

  F function_;
  std::optional<storable<result_type>> result_;
  std::exception_ptr thrown_;
};

[[noreturn]] COSOCK_API void raise_not_run(const failure&);

/// Waits for a function that runs on a thread.
template <class F>
class COSOCK_AWAITABLE blocking_call final : public awaiter_of<blocking_call<F>>, public job_wait {
 public:
  blocking_call(std::shared_ptr<call_job<F>> call, on_cancel how) noexcept
      : job_wait(std::move(call), how) {}

  decltype(auto) result() {
    if (failure_) raise(failure_);
    if (job_->failed) raise_not_run(job_->failed);
    return call().take();
  }
  failure fail() noexcept {
    if (failure_) return failure_;
    return job_->failed ? job_->failed : failure_of(call().thrown());
  }
  bool has_details() const noexcept {
    return !failure_ && (job_->failed || static_cast<const call_job<F>&>(*job_).thrown());
  }

 private:
  call_job<F>& call() const noexcept { return static_cast<call_job<F>&>(*job_); }
};

template <class F>
constexpr void check_function_for_threads() {
  check_temporary_lambda<F>();
  using function = std::remove_reference_t<F>;
  static_assert(std::invocable<function&>, "the function for a thread takes no arguments");
  if constexpr (std::invocable<function&>)
    static_assert(!awaitable<std::invoke_result_t<function&>>,
                  "the function for a thread returns a task, which only a loop can run: await it "
                  "without on_threads");
}

template <class Where, class F>
auto make_call(Where&& queue, F&& f) {
  check_function_for_threads<F>();
  return blocking_call<F>(
      std::make_shared<call_job<F>>(std::forward<Where>(queue), std::forward<F>(f)),
      on_cancel::wait);
}
template <class Where, class F>
auto make_abandoned_call(Where&& queue, F&& f) {
  check_function_for_threads<F>();
  using owned = std::decay_t<F>;
  return blocking_call<owned>(
      std::make_shared<call_job<owned>>(std::forward<Where>(queue), std::forward<F>(f)),
      on_cancel::abandon);
}

}  // namespace detail

/// The type of `abandon`.
struct abandon_t {
  explicit constexpr abandon_t() noexcept = default;
};
/// Chooses the overloads of on_threads() and thread_pool::run() whose calls are abandoned when they
/// are cancelled.
inline constexpr abandon_t abandon{};

/// Calls `f` on a thread of the process, while the loop goes on: for a library that blocks, a file,
/// or a long computation. `f` takes no arguments. `co_await` returns what `f` returns, or throws
/// what it throws.
///
/// Calls of all loops together run on at most 64 threads; others wait in order of their start.
/// Throws no_buffer_space if more than 4096 wait; the error of a thread that cannot be started if
/// there is no other, for example resource_unavailable_try_again (pthread_create(3));
/// std::bad_alloc, from the call. One allocation a call. A thread ends after 10 s without work.
/// Signals are blocked on it.
///
/// If the operation is cancelled while `f` runs, it waits for `f` nevertheless, and its result
/// counts: so `f` may refer to local variables of the task. A time limit around it does not shorten
/// it. If it is cancelled before a thread has taken the call, `f` is not run, and it throws
/// `error::cancelled`. If the task is destroyed, with its loop for example, that waits for `f` too.
/// So `f` must not wait for the loop.
///
/// A temporary is moved; an object with a name is used where it is, and must live until the call
/// ends. Of the loop, `f` may use loop::post() and the senders of a mailbox, and nothing else.
///
/// GCC 12 destroys captures of a lambda twice that is written in a co_await expression, so there
/// the compiler demands that such a lambda is a variable, and that its name is passed.
template <class F>
auto on_threads(F&& f) {
  return detail::make_call(detail::job_kind::call, std::forward<F>(f));
}

/// The same for a call that owns all that it uses. If it is cancelled, it throws `error::cancelled` at
/// once; `f` is not run if no thread has taken it, or else runs to its end, on one of at most 128
/// threads, and nobody receives its result. Its thread destroys `f` and the result then, or the loop
/// does if `f` had just ended. The process may end meanwhile: neither exit() nor a return from main()
/// waits for it.
///
/// `f` is copied, or moved from a temporary; of a lambda with captures, GCC 12 accepts a copy only.
/// Capture by value only.
template <class F>
auto on_threads(F&& f, abandon_t) {
  return detail::make_abandoned_call(detail::job_kind::call, std::forward<F>(f));
}

/// Options of a thread_pool.
struct thread_pool_options {
  /// The most calls that wait for a thread; 0: none waits.
  std::size_t max_queued = 4096;
};

/// Counters of a thread_pool, see thread_pool::counters().
struct thread_pool_counters {
  // Now:
  std::size_t queued = 0;     ///< calls that wait for a thread
  std::size_t running = 0;    ///< calls that threads are doing, including the abandoned ones
  std::size_t abandoned = 0;  ///< running calls that nobody waits for

  // Since the pool was made:
  std::size_t queued_peak =
      0;  ///< the most calls that waited at a time because all threads were busy
  std::uint64_t completed = 0;  ///< calls that have run, including those that threw
  std::uint64_t refused = 0;    ///< calls that failed because the queue was full
};

/// A share of the threads of the process, with bounds of its own, for work that must not take
/// threads from other work, or that must not run on more than a few: a database, a disk, a
/// computation. Any thread, and any loop, may use it. May be destroyed while calls are pending:
/// they go on.
///
/// The threads are those of on_threads(), of look-ups and of blocking descriptors. They are started
/// when needed, and an idle pool holds none. A child process that is forked has an empty pool.
class COSOCK_API thread_pool {
 public:
  /// Runs at most `max_threads` calls at a time, abandoned ones included. Throws
  /// std::invalid_argument for 0, or more than 1024.
  explicit thread_pool(std::size_t max_threads, thread_pool_options options = {});
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool();

  /// As on_threads(), with the bounds of this pool: throws no_buffer_space if `max_queued` calls
  /// wait.
  template <class F>
  auto run(F&& f) {
    return detail::make_call(queue_, std::forward<F>(f));
  }
  /// As on_threads() with `abandon`.
  template <class F>
  auto run(F&& f, abandon_t) {
    return detail::make_abandoned_call(queue_, std::forward<F>(f));
  }

  /// On any thread.
  [[nodiscard]] thread_pool_counters counters() const noexcept;

 private:
  std::shared_ptr<detail::job_queue> queue_;
};

}  // namespace cosock
