// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Defines the symbols that say how the library was built. A program refers to the symbols for its
// own build, and is linked only if they are the same: see the header.

#include <cosock/detail/asio_build.hpp>

#define COSOCK_DEFINE_FACT(name) const char name = 1;
extern "C" {
COSOCK_BUILD_MACROS(COSOCK_DEFINE_FACT)
COSOCK_BUILD_COMPILER(COSOCK_DEFINE_FACT)
}
