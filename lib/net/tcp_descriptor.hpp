// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The object behind tcp_socket. Made by connect(), by acceptors and by adopt(); the socket owns it.

#include <cosock/address.hpp>

#include "io/descriptor.hpp"
#include "net/connection_source.hpp"

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
  /// The connections of its loop, if acceptors of several loops count them; or null.
  connection_count* count = nullptr;

 private:
  void on_detach() noexcept override {
    if (count) std::exchange(count, nullptr)->drop();
  }
  ~tcp_descriptor() override = default;
};

}  // namespace cosock::detail
