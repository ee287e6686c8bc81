// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: an observer of retries that is a temporary lambda with captures
// says: make the lambda a named variable that outlives the observer
#include <cosock/reconnect.hpp>

int count() {
  int retries = 0;
  cosock::reconnecting_client client({.on_retry = [&](const auto&) { ++retries; }});
  return retries;
}
