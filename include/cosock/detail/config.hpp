// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Before anything else is included, so that these are the first errors.
#ifndef __cpp_impl_coroutine
#error "cosock needs C++20 coroutines: compile with -std=c++20 (Meson: default_options: 'cpp_std=c++20')"
#endif

#ifndef __cpp_exceptions
#error "cosock needs exceptions: compile without -fno-exceptions (Meson: not cpp_eh=none)"
#endif

#include <coroutine>

// Always default visibility: right for a static library, a shared one, and both from one build.
#if defined(__GNUC__)
#define COSOCK_API __attribute__((visibility("default")))
#else
#define COSOCK_API
#endif

// Has Clang warn where the result is kept longer than the temporary that was passed.
#if defined(__clang__)
#define COSOCK_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define COSOCK_LIFETIMEBOUND
#endif

// For every class that is awaited: functions that return one need no [[nodiscard]] of their own,
// which would hide the text. Exports it too: the two kinds of attributes cannot stand side by side.
#define COSOCK_AWAITABLE                                                              \
  [[nodiscard("an operation does nothing until it is awaited: is co_await missing?"), \
    gnu::visibility("default")]]
