// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/chrono.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace cosock {

/// Counters of a loop, see loop::counters(). The counters of several loops may be added, except
/// `ready_peak` and `longest_turn`, which are maximums.
struct loop_counters {
  // Now:

  /// Tasks that have not ended: those that were started on the loop, and children. A dump has a line for each.
  std::size_t tasks = 0;
  std::size_t ready = 0;             ///< operations whose tasks are about to be resumed
  std::size_t descriptors = 0;       ///< descriptors, such as sockets, whose events the loop takes
  std::size_t timers = 0;            ///< sleeps and time limits that have not expired
  std::size_t look_ups_running = 0;  ///< look-ups of this loop that run on a thread
  std::size_t look_ups_queued = 0;   ///< look-ups of this loop that wait for a thread
  std::size_t calls_running = 0;     ///< calls of on_threads() of this loop that run on a thread
  std::size_t calls_queued = 0;      ///< calls of on_threads() of this loop that wait for a thread

  // Since the loop was made. An operation that failed, or was cancelled, counts as completed:

  std::size_t ready_peak = 0;  ///< the maximum number of operations and messages ready in one turn
  std::uint64_t completed_at_once = 0;     ///< operations that did not wait
  std::uint64_t completed_after_wait = 0;  ///< operations that waited, or yielded
  std::uint64_t budget_yields = 0;  ///< operations that yielded because the budget was used up
  std::uint64_t messages = 0;       ///< posted functions, results of look-ups, and other messages

  // Since the last call of watch_turns() for the loop (watch.hpp); zero without it:

  /// The longest time for which a task ran without waiting.
  std::chrono::nanoseconds longest_turn = {};

  /// The number of buckets of `delays`.
  static constexpr std::size_t delay_buckets = 17;
  /// Returns the upper bound of a bucket of `delays`: 16 us for the first, and twice as much for each
  /// further one. For the last bucket, which has no bound, returns that of the bucket before.
  static constexpr std::chrono::nanoseconds delay_bound(std::size_t bucket) noexcept {
    return std::chrono::microseconds(16) *
           (1 << (bucket < delay_buckets - 1 ? bucket : delay_buckets - 2));
  }
  /// A histogram of the scheduling delay: the time from the event for which a task waits until the task is
  /// resumed. Each delay counts in one bucket. It is an upper bound: if the event arrives while tasks run,
  /// the delay counts from the time at which the loop last took events.
  std::array<std::uint64_t, delay_buckets> delays = {};
  std::chrono::nanoseconds delay_sum = {};  ///< the sum of these delays
};

}  // namespace cosock
