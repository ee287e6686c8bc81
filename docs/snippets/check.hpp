// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Helpers of the snippets of the guide.

#include <cosock/run.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <source_location>

/// Aborts the program if the condition is false.
inline void check(bool condition, std::source_location location = std::source_location::current()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%u: check failed\n", location.file_name(),
               static_cast<unsigned>(location.line()));
  std::abort();
}

/// Runs the examples, for at most two minutes. Returns the status for `main`.
inline int run_snippets(cosock::task<> examples) {
  ::alarm(120);
  return cosock::run(std::move(examples));
}
