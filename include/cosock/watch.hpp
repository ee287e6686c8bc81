// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/observer.hpp>

#include <string_view>

namespace cosock {

class loop;

/// A task that ran for long without waiting, so that all others of its loop waited.
struct slow_turn_event {
  std::chrono::nanoseconds duration;  ///< how long it ran, or has run so far
  bool ended;                         ///< false: it still runs, and its loop is blocked
  std::string_view where;  ///< "chat.cpp:55 < server.cpp:18": the co_awaits after which it went on,
                           ///< innermost first; valid during the call
  std::string_view name;   ///< that of named(), or of the peer; empty: none, or it is not known
};

/// How a loop is watched.
struct watch_options {
  time_span slow_turn =
      std::chrono::milliseconds(50);  ///< longer than this is slow; zero or less: 1 ns
  /// A thread reports a task that does not end, once for each: its name is not known then. The observer
  /// is called on that thread.
  bool reports_blocked = true;
  /// Called after each slow turn, on the thread of the loop. Must not throw. Empty: a line is printed to
  /// standard error.
  observer<const slow_turn_event&> on_slow_turn = {};
};

/// Watches a loop, from now on until it is destroyed: which task runs for long without waiting. Again:
/// with the new options. A loop that is not watched pays nothing for it; one that is reads a counter of
/// the processor, and takes a lock, for each task that it resumes. The copy of a loop in a forked child is
/// not watched. With `slow_turn = unlimited` it reports nothing, and only measures: see `longest_turn` and
/// `delays` of loop_counters. On the thread of the loop, or before it runs. Throws
/// std::system_error if the thread cannot be started; std::bad_alloc.
COSOCK_API void watch_turns(loop&, const watch_options& options = {});

}  // namespace cosock
