// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Peers that are no part of the library, and ports that accept, refuse or do not answer.

#include <cosock/address.hpp>

#include "support.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

namespace test {

using cosock::address;
using cosock::endpoint;

/// An endpoint as the system names it.
struct system_name {
  system_name() = default;
  explicit system_name(const endpoint& of) {
    if (of.address().is_v4()) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(of.port());
      std::memcpy(&v4.sin_addr, of.address().bytes().data(), 4);
      size = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(of.port());
      std::memcpy(&v6.sin6_addr, of.address().bytes().data(), 16);
      size = sizeof v6;
    }
  }
  std::uint16_t port() const {  // stands at the same place in both
    return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
  }
  endpoint to_endpoint() const {
    if (storage.ss_family == AF_INET) {
      address::v4_bytes bytes;
      std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in&>(storage).sin_addr, 4);
      return {address(bytes), port()};
    }
    address::v6_bytes bytes;
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr, 16);
    return {address(bytes), port()};
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;
};

/// A socket of the system, in blocking mode: a peer that does exactly what it is told.
class raw_socket {
 public:
  explicit raw_socket(int type = SOCK_STREAM, int family = AF_INET)
      : raw_socket(of(::socket(family, type | SOCK_CLOEXEC, 0))) {}
  /// Connected: that takes no accept(2), only room in the backlog.
  explicit raw_socket(const endpoint& to) : raw_socket() { BOOST_REQUIRE(connect(to) == 0); }
  static raw_socket of(int fd) {
    check(fd >= 0, "socket");
    raw_socket made(nullptr);
    made.fd_ = fd;
    return made;
  }
  raw_socket(raw_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~raw_socket() { close(); }

  int connect(const endpoint& to) {
    system_name name(to);
    return ::connect(fd_, name.get(), name.size);
  }
  int bind(const endpoint& at) {
    system_name name(at);
    return ::bind(fd_, name.get(), name.size);
  }
  endpoint local_endpoint() const {
    system_name name;
    ::getsockname(fd_, name.get(), &name.size);
    return name.to_endpoint();
  }
  bool send(std::string_view text, int flags = 0) {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | flags) ==
           static_cast<ssize_t>(text.size());
  }
  /// Waits for what the peer sends, and gives it; empty at the end of the stream.
  std::string receive() {
    char text[64];
    const ssize_t n = ::recv(fd_, text, sizeof text, 0);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
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
  explicit raw_socket(std::nullptr_t) {}
  int fd_ = -1;
};

/// A port of loopback on which connections are refused, for as long as the object lives.
class closed_port : public raw_socket {
 public:
  explicit closed_port(const address& on = address::loopback_v4(), int type = SOCK_STREAM)
      : raw_socket(type, on.is_v4() ? AF_INET : AF_INET6) {
    check(bind(endpoint(on, 0)) == 0, "bind");
    at_ = local_endpoint();
  }
  const endpoint& at() const { return at_; }

 private:
  endpoint at_;
};

/// A port of loopback on which the system accepts connections.
class listener : public closed_port {
 public:
  explicit listener(const address& on = address::loopback_v4(), int backlog = 1024)
      : closed_port(on) {
    check(::listen(fd(), backlog) == 0, "listen");
  }
  raw_socket accept() { return of(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)); }
  bool has_connection() {
    pollfd p = {fd(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
  }
};

/// A port of loopback from which nothing comes back: its queue is full, so the system drops what
/// asks for one connection more.
class black_hole : public listener {
 public:
  explicit black_hole(const address& on = address::loopback_v4()) : listener(on, 0) {
    pollfd p;
    do {
      raw_socket& filler =
          fillers_.emplace_back(SOCK_STREAM | SOCK_NONBLOCK, on.is_v4() ? AF_INET : AF_INET6);
      filler.connect(at());
      p = {filler.fd(), POLLOUT, 0};
    } while (::poll(&p, 1, 100) == 1);
  }

 private:
  std::deque<raw_socket> fillers_;
};

inline constexpr endpoint any_port_v4(address::loopback_v4(), 0);
inline constexpr endpoint any_port_v6(address::loopback_v6(), 0);

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
