// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The library and a program that includes the bridge share objects of Asio. So both must be
// compiled with the same Boost, and with the same macros, if the layout or the behavior of these
// objects depends on them. Otherwise the program is not linked: each translation unit refers to a
// symbol for each of these facts, and the library defines only the symbols of its own build. The
// message of the linker, or of the dynamic linker, names the difference:
//
//   undefined reference to `cosock_was_built_without_rtti'
//
// If such a macro is defined, config.hpp includes this header too: a program that uses Asio by
// itself shares functions of Asio with a static library. Its Boost and its RTTI may differ.
//
// Other macros, BOOST_ASIO_NO_DEPRECATED, NO_TS_EXECUTORS, SEPARATE_COMPILATION or
// DISABLE_ERROR_LOCATION for example, add or remove functions, but change no object: they may
// differ.

#include <cosock/detail/config.hpp>

#include <boost/asio/detail/config.hpp>
#include <boost/version.hpp>

// Asio keeps objects for each thread, and its categories of errors. The library and the program
// must find the same objects, so their symbols are visible even if the program hides all others.
// Asio has no public option for that.
#pragma GCC visibility push(default)
#include <boost/asio/detail/call_stack.hpp>
#include <boost/asio/detail/thread_context.hpp>
#include <boost/asio/detail/thread_info_base.hpp>
#include <boost/asio/error.hpp>
#pragma GCC visibility pop

#define COSOCK_JOIN2(a, b) a##b
#define COSOCK_JOIN(a, b) COSOCK_JOIN2(a, b)

#define COSOCK_BUILD_BOOST COSOCK_JOIN(cosock_was_built_with_Boost_, BOOST_VERSION)

// A virtual function table has a type in it, and Asio finds services by their types.
#if defined(__GXX_RTTI) || defined(__cpp_rtti)
#define COSOCK_BUILD_RTTI cosock_was_built_with_rtti
#else
#define COSOCK_BUILD_RTTI cosock_was_built_without_rtti
#endif
#if defined(BOOST_ASIO_NO_TYPEID) && (defined(__GXX_RTTI) || defined(__cpp_rtti))
#define COSOCK_BUILD_TYPEID_MACRO cosock_was_built_with_BOOST_ASIO_NO_TYPEID
#else
#define COSOCK_BUILD_TYPEID_MACRO cosock_was_built_without_BOOST_ASIO_NO_TYPEID
#endif

// Every operation has members for these.
#if defined(BOOST_ASIO_CUSTOM_HANDLER_TRACKING)
#define COSOCK_BUILD_TRACKING cosock_was_built_with_BOOST_ASIO_CUSTOM_HANDLER_TRACKING
#elif defined(BOOST_ASIO_ENABLE_HANDLER_TRACKING)
#define COSOCK_BUILD_TRACKING cosock_was_built_with_BOOST_ASIO_ENABLE_HANDLER_TRACKING
#else
#define COSOCK_BUILD_TRACKING cosock_was_built_without_BOOST_ASIO_ENABLE_HANDLER_TRACKING
#endif

// The mutexes and condition variables of an io_context, and the objects of each thread.
#if !defined(BOOST_ASIO_HAS_THREADS)
#define COSOCK_BUILD_THREADS cosock_was_built_with_BOOST_ASIO_DISABLE_THREADS
#elif !defined(BOOST_ASIO_HAS_STD_MUTEX_AND_CONDVAR)
#define COSOCK_BUILD_THREADS cosock_was_built_with_BOOST_ASIO_DISABLE_STD_MUTEX_AND_CONDVAR
#else
#define COSOCK_BUILD_THREADS cosock_was_built_without_BOOST_ASIO_DISABLE_THREADS
#endif
#if defined(BOOST_ASIO_HAS_FUTEX)
#define COSOCK_BUILD_FUTEX cosock_was_built_without_BOOST_ASIO_DISABLE_FUTEX
#elif defined(BOOST_ASIO_HAS_STD_ATOMIC_WAIT)
#define COSOCK_BUILD_FUTEX cosock_was_built_with_BOOST_ASIO_DISABLE_FUTEX
#else
#define COSOCK_BUILD_FUTEX cosock_was_built_with_BOOST_ASIO_DISABLE_STD_ATOMIC_WAIT
#endif
#if defined(BOOST_ASIO_HAS_STD_ATOMIC)
#define COSOCK_BUILD_ATOMIC cosock_was_built_without_BOOST_ASIO_DISABLE_STD_ATOMIC
#else
#define COSOCK_BUILD_ATOMIC cosock_was_built_with_BOOST_ASIO_DISABLE_STD_ATOMIC
#endif
#if defined(BOOST_ASIO_HAS_THREAD_KEYWORD_EXTENSION)
#define COSOCK_BUILD_KEYWORD cosock_was_built_without_BOOST_ASIO_DISABLE_THREAD_KEYWORD_EXTENSION
#else
#define COSOCK_BUILD_KEYWORD cosock_was_built_with_BOOST_ASIO_DISABLE_THREAD_KEYWORD_EXTENSION
#endif
#if defined(BOOST_ASIO_NO_EXCEPTIONS) || !defined(BOOST_ASIO_HAS_STD_EXCEPTION_PTR)
#define COSOCK_BUILD_EXCEPTIONS cosock_was_built_with_BOOST_ASIO_NO_EXCEPTIONS
#else
#define COSOCK_BUILD_EXCEPTIONS cosock_was_built_without_BOOST_ASIO_NO_EXCEPTIONS
#endif

// Memory that one side allocates, and keeps for later, the other releases.
#if defined(BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING)
#define COSOCK_BUILD_RECYCLING cosock_was_built_with_BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING
#elif defined(BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE) && \
    BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE != 2
