// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Blocking work: a job, which a thread of the process runs, and the operation that waits for it on a
// loop. The threads know nothing of the work.

#include <cosock/detail/core.hpp>

#include <atomic>
#include <memory>

namespace cosock::detail {

class job_queue;
class loop_handle;
class scheduler;
class worker_threads;

/// The kind of blocking work. Each kind has a queue with bounds of its own: jobs of one kind never
/// wait for threads that jobs of another kind occupy.
enum class job_kind : unsigned char {
  look_up,        ///< asks a name server, perhaps a silent one
  look_up_v6,     ///< the same for IPv6 addresses alone, which some servers never answer
  local_look_up,  ///< asks files of this machine
  blocking_io,    ///< reads or writes a blocking descriptor, perhaps for hours
  call,           ///< a function of the program
};

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
/// also the message that tells the loop, so a thread allocates nothing after it has run the job.
///
/// Made by std::make_shared. The members that run() reads are set before submit(); those that run()
/// sets are read after job_completed(). An abandoned job may still be running, so it owns or shares
/// everything that it uses.
class COSOCK_API job : public std::enable_shared_from_this<job>,
                       private link,
                       private loop_message {
 public:
  virtual ~job();

  /// Queues the job for a thread. When it has run, the waiter is called on this loop. Once for each
  /// job. Returns no_buffer_space if the queue is full, or the error of a thread that cannot be
  /// started; the waiter is not called then.
  failure submit(loop_state& loop, job_waiter& waiter) noexcept;

  // On the loop, after submit(). They do nothing after job_completed().

  /// The waiter is not called any more. A job that waits for a thread is not run; a running job
  /// goes on to its end, and counts as abandoned.
  void abandon() noexcept;
  /// If the job waits for a thread, it is not run, and the waiter is not called. False if a thread
  /// runs it, or has run it.
  bool withdraw() noexcept;
  /// The waiter is not called any more; the job is run nevertheless.
  void detach() noexcept { waiter_ = nullptr; }
  /// Withdraws the job, or waits until it has run, here. The waiter is not called.
  void withdraw_or_wait() noexcept;

  /// On any thread.
  bool abandoned() const noexcept { return abandoned_.load(std::memory_order_relaxed); }
  /// Whether it is one of the program's calls, which a loop counts apart from look-ups.
  bool is_call() const noexcept { return is_call_; }
  /// On the loop: whether it waits for a thread.
  bool is_queued() const noexcept;

  /// Tells what it does, for a dump of the tasks.
  virtual void describe(wait_report&) const;

  failure failed;  ///< why run() did not do its work

 protected:
  explicit job(job_kind) noexcept;
  /// A call of the program, in the queue of its own pool.
  explicit job(std::shared_ptr<job_queue>) noexcept;

 private:
  friend class job_queue;
  friend class worker_threads;

  /// On a thread, with all signals blocked.
  virtual void run() noexcept = 0;
  /// Posts the job to the loop that submitted it, if the loop still exists.
  static void hand_back(std::shared_ptr<job> done) noexcept;
  void deliver() override;
  void discard() noexcept override;

  const std::shared_ptr<job_queue> queue_;
  const bool is_call_;
  std::atomic<bool> abandoned_ = false;
  // Guarded by the mutex of the threads, as is the link:
  bool queued_ = false;
  bool running_ = false;
  bool has_run_ = false;
  bool is_waited_for_ = false;         // by withdraw_or_wait()
  worker_threads* threads_ = nullptr;  // used on the loop only, as is the waiter
  job_waiter* waiter_ = nullptr;
  std::shared_ptr<loop_handle> back_;
  std::shared_ptr<job> self_;  // keeps it alive while it is queued, and on its way back
};

/// What happens to a job whose operation is cancelled, or destroyed.
enum class on_cancel : bool {
  abandon,  ///< the operation ends at once
  wait,     ///< a job that runs is waited for, and its result counts
};

/// Waits for a job. The error of the job is job::failed.
class COSOCK_API job_wait : public awaited_operation, private job_waiter {
 public:
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void fire() override { resume(); }
  void describe_operation(wait_report& to) const override { job_->describe(to); }
  void cancel() noexcept override;

 protected:
  job_wait(std::shared_ptr<job> work, on_cancel how) noexcept : job_(std::move(work)), how_(how) {}
  /// Before start() only.
  job_wait(job_wait&& other) noexcept
      : awaited_operation(), job_(std::move(other.job_)), how_(other.how_) {}
  /// If the job runs, and is not to be abandoned, waits for its end here: it uses what the frame
  /// owns.
  ~job_wait();

  std::shared_ptr<job> job_;

 private:
  void job_completed() noexcept override;
  int& counter() const noexcept;

  scheduler* loop_ = nullptr;  // while it waits
  const on_cancel how_;
};

}  // namespace cosock::detail
