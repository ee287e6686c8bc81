// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Places for the results of when_all, when_any, loop::start and spawn. The awaitable or handle owns
// the slot; the coroutine of the child fills it.

#include <cosock/detail/task_group.hpp>

#include <functional>
#include <optional>
#include <variant>

namespace cosock::detail {

/// A result as an object that std::optional and std::tuple can hold.
template <class T>
using storable =
    std::conditional_t<std::is_void_v<T>, std::monostate,
                       std::conditional_t<std::is_reference_v<T>,
                                          std::reference_wrapper<std::remove_reference_t<T>>, T>>;

inline constexpr std::size_t no_winner = static_cast<std::size_t>(-1);

/// A child that stores its result, and its index if it is the first to succeed.
template <class A, class Slot>
child_coroutine fill_slot(A operand, Slot& slot, std::size_t index, std::size_t& first) {
  if constexpr (std::is_void_v<decltype(operand.result())>) {
    co_await std::move(operand);
    slot.emplace();
  } else {
    slot.emplace(co_await std::move(operand));
  }
  if (first == no_winner) first = index;
}

}  // namespace cosock::detail
