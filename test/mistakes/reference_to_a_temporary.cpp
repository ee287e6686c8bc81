// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a task returns a reference to a temporary
// says: co_return of a reference to what ends with the coroutine
#include <cosock/task.hpp>

#include <string>

cosock::task<const std::string&> name() { co_return std::string("x"); }
