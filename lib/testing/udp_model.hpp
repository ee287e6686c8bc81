// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A simulated UDP socket, as udp(7) describes it. Multicast and broadcast are not modelled.

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
  void arrived(packet&);
  /// No socket has the port of the peer, or a router answers.
  void unreachable(const name& to, int why);

 private:
  struct datagram {
    name from;
    std::string data;
  };
  int bind_if_needed(const name& to);

  std::optional<name> peer_;
  bool chose_address_ = false;  // connect() has, not the program
  bool chose_port_ = false;     // the system has
  std::deque<datagram> queue_;
  std::size_t queued_bytes_ = 0;
};

}  // namespace cosock::testing::detail
