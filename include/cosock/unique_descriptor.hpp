// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <utility>

namespace cosock {

/// Owns a descriptor of the system: closes it when destroyed. Bound to no loop and to no thread.
class COSOCK_API unique_descriptor {
 public:
  /// Owns none.
  unique_descriptor() noexcept = default;
  unique_descriptor(unique_descriptor&& other) noexcept : fd_(other.release()) {}
  unique_descriptor& operator=(unique_descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = other.release();
    }
    return *this;
  }
  ~unique_descriptor() { close(); }

  /// Takes over a descriptor, as it is; negative: none.
  [[nodiscard]] static unique_descriptor adopt(int descriptor) noexcept {
    unique_descriptor owner;
    owner.fd_ = descriptor;
    return owner;
  }
  /// Gives it up to the caller; -1 if there was none.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  /// Closes it, if there is one. Idempotent.
  void close() noexcept;
  /// The descriptor, or -1. It stays the owner's.
  [[nodiscard]] int get() const noexcept { return fd_; }
  /// Whether it owns one.
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace cosock
