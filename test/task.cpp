// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/task.hpp>

#define BOOST_TEST_MODULE task
#include "support.hpp"

namespace {

cosock::task<int> give(int n) { co_return n; }

}  // namespace

COROUTINE_TEST_CASE(a_task_gives_its_result) { BOOST_TEST(co_await give(7) == 7); }
