// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/descriptors.hpp>
#include <cosock/detail/core.hpp>
#include <cosock/error.hpp>

#include <poll.h>
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

/// What poll(2) reports at once: the events asked for, POLLHUP, POLLERR; or 0.
inline short poll_now(int fd, short events) noexcept {
  pollfd asked = {fd, events, 0};
  return ::poll(&asked, 1, 0) > 0 ? asked.revents : short{0};
}

/// A socket address of the system, in both directions.
struct system_address {
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;

  system_address() = default;
  explicit system_address(const endpoint&) noexcept;
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  endpoint to_endpoint() const noexcept;
};

/// Whether there is a network interface with this index. The descriptor is any socket.
bool is_interface(int fd, std::uint32_t index) noexcept;
/// Whether bind(2), connect(2) and sendto(2) look at the scope id of an IPv6 address: link-local
/// ones, and multicast of the same reach. For others they ignore it (ipv6(7)).
bool is_scoped_by_system(const unsigned char* v6) noexcept;

}  // namespace cosock::detail
