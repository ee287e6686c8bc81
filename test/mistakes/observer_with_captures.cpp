// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: an observer that is a temporary lambda with captures
// says: make the lambda a named variable that outlives the observer
#include <cosock/serve.hpp>

int count() {
  int errors = 0;
  const cosock::serve_options options{.on_error = [&](const std::exception_ptr&) { ++errors; }};
  options.on_error(nullptr);
  return errors;
}
