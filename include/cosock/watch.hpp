// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/observer.hpp>

#include <string_view>

namespace cosock {

class loop;

/// A task that ran for a long time without waiting, while the other tasks of its loop waited.
struct slow_turn_event {
  std::chrono::nanoseconds duration;  ///< how long the task ran, or has run so far
  bool ended;                         ///< false: the task still runs, and its loop is blocked
  std::string_view
      where;              ///< "chat.cpp:55 < server.cpp:18": the co_await that was resumed, and the
                          ///< co_awaits of its callers, innermost first; valid during the call
  std::string_view name;  ///< of named(), or the peer of serve(); empty: none, or not known
};

/// Options of watch_turns().
struct watch_options {
  time_span slow_turn =
      std::chrono::milliseconds(50);  ///< a task that runs this long is slow; zero or less: 1 ns
  /// Whether a thread reports a task that blocks its loop, once, after about twice `slow_turn` (at least
  /// 20 ms, and from 20 s on after `slow_turn`), without its name. Calls `on_slow_turn` on that thread.
  bool reports_blocked = true;
  /// Called after each slow turn, on the thread of the loop. Must not throw. Empty: a line is printed to
  /// standard error.
  observer<const slow_turn_event&> on_slow_turn = {};
};

/// Reports each task of the loop that runs for a long time without waiting, from now on until the loop is
/// destroyed. A second call replaces the options. With `slow_turn = unlimited` nothing is reported, only
/// measured: see `longest_turn` and `delays` of loop_counters. Call it on the thread of the loop, or before
/// the loop runs. In a forked child the loop is not watched. Throws std::system_error if the thread cannot
/// be started; std::bad_alloc.
///
/// Costs, for each task that the loop resumes, a few reads of a counter of the processor, and locks.
/// Without a watch it costs nothing.
COSOCK_API void watch_turns(loop&, const watch_options& options = {});

}  // namespace cosock
