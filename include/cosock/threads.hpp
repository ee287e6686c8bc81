// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/job.hpp>
#include <cosock/detail/slots.hpp>
#include <cosock/detail/temporary_lambda.hpp>

#include <concepts>
#include <memory>

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
/// Chooses the overloads of on_threads() and thread_pool::run() that do not wait for a running function
/// when they are cancelled.
inline constexpr abandon_t abandon{};

/// Runs `f()` on a thread, so that the loop does not block: for a blocking library, access to files, or
/// a long computation. `co_await` returns the result of `f`, or throws its exception.
///
/// The functions of all loops together run on at most 64 threads. A function that finds no free thread
/// waits, first in, first out. Throws no_buffer_space if 4096 wait already; the error of
/// pthread_create(3), such as resource_unavailable_try_again, if no thread can be started and none
/// runs. on_threads() itself allocates once, and throws std::bad_alloc. A thread has all signals
/// blocked, and ends after 10 s without work.
///
/// Cancelled before a thread has taken `f`: throws `error::cancelled`, and `f` does not run. Cancelled
/// later: waits for `f`, and returns its result or throws its exception. So `f` may refer to local
/// variables of the task, and a time limit does not shorten it. Destroying the task, for example with
/// its loop, also waits for a running `f`: `f` must not wait for the loop.
///
/// A temporary is moved into the operation; an lvalue is not copied, and must outlive the `co_await`.
/// Of the loop, `f` may use only loop::post() and the senders of a mailbox.
///
/// With GCC 12, a lambda whose captures have destructors must be a named variable, which the compiler
/// checks: GCC 12 destroys the captures of a temporary lambda in a co_await expression twice.
template <class F>
auto on_threads(F&& f) {
  return detail::make_call(detail::job_kind::call, std::forward<F>(f));
}

/// The same for a function that owns everything it uses. Cancelled: throws `error::cancelled` at once.
/// If no thread has taken `f`, it does not run. Otherwise `f` runs to its end, and its result is
/// discarded; with such abandoned functions, at most 128 threads run. `f` and its result are then
/// destroyed on that thread, or on the loop if `f` had just ended. Neither exit() nor a return from
/// main() waits for `f`.
///
/// `f` is copied, or moved from a temporary. A lambda must capture by value only; with GCC 12, pass it
/// as a named variable, as above.
template <class F>
auto on_threads(F&& f, abandon_t) {
  return detail::make_abandoned_call(detail::job_kind::call, std::forward<F>(f));
}

/// Options of a thread_pool.
struct thread_pool_options {
  /// The largest number of calls that wait for a thread. 0: a call that finds no free thread fails.
  std::size_t max_queued = 4096;
};

/// Counters of a thread_pool, see thread_pool::counters().
struct thread_pool_counters {
  // Now:
  std::size_t queued = 0;     ///< calls that wait for a thread
  std::size_t running = 0;    ///< calls that run on a thread, including abandoned ones
  std::size_t abandoned = 0;  ///< running calls whose operation was cancelled

  // Since the pool was made:
  std::size_t queued_peak =
      0;  ///< the maximum number of calls that waited because all threads were busy
  std::uint64_t completed = 0;  ///< calls that have returned or thrown
  std::uint64_t refused = 0;    ///< calls that failed because the queue was full
};

/// A limit on threads, apart from that of on_threads(), for work that must not take threads from other
/// work, or may use only a few: a database, a disk, a computation. Any thread, and any loop, may use
/// it. May be destroyed while calls are pending: they continue.
///
/// The threads are shared with on_threads(), look-ups and blocking descriptors. They are started when
/// needed; an idle pool holds no thread. In a forked child process the pool is empty.
class COSOCK_API thread_pool {
 public:
  /// Runs at most `max_threads` calls at a time, including abandoned ones. Throws
  /// std::invalid_argument for 0, or more than 1024, threads.
  explicit thread_pool(std::size_t max_threads, thread_pool_options options = {});
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool();

  /// Like on_threads(), within the limits of this pool: throws no_buffer_space if `max_queued` calls
  /// wait already.
  template <class F>
  auto run(F&& f) {
    return detail::make_call(queue_, std::forward<F>(f));
  }
  /// Like on_threads() with `abandon`.
  template <class F>
  auto run(F&& f, abandon_t) {
    return detail::make_abandoned_call(queue_, std::forward<F>(f));
  }

  /// May be called on any thread.
  [[nodiscard]] thread_pool_counters counters() const noexcept;

 private:
  std::shared_ptr<detail::job_queue> queue_;
};

}  // namespace cosock
