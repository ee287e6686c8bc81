// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a task whose result needs more alignment than operator new has
// says: the result of a task is stored in memory of operator new
#include <cosock/task.hpp>

struct alignas(64) aligned {
  char bytes[64];
};
cosock::task<aligned> work() { co_return aligned(); }
