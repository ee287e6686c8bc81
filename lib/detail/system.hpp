// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/core.hpp>
#include <cosock/error.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace cosock::detail {

failure to_failure(const boost::system::error_code&) noexcept;
failure own_failure(error) noexcept;
failure system_failure(int error_number) noexcept;
inline failure closed_failure() noexcept { return own_failure(error::closed); }

/// Throws with what the failure is about in front of its text.
[[noreturn]] void raise(const failure&, const std::string& about);
/// Throws with this text.
[[noreturn]] void raise_as(const failure&, const std::string& text);

/// Closes a descriptor unless it is handed on.
class owned_descriptor {
 public:
  explicit owned_descriptor(int fd) noexcept : fd_(fd) {}
  ~owned_descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  owned_descriptor(const owned_descriptor&) = delete;
  owned_descriptor& operator=(const owned_descriptor&) = delete;
  int get() const noexcept { return fd_; }
  int take() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// A socket address of the system, in both directions.
struct system_address {
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;

  system_address() = default;
  explicit system_address(const endpoint&) noexcept;
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  endpoint to_endpoint() const noexcept;
};

}  // namespace cosock::detail
