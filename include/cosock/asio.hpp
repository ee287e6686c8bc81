// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/asio_operation.hpp>
#include <cosock/detail/asio_spawn.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>

namespace cosock {

struct use_task_t {};
inline constexpr use_task_t use_task;

[[nodiscard]] COSOCK_API boost::asio::any_io_executor loop_executor();

template <class T, class Executor>
[[nodiscard]] auto await(boost::asio::awaitable<T, Executor> of) {
  return boost::asio::co_spawn(loop_executor(), std::move(of), use_task);
}

template <class Where, class F, class Token>
auto spawn(Where&& where, F&& work, Token&& token) {
  auto function = detail::as_function(std::forward<F>(work));
  using returned = std::invoke_result_t<decltype(function)&>;
  static_assert(detail::is_task<returned>, "spawn() takes a task, or a function that returns one");
  using T = typename returned::value_type;
  static_assert(!detail::is_detached<Token>,
                "with asio::detached an error would vanish: leave out the token, and errors are "
                "reported, or pass a cosock::error_observer");
  return boost::asio::async_initiate<Token, typename detail::spawn_signature<T>::type>(
      detail::spawn_initiation(), token, detail::executor_of(where), std::move(function));
}

template <class Where, class F>
void spawn(Where&& where, F&& work, error_observer on_error = {}) {
  spawn(where, std::forward<F>(work), detail::report_error{on_error});
}

}  // namespace cosock
