// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the snippets of the guide prove things with.

#include <cosock/run.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <source_location>

/// Ends the program unless it is true.
inline void check(bool what, std::source_location at = std::source_location::current()) {
  if (what) return;
  std::fprintf(stderr, "%s:%u: not so\n", at.file_name(), static_cast<unsigned>(at.line()));
  std::abort();
}

/// What `main` of a snippet does: at most two minutes long.
inline int run_snippets(cosock::task<> all) {
  ::alarm(120);
  return cosock::run(std::move(all));
}
