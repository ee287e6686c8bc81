// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Tasks that contexts of Asio run.

#include <cosock/asio.hpp>
#include <cosock/task.hpp>
#include <cosock/time.hpp>

#include "support.hpp"

namespace test {

using cosock::task;

inline task<int> later(int n) {
  co_await cosock::sleep_for(100us);
  co_return n;
}

}  // namespace test
