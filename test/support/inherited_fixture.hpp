// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Sockets as a service manager passes them: descriptors from 3 on, and variables of the environment.

#include "local_tools.hpp"

#include <cosock/unique_descriptor.hpp>

#include <cstdlib>
#include <optional>
#include <vector>

namespace test {

using cosock::unique_descriptor;

/// A variable of the environment that has its former value afterwards.
class variable {
 public:
  variable(const char* name, const std::optional<std::string>& value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    assign(value);
  }
  ~variable() { assign(before_); }
  variable(const variable&) = delete;

  void assign(const std::optional<std::string>& value) {
    if (value)
      ::setenv(name_, value->c_str(), 1);
    else
      ::unsetenv(name_);
  }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// Descriptors with the numbers from 3 on, and the environment that says so. What had these numbers
/// before has them again afterwards.
class inherited_fixture {
 public:
  explicit inherited_fixture(std::vector<unique_descriptor> sockets,
                             const std::optional<std::string>& names = std::nullopt)
      : count_(static_cast<int>(sockets.size())),
        number_("LISTEN_FDS", std::to_string(sockets.size())),
        names_("LISTEN_FDNAMES", names),
        pid_("LISTEN_PID", std::to_string(::getpid())) {
    for (unique_descriptor& socket : sockets) {  // out of the way of the numbers
      const int above = ::fcntl(socket.get(), F_DUPFD_CLOEXEC, 100);
      check(above >= 0, "fcntl");
      socket = unique_descriptor::adopt(above);
    }
    for (int i = 0; i != count_; ++i) {
      before_.push_back(unique_descriptor::adopt(::fcntl(3 + i, F_DUPFD_CLOEXEC, 100)));
      check(::dup2(sockets[static_cast<std::size_t>(i)].get(), 3 + i) >= 0, "dup2");
    }
  }
  ~inherited_fixture() {
    for (int i = 0; i != count_; ++i) {
      const unique_descriptor& before = before_[static_cast<std::size_t>(i)];
      if (before.is_open())
        ::dup3(before.get(), 3 + i, O_CLOEXEC);
      else
        ::close(3 + i);
    }
  }
  inherited_fixture(const inherited_fixture&) = delete;

  variable& number() { return number_; }
  variable& names() { return names_; }
  variable& pid() { return pid_; }

 private:
  int count_;
  variable number_;
  variable names_;
  variable pid_;
  std::vector<unique_descriptor> before_;
};

inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

/// Blocking sockets, as those of another program.
inline unique_descriptor new_socket(int family, int type) {
  const int fd = ::socket(family, type, 0);
  check(fd >= 0, "socket");
  return unique_descriptor::adopt(fd);
}
inline unique_descriptor internet_socket(int type, bool listens = false) {
  auto made = new_socket(AF_INET, type);
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(::bind(made.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0, "bind");
  if (listens) check(::listen(made.get(), 16) == 0, "listen");
  return made;
}
/// With an abstract name that the system picks.
inline unique_descriptor local_socket_of(int type, bool listens = false) {
  auto made = new_socket(AF_UNIX, type);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  check(::bind(made.get(), reinterpret_cast<sockaddr*>(&name), sizeof(sa_family_t)) == 0, "bind");
  if (listens) check(::listen(made.get(), 16) == 0, "listen");
  return made;
}

template <class... Socket>
std::vector<unique_descriptor> sockets(Socket... each) {
  std::vector<unique_descriptor> all;
  (all.push_back(std::move(each)), ...);
  return all;
}

}  // namespace test
