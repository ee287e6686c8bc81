// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a coroutine as the function for a thread
// says: the function for a thread returns a task, which only a loop can run
#include <cosock/threads.hpp>
#include <cosock/time.hpp>

#include <chrono>

cosock::task<> rest() { co_await cosock::sleep_for(std::chrono::seconds(1)); }

cosock::task<> work() { co_await cosock::on_threads(rest); }
