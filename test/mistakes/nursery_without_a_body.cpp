// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: the body of a nursery does not take it
// says: the body of a nursery takes cosock::nursery& and returns cosock::task<>
#include <cosock/nursery.hpp>

cosock::task<> work() {
  co_await cosock::with_nursery([]() -> cosock::task<> { co_return; });
}
