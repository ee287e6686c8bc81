// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A process that may open a file lends it to one that may not: the parent opens it and passes the
// descriptor through a local socket, the child reads from it.
//
//   descriptor_passing FILE        prints the file, as the child reads it

#include <cosock/cosock.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

cosock::unique_descriptor open_file(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  auto file = cosock::unique_descriptor::adopt(fd);
  struct stat about = {};
  if (fd >= 0 && ::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) errno = EISDIR;
  if (fd < 0 || S_ISDIR(about.st_mode))
    throw std::system_error(errno, std::generic_category(), path);
  return file;
}

// The parent. A descriptor goes with at least one byte; here it is the path, for the child to name.
cosock::task<> lend(int channel, std::string path) {
  auto child = cosock::local_stream_socket::adopt(channel);
  const cosock::unique_descriptor file = open_file(path.c_str());
  const int descriptors[] = {file.get()};
  co_await child.send_with_descriptors(path, descriptors);
}

// The child.
cosock::task<> print_borrowed(int channel) {
  auto parent = cosock::local_stream_socket::adopt(channel);
  char path[4096];
  auto got = co_await parent.receive_with_descriptors(path, 1);
  if (got.end) co_return;  // there was nothing to lend, and the parent says why
  if (got.descriptors.empty()) throw std::runtime_error("no descriptor has come");
  const std::string name(path, got.size);
  if (::access(name.c_str(), R_OK) != 0)
    std::fprintf(stderr, "the child may not open %s: %s\n", name.c_str(), std::strerror(errno));
  auto file = cosock::descriptor_stream::adopt(got.descriptors[0].release());
  auto output = cosock::standard_output();
  char buffer[4096];
  while (std::size_t n = co_await file.receive(buffer))
    co_await output.send(cosock::buffer(buffer, n));
}

// As root, the child becomes a user who may open next to nothing.
bool drop_privileges() {
  constexpr unsigned nobody = 65534;
  return ::geteuid() != 0 || (::setgroups(0, nullptr) == 0 &&
                              ::setgid(nobody) == 0 && ::setuid(nobody) == 0);
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: descriptor_passing FILE");
  int ends[2];
  const bool connected = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
  const pid_t child = connected ? ::fork() : -1;  // before there is a loop, which does not survive it
  if (child < 0) {
    std::perror("descriptor_passing");
    return 1;
  }
  if (child == 0) {
    ::close(ends[0]);
    std::exit(drop_privileges() ? cosock::run(print_borrowed(ends[1])) : 1);
  }
  ::close(ends[1]);
  const int lent = cosock::run(lend(ends[0], argv[1]));
  int status = 1;
  ::waitpid(child, &status, 0);
  return lent == 0 && status == 0 ? 0 : 1;
}
