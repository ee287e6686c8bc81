// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A check of handlers, at compile time: of serve() and with_tls().

#include <string_view>
#include <type_traits>

namespace cosock::detail {

/// GCC 12 copies a closure that is a temporary of a co_await expression bit by bit, and destroys both.
/// The compiler names the type of a closure so, and of no other class.
template <class F>
constexpr void check_temporary_lambda() {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
  constexpr bool is_temporary = !std::is_reference_v<F>;
  if constexpr (is_temporary && std::is_class_v<F> && !std::is_trivially_destructible_v<F>) {
    constexpr bool is_lambda =
        std::string_view(__PRETTY_FUNCTION__).find("<lambda(") != std::string_view::npos;
    static_assert(
        !is_lambda,
        "GCC 12 destroys the captures of this lambda twice if it is written in a co_await "
        "expression: make it a named variable, and pass the name");
  }
#endif
}

}  // namespace cosock::detail
