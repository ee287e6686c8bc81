// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace cosock {

/// Counters of a loop, see loop::counters(). Those of several loops may be added, except the two largest
/// values, `ready_peak` and `longest_turn`.
struct loop_counters {
  // Now:

  /// Tasks that have not ended: those of the loop, and those that run side by side. A dump has a line for each.
  std::size_t tasks = 0;
  std::size_t ready = 0;             ///< operations whose tasks go on in this turn or the next
  std::size_t descriptors = 0;       ///< descriptors whose events the loop waits for: open sockets
  std::size_t timers = 0;            ///< sleeps and time limits that run
  std::size_t look_ups_running = 0;  ///< look-ups of this loop that threads are doing
  std::size_t look_ups_queued = 0;   ///< look-ups of this loop that wait for a thread
  std::size_t calls_running = 0;     ///< calls of on_threads() on this loop that threads are doing
  std::size_t calls_queued = 0;      ///< calls of on_threads() on this loop that wait for a thread

  // Since the loop was made. An operation that fails, or that is cancelled, has completed too:

  std::size_t ready_peak = 0;  ///< the most operations and messages that were ready in one turn
  std::uint64_t completed_at_once = 0;     ///< operations that did not wait
  std::uint64_t completed_after_wait = 0;  ///< operations that waited, or yielded
  std::uint64_t budget_yields = 0;  ///< operations that yielded because the budget was used up
  std::uint64_t messages = 0;       ///< calls of post(), answers of look-ups, and the like

  // Since the last call of watch_turns() for the loop (watch.hpp); zero without it:

  /// The longest time for which a task ran without waiting.
  std::chrono::nanoseconds longest_turn = {};

  /// The number of buckets of `delays`.
  static constexpr std::size_t delay_buckets = 17;
  /// The longest delay that a bucket of `delays` counts: 16 us, and twice as much for each further bucket.
  /// The last bucket has no bound; returns that of the bucket before.
  static constexpr std::chrono::nanoseconds delay_bound(std::size_t bucket) noexcept {
    return std::chrono::microseconds(16) *
           (1 << (bucket < delay_buckets - 1 ? bucket : delay_buckets - 2));
  }
  /// A histogram of the scheduling delay: how long a task that could go on waited for the loop. Each delay
  /// counts in one bucket. A delay is an upper bound: an event that arrives while tasks run counts from the
  /// last look of the loop at events.
  std::array<std::uint64_t, delay_buckets> delays = {};
  std::chrono::nanoseconds delay_sum = {};  ///< the sum of these delays
};

}  // namespace cosock
