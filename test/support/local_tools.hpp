// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What tests of local sockets need of the system.

#include <cosock/local_endpoint.hpp>

#include "loop_endings.hpp"
#include "raw_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

namespace test {

using cosock::local_endpoint;

constexpr unsigned nobody = 65534;

/// A folder that ends with the test, and everything in it.
class temporary_folder {
 public:
  temporary_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "cosock-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()));
    path_ = std::move(name);
  }
  ~temporary_folder() { std::filesystem::remove_all(path_); }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + '/' + std::string(name); }
  local_endpoint at(std::string_view name) const { return local_endpoint::path(*this / name); }

 private:
  std::string path_;
};

inline bool exists(const std::string& path) {
  struct stat there;
  return ::lstat(path.c_str(), &there) == 0;
}

inline void make_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  BOOST_REQUIRE(fd >= 0);
  ::close(fd);
}

/// A local socket of the system.
class raw_local : public raw_socket {
 public:
  explicit raw_local(int type = SOCK_STREAM) : raw_socket(type, AF_UNIX) {}
  static raw_local of(int fd) { return raw_local(raw_socket::of(fd)); }
  /// Two that are connected to each other.
  static std::pair<raw_local, raw_local> pair(int type) {
    int ends[2];
    BOOST_REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
    return {of(ends[0]), of(ends[1])};
  }

  int bind(const cosock::local_endpoint& at) { return name(at, &::bind); }
  int connect(const cosock::local_endpoint& to) { return name(to, &::connect); }
  int listen() { return ::listen(fd(), 10); }

 private:
  explicit raw_local(raw_socket&& of) : raw_socket(std::move(of)) {}
  int name(const cosock::local_endpoint& e, int call(int, const sockaddr*, socklen_t)) {
    sockaddr_un raw = {};
    raw.sun_family = AF_UNIX;
    const std::size_t skip = e.is_abstract() ? 1 : 0;
    std::memcpy(raw.sun_path + skip, e.name().data(), e.name().size());
    return call(fd(), reinterpret_cast<const sockaddr*>(&raw),
                static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + skip + e.name().size()));
  }
};

/// Leaves the file of a socket to which nothing is bound any more.
inline void leave_stale(const local_endpoint& at, int type = SOCK_STREAM) {
  raw_local gone(type);
  BOOST_REQUIRE(gone.bind(at) == 0);
}

/// A process beside the test. Its function says whether all was as it should be.
class child_process {
 public:
  explicit child_process(const std::function<bool()>& body) : id_(::fork()) {
    BOOST_REQUIRE(id_ >= 0);
    if (id_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool good = false;
    try {
      const alarm_clock guard(60);
      good = body();
    } catch (...) {
    }
    ::_exit(good ? 0 : 1);
  }
  ~child_process() {
    if (id_ > 0) succeeded();
  }
  int id() const { return id_; }
  /// Waits for its end.
  bool succeeded() {
    int status = -1;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) continue;
    id_ = -1;
    return status == 0;
  }

 private:
  pid_t id_;
};

/// Turns this process into one of a user who owns nothing.
inline bool become_nobody() {
  return ::setresgid(nobody, nobody, nobody) == 0 && ::setresuid(nobody, nobody, nobody) == 0;
}

/// For BOOST_AUTO_TEST_CASE: whether this process may become another user.
inline boost::test_tools::assertion_result is_root(boost::unit_test::test_unit_id) {
  boost::test_tools::assertion_result result(::geteuid() == 0);
  if (!result) {
    BOOST_TEST_MESSAGE("skipped: needs root, to become another user");
    result.message() << "needs root, to become another user";
  }
  return result;
}

/// A pipe, whose end of stream tells that nobody has its writing end any more.
struct pipe_ends {
  pipe_ends() { BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0); }
  ~pipe_ends() {
    for (const int fd : ends)
      if (fd >= 0) ::close(fd);
  }
  void close_writing() { ::close(std::exchange(ends[1], -1)); }
  int writing() const { return ends[1]; }
  bool nobody_writes() const {
    pollfd asked = {ends[0], POLLIN, 0};
    return ::poll(&asked, 1, 0) == 1 && (asked.revents & POLLHUP) != 0;
  }
  int ends[2];
};

inline bool is_close_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }
inline bool is_open_descriptor(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

/// Whether two descriptors are of the same file.
inline bool same_file(int a, int b) {
  struct stat one;
  struct stat two;
  return ::fstat(a, &one) == 0 && ::fstat(b, &two) == 0 && one.st_dev == two.st_dev &&
         one.st_ino == two.st_ino;
}

}  // namespace test
