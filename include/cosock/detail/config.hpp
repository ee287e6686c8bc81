// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Requirements and macros of every header of the library; each of them includes this one. It knows
// nothing of the library itself.

// Before any #include, so that these are the first errors.
#ifndef __cpp_impl_coroutine
#error \
    "cosock needs C++20 coroutines: compile with -std=c++20 (Meson: default_options: 'cpp_std=c++20')"
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

// Makes Clang warn if the result is kept longer than the temporary that was passed.
#if defined(__clang__)
#define COSOCK_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define COSOCK_LIFETIMEBOUND
#endif

// For every awaitable class. The functions that return one need no [[nodiscard]] of their own,
// which would hide this text. It exports the class too, because the two kinds of attributes cannot
// stand side by side.
#define COSOCK_AWAITABLE                                                              \
  [[nodiscard("an operation does nothing until it is awaited: is co_await missing?"), \
    gnu::visibility("default")]]

// With one of these macros the program compiles another Asio than the library, unless the library
// was built with it too. asio_build.hpp makes the linker refuse that.
#if defined(BOOST_ASIO_ENABLE_HANDLER_TRACKING) || defined(BOOST_ASIO_CUSTOM_HANDLER_TRACKING) ||  \
    defined(BOOST_ASIO_NO_TYPEID) || defined(BOOST_ASIO_NO_EXCEPTIONS) ||                          \
    defined(BOOST_ASIO_DISABLE_STD_EXCEPTION_PTR) || defined(BOOST_ASIO_DISABLE_THREADS) ||        \
    defined(BOOST_ASIO_DISABLE_STD_MUTEX_AND_CONDVAR) || defined(BOOST_ASIO_DISABLE_STD_ATOMIC) || \
    defined(BOOST_ASIO_DISABLE_THREAD_KEYWORD_EXTENSION) ||                                        \
    defined(BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING) ||                                           \
    (defined(BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE) &&                                         \
     BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE != 2) ||                                            \
    defined(BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC) || defined(BOOST_ASIO_DISABLE_EPOLL) ||          \
    defined(BOOST_ASIO_DISABLE_EVENTFD) || defined(BOOST_ASIO_DISABLE_TIMERFD) ||                  \
    defined(BOOST_ASIO_DISABLE_FUTEX) || defined(BOOST_ASIO_DISABLE_STD_ATOMIC_WAIT) ||            \
    defined(BOOST_ASIO_HAS_IO_URING) || defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT) ||             \
    defined(BOOST_ASIO_USE_TS_EXECUTOR_AS_DEFAULT) ||                                              \
    defined(BOOST_ASIO_ENABLE_BUFFER_DEBUGGING) || defined(BOOST_ASIO_DISABLE_STD_SHARED_PTR) ||   \
    defined(BOOST_ASIO_DISABLE_STD_FUNCTION)
#include <cosock/detail/asio_build.hpp>
#endif
