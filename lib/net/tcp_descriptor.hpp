// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The object behind tcp_socket. Made by connect(), by acceptors and by adopt(); the socket owns it.

#include <cosock/address.hpp>

#include "io/descriptor.hpp"

#include <optional>

namespace cosock::detail {

/// The descriptor of a TCP connection.
class tcp_descriptor final : public descriptor {
 public:
  /// As descriptor::open().
  static tcp_descriptor* open(scheduler& loop, int fd, bool shared) {
    return make<tcp_descriptor>(loop, fd, fd_kind::tcp, shared);
  }
  /// For open().
  tcp_descriptor(scheduler& loop, int fd, fd_kind kind, bool shared) noexcept
      : descriptor(loop, fd, kind, shared) {}

  /// The other end, as accept(2) or connect(2) knew it, so that it stays known when the connection is
  /// lost.
  std::optional<endpoint> peer;

 private:
  ~tcp_descriptor() override = default;
};

}  // namespace cosock::detail