#define COSOCK_BUILD_RECYCLING                                                  \
  COSOCK_JOIN(cosock_was_built_with_BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE_, \
              BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE)
#else
#define COSOCK_BUILD_RECYCLING cosock_was_built_with_the_usual_recycling_of_Asio
#endif
#if defined(BOOST_ASIO_HAS_STD_ALIGNED_ALLOC)
#define COSOCK_BUILD_ALIGNED cosock_was_built_without_BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC
#else
#define COSOCK_BUILD_ALIGNED cosock_was_built_with_BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC
#endif

// The class of the reactor, and its members.
#if defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
#define COSOCK_BUILD_REACTOR cosock_was_built_with_BOOST_ASIO_HAS_IO_URING_AS_DEFAULT
#elif !defined(BOOST_ASIO_HAS_EPOLL)
#define COSOCK_BUILD_REACTOR cosock_was_built_with_BOOST_ASIO_DISABLE_EPOLL
#elif defined(BOOST_ASIO_HAS_IO_URING)
#define COSOCK_BUILD_REACTOR cosock_was_built_with_BOOST_ASIO_HAS_IO_URING
#else
#define COSOCK_BUILD_REACTOR cosock_was_built_without_BOOST_ASIO_DISABLE_EPOLL_or_HAS_IO_URING
#endif
#if defined(BOOST_ASIO_HAS_EVENTFD)
#define COSOCK_BUILD_EVENTFD cosock_was_built_without_BOOST_ASIO_DISABLE_EVENTFD
#else
#define COSOCK_BUILD_EVENTFD cosock_was_built_with_BOOST_ASIO_DISABLE_EVENTFD
#endif
#if defined(BOOST_ASIO_HAS_TIMERFD)
#define COSOCK_BUILD_TIMERFD cosock_was_built_without_BOOST_ASIO_DISABLE_TIMERFD
#else
#define COSOCK_BUILD_TIMERFD cosock_was_built_with_BOOST_ASIO_DISABLE_TIMERFD
#endif

// The classes of any_io_executor, of buffers, and of members of services.
#if defined(BOOST_ASIO_USE_TS_EXECUTOR_AS_DEFAULT)
#define COSOCK_BUILD_EXECUTOR cosock_was_built_with_BOOST_ASIO_USE_TS_EXECUTOR_AS_DEFAULT
#else
#define COSOCK_BUILD_EXECUTOR cosock_was_built_without_BOOST_ASIO_USE_TS_EXECUTOR_AS_DEFAULT
#endif
#if defined(BOOST_ASIO_ENABLE_BUFFER_DEBUGGING)
#define COSOCK_BUILD_BUFFERS cosock_was_built_with_BOOST_ASIO_ENABLE_BUFFER_DEBUGGING
#else
#define COSOCK_BUILD_BUFFERS cosock_was_built_without_BOOST_ASIO_ENABLE_BUFFER_DEBUGGING
#endif
#if defined(BOOST_ASIO_HAS_STD_SHARED_PTR)
#define COSOCK_BUILD_POINTERS cosock_was_built_without_BOOST_ASIO_DISABLE_STD_SHARED_PTR
#else
#define COSOCK_BUILD_POINTERS cosock_was_built_with_BOOST_ASIO_DISABLE_STD_SHARED_PTR
#endif
#if defined(BOOST_ASIO_HAS_STD_FUNCTION)
#define COSOCK_BUILD_FUNCTIONS cosock_was_built_without_BOOST_ASIO_DISABLE_STD_FUNCTION
#else
#define COSOCK_BUILD_FUNCTIONS cosock_was_built_with_BOOST_ASIO_DISABLE_STD_FUNCTION
#endif

// The tool moves the list at each pass.
// clang-format off
#define COSOCK_BUILD_MACROS(F)                                                               \
  F(COSOCK_BUILD_TYPEID_MACRO) F(COSOCK_BUILD_TRACKING) F(COSOCK_BUILD_THREADS)              \
  F(COSOCK_BUILD_ATOMIC) F(COSOCK_BUILD_KEYWORD) F(COSOCK_BUILD_EXCEPTIONS)                  \
  F(COSOCK_BUILD_RECYCLING) F(COSOCK_BUILD_ALIGNED) F(COSOCK_BUILD_REACTOR)                  \
  F(COSOCK_BUILD_EVENTFD) F(COSOCK_BUILD_EXECUTOR) F(COSOCK_BUILD_BUFFERS)                   \
  F(COSOCK_BUILD_POINTERS) F(COSOCK_BUILD_FUNCTIONS) F(COSOCK_BUILD_TIMERFD)                 \
  F(COSOCK_BUILD_FUTEX)
// clang-format on
#define COSOCK_BUILD_COMPILER(F) F(COSOCK_BUILD_BOOST) F(COSOCK_BUILD_RTTI)

#define COSOCK_DECLARE_FACT(name) extern COSOCK_API const char name;
#define COSOCK_REFER_TO_FACT(name) &name,
extern "C" {
COSOCK_BUILD_MACROS(COSOCK_DECLARE_FACT)
COSOCK_BUILD_COMPILER(COSOCK_DECLARE_FACT)
}

// A reference in each translation unit, because they may differ too. Kept by the compiler, and by a
// linker that drops unused data, although no code uses it.
#if defined(__has_attribute) && __has_attribute(retain)
#define COSOCK_KEPT [[gnu::used, gnu::retain]]
#else
#define COSOCK_KEPT [[gnu::used]]
#endif
namespace cosock::detail {
COSOCK_KEPT static const char* const build_macros[] = {COSOCK_BUILD_MACROS(COSOCK_REFER_TO_FACT)};
}
