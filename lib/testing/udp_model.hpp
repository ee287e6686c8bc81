// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A simulated UDP socket, as udp(7) describes it. Broadcast is not modelled.

#include "testing/group_memberships.hpp"
#include "testing/model_socket.hpp"

#include <deque>
#include <optional>
#include <string>

namespace cosock::testing::detail {

class udp_model final : public model_socket {
 public:
  udp_model(machine& on, int of_family) noexcept : model_socket(on, of_family, SOCK_DGRAM) {
    send_buffer_ = receive_buffer_ = 2 * 212992;
  }

  int bind(const sockaddr*, socklen_t) override;
  int connect(const sockaddr*, socklen_t) override;
  int shutdown(int) override { return peer_ ? 0 : -ENOTCONN; }
  void close() override;
  void vanish() noexcept override { watch = nullptr; }
  int getsockname(sockaddr*, socklen_t*) override;
  int getpeername(sockaddr*, socklen_t*) override;
  ssize_t receive(msghdr&, int flags) override;
  ssize_t send(const msghdr&) override;
  short state() const noexcept override;

  /// Whether datagrams from this sender are for this socket.
  bool accepts(const name& from) const noexcept { return !peer_ || *peer_ == from; }
  /// Whether datagrams of this sender to this group are for this socket.
  bool wants(const name& group, const name& from) const noexcept;
  bool has_joined(const ip_bytes& group) const noexcept { return groups_.contains(group); }
  void arrived(packet&);
  /// No socket has the port of the peer, or a router answers.
  void unreachable(const name& to, int why);

 private:
  struct datagram {
    name from;
    std::string data;
  };
  int bind_if_needed(const name& to);
  int mtu_mode(const name& to) const noexcept;
  /// Whether a datagram of this size may be sent, and what of it may not be fragmented on the way.
  bool fits(const name& to, std::size_t size, std::size_t& whole_bytes) const;
  std::optional<int> computed_option(int level, int option) const override;
  std::optional<int> set_structure(int level, int option, const void*, socklen_t) override;
  int change_membership(int option, const sockaddr_storage& group, const sockaddr_storage* sender,
                        int of_family);

  std::optional<name> peer_;
  bool chose_address_ = false;  // connect() has, not the program
  bool chose_port_ = false;     // the system has
  group_memberships groups_;
  std::deque<datagram> queue_;
  std::size_t queued_bytes_ = 0;
};

}  // namespace cosock::testing::detail
