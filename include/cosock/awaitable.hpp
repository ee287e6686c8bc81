// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

namespace cosock {

/// A type that a cosock::task can `co_await`, and that when_all(), with_timeout(), as_result() and the
/// other combinators take: a task, an operation that a function of this library returns, or a
/// combination of those.
///
/// An awaitable does nothing until it is awaited. It is awaited once, as an rvalue, in a cosock::task,
/// on the loop to which its object belongs; one that is destroyed before has no effect. Each is a
/// cancellation point: in a cancelled scope it ends with `error::cancelled`.
///
/// Its type has no name that a program may use: take it as `auto`, or as a template parameter with this
/// concept. The headers show a class of namespace detail where a function returns an operation. Each
/// kind of operation has its own class, so that waiting allocates nothing and is inlined; the comment
/// of the function says what `co_await` returns.
template <class A>
concept awaitable = detail::awaitable<A>;

/// The type that `co_await` of an awaitable returns.
template <awaitable A>
using await_result_t = detail::result_of<A>;

/// An awaitable whose result has the type T.
template <class A, class T>
concept awaitable_of = awaitable<A> && std::same_as<await_result_t<A>, T>;

}  // namespace cosock
