// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a deadline of std::chrono::steady_clock
// says: a deadline is a time of cosock::clock: write cosock::now() + limit
#include <cosock/cancel.hpp>
#include <cosock/task.hpp>
#include <cosock/time.hpp>

#include <chrono>

cosock::task<> wait() {
  co_await cosock::sleep_until(std::chrono::steady_clock::now() + std::chrono::seconds(1));
}
