// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// std::unique_ptr for the headers that most programs include: <memory> takes a third of the time in which a
// file with <cosock/tcp.hpp> compiles, because it includes <ostream>.

#include <concepts>
#include <type_traits>
#include <utility>

namespace cosock::detail {

struct deletes {
  template <class T>
  void operator()(T* object) const noexcept {
    static_assert(sizeof(T) != 0, "the type is incomplete here");
    delete object;
  }
};

/// Owns an object, or is null. Accepts a std::unique_ptr.
template <class T, class Deleter = deletes>
class owner {
 public:
  owner() noexcept = default;
  explicit owner(T* object) noexcept : object_(object) {}
  owner(owner&& other) noexcept : object_(other.release()) {}
  template <class Pointer>
    requires requires(Pointer&& p) {
      { p.release() } -> std::convertible_to<T*>;
    } && std::is_rvalue_reference_v<Pointer&&>
  owner(Pointer&& pointer) noexcept : object_(pointer.release()) {}
  owner& operator=(owner&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~owner() { reset(); }

  void reset(T* object = nullptr) noexcept {
    if (T* const before = std::exchange(object_, object)) Deleter()(before);
  }
  [[nodiscard]] T* release() noexcept { return std::exchange(object_, nullptr); }
  T* get() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace cosock::detail
