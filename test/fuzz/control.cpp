// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The positive control: a fault that tools/fuzz has to find, or it would find nothing else either.

#include "input.hpp"

#include <vector>

void fuzz_one(fuzz::input in) {
  std::vector<char> four(4);
  const std::string_view word = in.text(5);
  std::size_t matches = 0;
  for (const char c : std::string_view("fault")) {
    if (matches == word.size() || word[matches] != c) return;
    ++matches;
  }
  four.data()[matches] = 'x';
}
