// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Ports of loopback on which connections are accepted, refused or not answered.

#include <cosock/address.hpp>

#include "netns.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <string>
#include <utility>

namespace test {

using cosock::address;
using cosock::endpoint;

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
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;
};

/// A blocking socket of the system.
class plain_socket {
 public:
  explicit plain_socket(int fd) : fd_(fd) { test::check(fd >= 0, "socket"); }
  plain_socket(plain_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~plain_socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

  /// Waits for what the peer sends, and gives it; empty at the end of the stream.
  std::string receive() {
    char text[64];
    const ssize_t n = ::recv(fd_, text, sizeof text, 0);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
  }

 private:
  int fd_;
};

/// A port of loopback on which connections are refused, for as long as the object lives.
class closed_port : public plain_socket {
 public:
  explicit closed_port(const address& on = address::loopback_v4(), int type = SOCK_STREAM)
      : plain_socket(::socket(on.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0)) {
    system_name name(endpoint(on, 0));
    test::check(::bind(fd(), name.get(), name.size) == 0, "bind");
    ::getsockname(fd(), name.get(), &name.size);
    at_ = {on, name.port()};
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
    test::check(::listen(fd(), backlog) == 0, "listen");
  }
  plain_socket accept() { return plain_socket(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)); }
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
      const plain_socket& filler = fillers_.emplace_back(
          ::socket(on.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      system_name name(at());
      ::connect(filler.fd(), name.get(), name.size);
      p = {filler.fd(), POLLOUT, 0};
    } while (::poll(&p, 1, 100) == 1);
  }

 private:
  std::deque<plain_socket> fillers_;
};

}  // namespace test
