// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The errors of promises; the rest is in templates.

#include <cosock/promise.hpp>

#include "core/failure.hpp"

#include <stdexcept>

namespace cosock::detail {

void raise_promise_set() {
  throw std::logic_error("cosock: a promise has one result, and none after it was moved from");
}

failure broken_promise_failure() noexcept { return own_failure(error::broken_promise); }

}  // namespace cosock::detail
