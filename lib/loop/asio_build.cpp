// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/detail/asio_build.hpp>

// How the library was built; see the header.

#define COSOCK_DEFINE_FACT(name) const char name = 1;
extern "C" {
COSOCK_BUILD_MACROS(COSOCK_DEFINE_FACT)
COSOCK_BUILD_COMPILER(COSOCK_DEFINE_FACT)
}
