// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/task_group.hpp>

#include <functional>
#include <optional>

namespace cosock {

/// Stands for the result of an operand that gives nothing.
struct nothing {
  friend bool operator==(nothing, nothing) noexcept { return true; }
};

namespace detail {

template <class T>
using storable =
    std::conditional_t<std::is_void_v<T>, nothing,
                       std::conditional_t<std::is_reference_v<T>,
                                          std::reference_wrapper<std::remove_reference_t<T>>, T>>;

inline constexpr std::size_t no_winner = static_cast<std::size_t>(-1);

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

}  // namespace detail
}  // namespace cosock
