// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <concepts>
#include <type_traits>

namespace cosock {

/// A reference to a function `void(First, Rest...)` that is called at events; empty by default. The
/// function may also take the first argument only. A function, a function pointer and a lambda without
/// captures are copied; any other function object must be a named variable that outlives it, and a
/// temporary one is refused at compile time.
template <class First, class... Rest>
class observer {
  template <class F>
  static constexpr bool takes_all = std::invocable<F&, First, Rest...>;
  template <class F>
  static constexpr bool is_function =
      std::convertible_to<F, void (*)(First, Rest...)> || std::convertible_to<F, void (*)(First)>;
  template <class F>
  static constexpr bool observes = !std::derived_from<std::remove_cvref_t<F>, observer> &&
                                   (takes_all<F> || std::invocable<F&, First>);

 public:
  constexpr observer() noexcept = default;
  /// Keeps the address of a function, or that of an object.
  template <class F>
    requires(observes<F>)
  observer(F&& f) noexcept {
    static_assert(
        is_function<F> || std::is_lvalue_reference_v<F>,
        "an observer keeps the address of a lambda with captures: make the lambda a named "
        "variable that outlives the observer, and pass the name");
    if constexpr (std::convertible_to<F, void (*)(First, Rest...)>) {
      void (*const function)(First, Rest...) = f;
      function_ = reinterpret_cast<void (*)()>(function);
      call_ = [](const observer& self, First first, Rest... rest) {
        reinterpret_cast<void (*)(First, Rest...)>(self.function_)(first, rest...);
      };
    } else if constexpr (is_function<F>) {
      void (*const function)(First) = f;
      function_ = reinterpret_cast<void (*)()>(function);
      call_ = [](const observer& self, First first, Rest...) {
        reinterpret_cast<void (*)(First)>(self.function_)(first);
      };
    } else {
      object_ = __builtin_addressof(f);
      call_ = [](const observer& self, First first, [[maybe_unused]] Rest... rest) {
        auto& object = *static_cast<std::remove_reference_t<F>*>(const_cast<void*>(self.object_));
        if constexpr (takes_all<F>)
          object(first, rest...);
        else
          object(first);
      };
    }
  }
  /// Calls the function; no effect if empty.
  void operator()(First first, Rest... rest) const {
    if (call_) call_(*this, first, rest...);
  }
  /// Whether there is a function to call.
  constexpr explicit operator bool() const noexcept { return call_ != nullptr; }

 private:
  void (*function_)() = nullptr;
  const void* object_ = nullptr;
  void (*call_)(const observer&, First, Rest...) = nullptr;
};

}  // namespace cosock
