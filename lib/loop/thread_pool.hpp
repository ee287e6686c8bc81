// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Threads of this process for work that would block a loop: name look-ups, reads and writes of
// blocking descriptors, files, and functions of the program. When a loop ends, it waits for those calls
// only that may use the frame of a task.

#include <cosock/detail/job.hpp>

#include "core/scheduler.hpp"

#include <algorithm>
#include <memory>

namespace cosock::detail {

/// The bounds of a queue.
struct job_bounds {
  std::size_t max_running;  ///< running jobs that were not abandoned
  std::size_t max_threads;  ///< all running jobs: abandoned ones cannot be interrupted
  std::size_t max_queued;   ///< jobs that wait for a thread because of these bounds
  const char* name;         ///< the name of a thread while it runs such a job
};

/// Jobs that share bounds, and threads with all other queues. Guarded by the mutex of the threads. A
/// child that is forked begins with empty queues.
class job_queue : private link {
 public:
  constexpr explicit job_queue(const job_bounds& bounds) noexcept : bounds_(bounds) {}
  job_queue(const job_queue&) = delete;

  const job_bounds& bounds() const noexcept { return bounds_; }

  /// Now, and since the queue was made.
  struct figures {
    std::size_t queued = 0;
    std::size_t running = 0;    // the abandoned ones included
    std::size_t abandoned = 0;  // running jobs that were abandoned
    std::size_t queued_peak = 0;
    std::uint64_t completed = 0;
    std::uint64_t refused = 0;
  };
  /// On any thread.
  figures counters() const noexcept;
  /// The number of jobs of this loop that wait for a thread: its look-ups, or its calls.
  static std::size_t queued(const loop_handle& of, bool calls) noexcept;

 private:
  friend class worker_threads;

  /// How many of its jobs may begin.
  std::size_t startable() const noexcept { return std::min(now_.queued, free()); }
  std::size_t free() const noexcept {
    const std::size_t waited_for = now_.running - now_.abandoned;
    return std::min(bounds_.max_running - std::min(waited_for, bounds_.max_running),
                    bounds_.max_threads - now_.running);
  }

  const job_bounds bounds_;
  worker_threads* owner_ = nullptr;  // null: never used; of the parent process: to be emptied
  link waiting_;
  figures now_;
};

/// Waits for a look-up, which is abandoned if the operation is cancelled: it ends at once.
class job_operation final : public awaiter_of<job_operation>, public job_wait {
 public:
  explicit job_operation(std::shared_ptr<job> work) noexcept
      : job_wait(std::move(work), on_cancel::abandon) {}
  job_operation(const job_operation&) = delete;

  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }
};

}  // namespace cosock::detail
