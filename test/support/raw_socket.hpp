// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A peer over TCP that is no part of the library.

#include <cosock/address.hpp>

#include "stream_fixture.hpp"
#include "support.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <utility>

namespace test {

using cosock::address;
using cosock::endpoint;

/// A socket of the system, in blocking mode: a peer that does exactly what it is told.
class raw_socket {
 public:
  explicit raw_socket(int type = SOCK_STREAM) : fd_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {}
  /// Connected: that takes no accept(2), only room in the backlog.
  explicit raw_socket(const endpoint& to) : raw_socket() { BOOST_REQUIRE(connect(to) == 0); }
  raw_socket(raw_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~raw_socket() { close(); }

  int connect(const endpoint& to) {
    const sockaddr_in name = v4(to);
    return ::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  }
  int bind(const endpoint& at) {
    const sockaddr_in name = v4(at);
    return ::bind(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  }
  endpoint local_endpoint() const {
    sockaddr_in name;
    socklen_t size = sizeof name;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size);
    address::v4_bytes bytes;
    std::memcpy(bytes.data(), &name.sin_addr, 4);
    return {address(bytes), ntohs(name.sin_port)};
  }
  bool send(std::string_view text, int flags = 0) {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | flags) ==
           static_cast<ssize_t>(text.size());
  }
  void shutdown_send() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const ::linger at_once = {1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  static sockaddr_in v4(const endpoint& e) {
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_port = htons(e.port());
    std::memcpy(&name.sin_addr, e.address().bytes().data(), 4);
    return name;
  }
  int fd_;
};

/// Blocks the thread, and with it the loop, until poll(2) sees one of the events.
inline void wait_behind_the_loops_back(int fd, short events) {
  pollfd asked = {fd, events, 0};
  BOOST_REQUIRE(::poll(&asked, 1, 10'000) == 1);
}

/// Blocks the thread until so many bytes wait to be received.
inline void wait_for_bytes(int fd, int count) {
  for (int there = 0; there < count;) {
    wait_behind_the_loops_back(fd, POLLIN);
    BOOST_REQUIRE(::ioctl(fd, FIONREAD, &there) == 0);
  }
}

}  // namespace test
