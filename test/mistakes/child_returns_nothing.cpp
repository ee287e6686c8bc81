// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a child of a nursery that is no coroutine
// says: a child is a function that returns cosock::task<>
#include <cosock/nursery.hpp>

void work(cosock::nursery& tasks) {
  tasks.start([] {});
}
