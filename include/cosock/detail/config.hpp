// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <coroutine>

#ifndef __cpp_impl_coroutine
#error "cosock needs C++20 coroutines: compile with -std=c++20 (Meson: default_options: 'cpp_std=c++20')"
#endif

#ifndef __cpp_exceptions
#error "cosock needs exceptions: compile without -fno-exceptions (Meson: not cpp_eh=none)"
#endif

// Always default visibility: right for a static library, a shared one, and both from one build.
#if defined(__GNUC__)
#define COSOCK_API __attribute__((visibility("default")))
#else
#define COSOCK_API
#endif
