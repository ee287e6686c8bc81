// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <utility>

namespace cosock {

/// Owns a file descriptor, and closes it when destroyed. Belongs to no loop and to no thread.
class COSOCK_API unique_descriptor {
 public:
  /// Owns no descriptor.
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

  /// Takes over a descriptor and leaves its flags as they are; negative: no descriptor.
  [[nodiscard]] static unique_descriptor adopt(int descriptor) noexcept {
    unique_descriptor owner;
    owner.fd_ = descriptor;
    return owner;
  }
  /// Returns the descriptor to the caller, who owns it from then on; or -1.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  /// Closes the descriptor. Idempotent.
  void close() noexcept;
  /// The descriptor, which this object still owns, or -1.
  [[nodiscard]] int get() const noexcept { return fd_; }
  /// Whether it owns a descriptor.
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace cosock
