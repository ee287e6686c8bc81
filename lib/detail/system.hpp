// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/descriptors.hpp>
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
