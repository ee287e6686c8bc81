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

/// Awaits `operation`, a task or an operation, and then `cleanup()`, whether `operation` returned, threw
/// or was cancelled. `cleanup` is a function that returns an awaitable, which is shielded from
/// cancellation: set a limit, as in `with_timeout(1s, peer.send("bye"))`.
///
/// Returns the result of `operation`, or throws its error, when the cleanup has ended. If only the
/// cleanup failed, or if `operation` was cancelled, throws the error of the cleanup; if both failed,
/// multiple_errors with both. A coroutine that is destroyed, for example with its loop, runs no
/// cleanup: use a destructor for cleanup that does not await.
///
/// `operation` and `cleanup` are moved or copied into the returned task. With GCC 12, a lambda that
/// captures by value must be a named variable: GCC 12 destroys a temporary one in a co_await expression
/// twice.
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
