// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a child of a nursery whose arguments do not fit
// says: a child is started from a function and arguments it takes by value, rvalue or const reference
#include <cosock/nursery.hpp>

void work(cosock::nursery& tasks) {
  tasks.start([](int&) -> cosock::task<> { co_return; }, 42);
}
