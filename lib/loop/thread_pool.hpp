// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Threads of this process for work that would block a loop: name look-ups, and reads and writes of
// blocking descriptors. The pool knows nothing of the work, which derives from `job`; and no loop
// waits for it when it ends.

#include "core/scheduler.hpp"

namespace cosock::detail {

/// The kind of blocking work. Jobs of one kind never wait for threads that jobs of another kind
/// occupy.
enum class job_kind : unsigned char {
  look_up,        ///< asks a name server, perhaps a silent one
  look_up_v6,     ///< the same for IPv6 addresses alone, which some servers never answer
  local_look_up,  ///< asks files of this machine
  blocking_io,    ///< reads or writes a blocking descriptor, perhaps for hours
};
inline constexpr std::size_t job_kinds = 4;

/// The bounds of one kind.
struct job_bounds {
  std::size_t max_running;  ///< running jobs that were not abandoned
  std::size_t max_threads;  ///< all running jobs: abandoned ones cannot be interrupted
  std::size_t max_queued;   ///< jobs that wait for a thread
  const char* name;         ///< the name of a thread while it runs such a job
};
inline constexpr job_bounds bounds_of_jobs[job_kinds] = {
    {16, 128, 4096, "cosock-resolve"},
    {16, 128, 4096, "cosock-resolve"},
    {4, 8, 4096, "cosock-resolve"},
    {64, 128, 4096, "cosock-block"},
};

class thread_pool;

/// The object that waits for a job, on the loop.
class job_waiter {
 public:
  /// Called by the loop when the job has run, never inside submit(). May destroy the waiter.
  virtual void job_completed() noexcept = 0;

 protected:
  ~job_waiter() = default;
};

/// One piece of blocking work. Shared by the object that waits for it and the thread that runs it;
/// each of them may be gone before the other, and the last one destroys it, on any thread. It is
/// also the message that tells the loop, so a thread of the pool allocates nothing after it has run
/// the job.
///
/// Made by std::make_shared. The members that run() reads are set before submit(); those that run()
/// sets are read after job_completed(). An abandoned job may still be running, so it owns or shares
/// everything that it uses.
class job : public std::enable_shared_from_this<job>, private link, private loop_message {
 public:
  virtual ~job() = default;

  /// Queues the job for a thread. When it has run, the waiter is called on this loop. Once for each
  /// job. Returns no_buffer_space if the queue of the kind is full, or the error of a thread that
  /// cannot be started; the waiter is not called then.
  failure submit(loop_state& loop, job_waiter& waiter) noexcept;
  /// On the loop: the waiter is not called any more. A job that waits for a thread is not run; a
  /// running job goes on to its end, and counts as abandoned. Does nothing after job_completed().
  void abandon() noexcept;
  /// On any thread.
  bool abandoned() const noexcept { return abandoned_.load(std::memory_order_relaxed); }

  /// The number of look-ups of this loop that wait for a thread.
  static std::size_t queued_look_ups(const loop_handle&) noexcept;

  /// Tells what it does, for a dump of the tasks.
  virtual void describe(wait_report& to) const { to.operation("blocking work"); }

  failure failed;  ///< why run() did not do its work

 protected:
  explicit job(job_kind kind) noexcept : kind_(kind) {}

 private:
  friend class thread_pool;

  /// On a thread of the pool, with all signals blocked.
  virtual void run() noexcept = 0;
  /// Posts the job to the loop that submitted it, if the loop still exists.
  static void hand_back(std::shared_ptr<job> done) noexcept;
  void deliver() override;
  void discard() noexcept override { const std::shared_ptr<job> self = std::move(self_); }

  const job_kind kind_;
  std::atomic<bool> abandoned_ = false;
  bool running_ = false;         // guarded by the pool's mutex, as is the link
  thread_pool* pool_ = nullptr;  // used on the loop only, as is the waiter
  job_waiter* waiter_ = nullptr;
  std::shared_ptr<loop_handle> back_;
  std::shared_ptr<job> self_;  // keeps it alive while it is queued, and on its way back
};

/// Waits for a job. If it is cancelled, it abandons the job, and ends at once. It throws nothing
/// else: the error of the job is job::failed.
class job_operation final : public awaiter_of<job_operation>,
                            public awaited_operation,
                            private job_waiter {
 public:
  explicit job_operation(std::shared_ptr<job> work) noexcept : job_(std::move(work)) {}
  job_operation(const job_operation&) = delete;
  ~job_operation() { leave(); }

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    if (const failure f = job_->submit(*parent.loop, *this)) {
      job_->failed = f;
      return complete_or_yield();
    }
    loop_ = &scheduler::get(*parent.loop);
    ++loop_->pending_look_ups;
    suspend();
    return step::pending;
  }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

  void fire() override { resume(); }
  void describe_operation(wait_report& to) const override { job_->describe(to); }
  void cancel() noexcept override {
    if (!loop_) return;  // has its answer, and will be resumed
    failure_ = cancelled_failure();
    leave();
    scheduler::get(*scope_->loop).schedule(*this);
  }

 private:
  void job_completed() noexcept override {
    --std::exchange(loop_, nullptr)->pending_look_ups;
    scheduler::get(*scope_->loop).schedule(*this);
  }
  void leave() noexcept {
    if (!loop_) return;
    --std::exchange(loop_, nullptr)->pending_look_ups;
    job_->abandon();
  }
  std::shared_ptr<job> job_;
  scheduler* loop_ = nullptr;  // while it waits
};

}  // namespace cosock::detail
