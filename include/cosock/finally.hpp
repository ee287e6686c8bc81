// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/cancel.hpp>
#include <cosock/detail/slots.hpp>

namespace cosock {

namespace detail {

/// Called if the cleanup fails: throws its error, that of the operation, or both.
[[noreturn]] COSOCK_API void raise_after_cleanup(std::exception_ptr error,
                                                 std::exception_ptr cleanup_error);

template <class A, class Cleanup>
task<result_of<A>> run_with_cleanup(A operation, Cleanup cleanup) {
  using result = result_of<A>;
  std::optional<storable<result>> value;
  std::exception_ptr error;
  try {
    if constexpr (std::is_void_v<result>)
      co_await std::move(operation);
    else
      value.emplace(co_await std::move(operation));
  } catch (...) {
    error = std::current_exception();
  }
  std::exception_ptr cleanup_error;
  try {
    co_await shielded(cleanup());
  } catch (...) {
    cleanup_error = std::current_exception();
  }
  if (cleanup_error) raise_after_cleanup(std::move(error), std::move(cleanup_error));
  if (error) std::rethrow_exception(std::move(error));
  if constexpr (std::is_reference_v<result>)
    co_return value->get();
  else if constexpr (!std::is_void_v<result>)
    co_return *std::move(value);
}

}  // namespace detail

/// Awaits `operation`, a task or an operation, and then `cleanup()`, on every way out: a result, an
/// error of any type, a cancellation. `cleanup` is a function that returns an awaitable; it runs
/// shielded from cancellation, so limit it: `with_timeout(1s, peer.send("bye"))`.
///
/// Returns the result of `operation`, or throws its error, when the cleanup has ended. An error of
/// the cleanup is thrown if `operation` succeeded or was cancelled; if both failed, throws
/// multiple_errors with both. A coroutine that is destroyed, for example with its loop, runs no
/// cleanup: cleanup that does not await belongs in a destructor.
///
/// Both are moved or copied into the task that this returns. A lambda may capture by reference;
/// store one that captures by value in a named variable first (GCC 12 destroys such a temporary of
/// a `co_await` twice).
template <class A, class Cleanup>
auto finally(A&& operation, Cleanup&& cleanup) {
  static_assert(std::is_invocable_v<std::decay_t<Cleanup>&>,
                "the cleanup is a function without arguments");
  if constexpr (std::is_invocable_v<std::decay_t<Cleanup>&>)
    static_assert(detail::awaitable<std::invoke_result_t<std::decay_t<Cleanup>&>>,
                  "the cleanup returns cosock::task<>: this one returns something else");
  return detail::run_with_cleanup<detail::operand_t<A>, std::decay_t<Cleanup>>(
      detail::operand(std::forward<A>(operation)), std::forward<Cleanup>(cleanup));
}

}  // namespace cosock
