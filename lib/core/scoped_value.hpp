// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <utility>

namespace cosock::detail {

/// Sets a variable. The destructor restores the former value, so that scopes nest and an exception
/// restores it too.
template <class T>
class scoped_value {
 public:
  scoped_value(T& variable, T value) noexcept
      : variable_(variable), before_(std::exchange(variable, value)) {}
  ~scoped_value() { variable_ = before_; }
  scoped_value(const scoped_value&) = delete;

 private:
  T& variable_;
  T before_;
};

}  // namespace cosock::detail
