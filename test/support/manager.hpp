// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A service manager: the socket that NOTIFY_SOCKET names.

#include "inherited_fixture.hpp"

namespace test {

/// Receives what this process, and its children, tell it while it exists.
class manager {
 public:
  explicit manager(bool abstract = false) : socket_(new_socket(AF_UNIX, SOCK_DGRAM)) {
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    socklen_t size = sizeof(sa_family_t);
    if (!abstract) {
      name_ = folder_ / "notify";
      std::strcpy(name.sun_path, name_.c_str());
      size = sizeof name;
    }
    check(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&name), size) == 0, "bind");
    if (abstract) {
      size = sizeof name;
      check(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0, "name");
      name_ = '@' + std::string(name.sun_path + 1, size - sizeof(sa_family_t) - 1);
    }
    variable_.emplace("NOTIFY_SOCKET", name_);
  }

  const std::string& name() const { return name_; }
  /// The next notification; empty if none has arrived.
  std::string next() {
    char text[4096];
    const ssize_t n = ::recv(socket_.get(), text, sizeof text, MSG_DONTWAIT);
    return n < 0 ? "" : std::string(text, static_cast<std::size_t>(n));
  }
  /// The same, which waits.
  std::string wait() {
    pollfd one = {socket_.get(), POLLIN, 0};
    ::poll(&one, 1, 60'000);
    return next();
  }
  /// Fills the queue.
  void fill() {
    const unique_descriptor from = new_socket(AF_UNIX, SOCK_DGRAM);
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    std::strcpy(name.sun_path, name_.c_str());
    while (::sendto(from.get(), "x", 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&name),
                    sizeof name) == 1) {
    }
  }

 private:
  temporary_folder folder_;
  unique_descriptor socket_;
  std::string name_;
  std::optional<variable> variable_;
};

}  // namespace test
