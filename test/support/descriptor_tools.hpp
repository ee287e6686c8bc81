// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Descriptors of every kind that another process could share: all of them in blocking mode.

#include <cosock/descriptor_stream.hpp>
#include <cosock/descriptors.hpp>

#include "stream_fixture.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

namespace test {

using cosock::descriptor_stream;
using cosock::unique_descriptor;

/// Two ends of something: what is written to the one is read from the other.
struct descriptor_ends {
  unique_descriptor first;
  unique_descriptor second;
};
inline descriptor_ends ends_of(const int (&fds)[2]) {
  return {unique_descriptor::adopt(fds[0]), unique_descriptor::adopt(fds[1])};
}

/// The end to read from, and the end to write to.
inline descriptor_ends make_pipe() {
  int fds[2];
  BOOST_REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  return ends_of(fds);
}

/// The same of a FIFO, whose name has been removed.
inline descriptor_ends make_fifo() {
  char folder[] = "/tmp/cosock-fifo-XXXXXX";
  BOOST_REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string name = std::string(folder) + "/fifo";
  BOOST_REQUIRE(::mkfifo(name.c_str(), 0600) == 0);
  const int in = ::open(name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const int out = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
  ::fcntl(in, F_SETFL, 0);
  ::unlink(name.c_str());
  ::rmdir(folder);
  return ends_of({in, out});
}

/// The master, and a slave that passes bytes on as they are.
inline descriptor_ends make_terminal(bool raw = true) {
  int fds[2];
  termios mode = {};
  if (raw) ::cfmakeraw(&mode);
  BOOST_REQUIRE(::openpty(&fds[0], &fds[1], nullptr, raw ? &mode : nullptr, nullptr) == 0);
  return ends_of(fds);
}

inline descriptor_ends make_socket_pair(int type = SOCK_STREAM) {
  int fds[2];
  BOOST_REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0);
  return ends_of(fds);
}

/// Takes a descriptor that cannot be opened by its name: as a daemon does which has changed its
/// user.
inline descriptor_stream adopt_without_permission(unique_descriptor of) {
  BOOST_REQUIRE(::fchmod(of.get(), 0) == 0);
  const int before = ::setfsuid(65534);  // of this thread: it takes the capabilities of root, too
  auto stream = descriptor_stream::adopt(of.release());
  ::setfsuid(static_cast<uid_t>(before));
  return stream;
}

inline descriptor_stream adopted(unique_descriptor fd, bool permission) {
  return permission ? descriptor_stream::adopt(fd.release())
                    : adopt_without_permission(std::move(fd));
}

inline bool is_blocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }
/// Another descriptor of the same open file description.
inline unique_descriptor share(const unique_descriptor& of) {
  return unique_descriptor::adopt(::fcntl(of.get(), F_DUPFD_CLOEXEC, 3));
}

/// What can be read at once.
inline std::string read_available(int fd) {
  std::string all;
  char part[4096];
  pollfd asked = {fd, POLLIN, 0};
  while (::poll(&asked, 1, 0) > 0 && (asked.revents & POLLIN)) {
    const ssize_t n = ::read(fd, part, sizeof part);
    if (n <= 0) break;
    all.append(part, static_cast<std::size_t>(n));
  }
  return all;
}

inline void write_all(int fd, std::string_view text) {
  BOOST_REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

inline task<std::string> receive_some(byte_stream& from) {
  std::string into(4096, '\0');
  into.resize(co_await from.receive(into));
  co_return into;
}

}  // namespace test
