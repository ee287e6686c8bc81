// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The tasks of a loop as a tree, from which dumps are printed. Made on the thread of the loop; it owns
// copies, and no task.

#include "loop/engine.hpp"

#include <optional>
#include <source_location>
#include <string>
#include <vector>

namespace cosock::detail {

/// A task, and what it waits for.
struct task_entry {
  std::string name;
  std::vector<std::source_location> where;  // the co_awaits, innermost first
  std::string waits_for;                    // empty: for the tasks below
  std::optional<std::int64_t> waited;       // ns
  std::optional<std::int64_t> limit;        // ns until the time limit expires
  bool cancelled = false;
  std::vector<task_entry> tasks;
};

/// The tasks of the loop, of which each has run at least once, or is in a queue. Throws std::bad_alloc.
std::vector<task_entry> tasks_of(const engine&);

/// The lines of a dump, each with a line break before it.
COSOCK_API std::string task_lines(const engine&);

/// The file without its folders, and the line.
std::string short_place(const std::source_location&);

}  // namespace cosock::detail
