// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <concepts>
#include <type_traits>

namespace cosock {

/// A reference to a function `void(Argument)` that is told of events; empty by default. A function,
/// a function pointer and a lambda without captures are copied; any other function object must
/// outlive it.
template <class Argument>
class observer {
 public:
  /// A function that is called without an object.
  using function = void (*)(Argument);

  constexpr observer() noexcept = default;
  /// Keeps the address of a function, or that of an object.
  template <class F>
    requires(!std::derived_from<std::remove_cvref_t<F>, observer> && std::invocable<F&, Argument> &&
             (std::is_lvalue_reference_v<F> || std::convertible_to<F, function>))
  constexpr observer(F&& f) noexcept {
    if constexpr (std::convertible_to<F, function>) {
      function_ = f;
    } else {
      object_ = __builtin_addressof(f);
      call_ = [](const void* object, Argument argument) {
        (*static_cast<std::remove_reference_t<F>*>(const_cast<void*>(object)))(argument);
      };
    }
  }
  /// Calls the function; no effect if empty.
  void operator()(Argument argument) const {
    if (function_)
      function_(argument);
    else if (call_)
      call_(object_, argument);
  }
  /// Whether there is a function to call.
  constexpr explicit operator bool() const noexcept { return function_ || call_; }

 private:
  function function_ = nullptr;
  const void* object_ = nullptr;
  void (*call_)(const void*, Argument) = nullptr;
};

}  // namespace cosock
