// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "io/receive_counted.hpp"

#include "core/standard_numbers.hpp"

#include <unistd.h>

#include <atomic>
#include <bit>

namespace cosock::detail {

namespace {

enum class support : unsigned char { unknown, yes, no };

/// Three bytes of the number count up to 16 MiB. The most that a peer can send ahead is its send buffer, whose
/// size the system limits (wmem_max) for all but privileged programs.
support find_out() noexcept {
  const standard_numbers_occupied guard;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return support::unknown;  // no descriptor is free
  const int on = 1;
  int size = 1 << 30;
  socklen_t length = sizeof size;
  const bool good = ::setsockopt(fd, SOL_SOCKET, local_inq, &on, sizeof on) == 0 &&
                    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0 &&
                    ::getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length) == 0 && size < 1 << 24;
  ::close(fd);
  return good ? support::yes : support::no;
}

}  // namespace

bool has_local_inq() noexcept {
  if constexpr (std::endian::native != std::endian::little) return false;
  static std::atomic<support> known = support::unknown;
  support seen = known.load(std::memory_order_relaxed);
  if (seen == support::unknown) known.store(seen = find_out(), std::memory_order_relaxed);
  return seen == support::yes;
}

}  // namespace cosock::detail
