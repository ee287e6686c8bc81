// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Passes an open file to a process that lacks the permission to open it: the parent opens the file
// and sends the descriptor through a local socket; the child reads and prints the file.
//
//   descriptor_passing FILE

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
  struct stat status = {};
  if (fd >= 0 && ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) errno = EISDIR;
  if (fd < 0 || S_ISDIR(status.st_mode))
    throw std::system_error(errno, std::generic_category(), path);
  return file;
}

// Runs in the parent. A descriptor is sent with at least one byte; here with the path.
cosock::task<> send_file(int channel, std::string path) {
  auto child = cosock::local_stream_socket::adopt(channel);
  const cosock::unique_descriptor file = open_file(path.c_str());
  const int descriptors[] = {file.get()};
  co_await child.send_with_descriptors(path, descriptors);
}

// Runs in the child.
cosock::task<> print_file(int channel) {
  auto parent = cosock::local_stream_socket::adopt(channel);
  char path[4096];
  auto received = co_await parent.receive_with_descriptors(path, 1);
  if (received.end) co_return;  // the parent could not open the file, and reports it
  if (received.descriptors.empty()) throw std::runtime_error("no descriptor was received");
  const std::string name(path, received.size);
  if (::access(name.c_str(), R_OK) != 0)
    std::fprintf(stderr, "the child cannot open %s: %s\n", name.c_str(), std::strerror(errno));
  auto file = cosock::descriptor_stream::adopt(received.descriptors[0].release());
  auto output = cosock::descriptor_stream::standard_output();
  char buffer[4096];
  while (std::size_t n = co_await file.receive(buffer))
    co_await output.send(cosock::buffer(buffer, n));
}

// If the program runs as root, makes the child an unprivileged user.
bool drop_privileges() {
  constexpr unsigned nobody = 65534;
  return ::geteuid() != 0 ||
         (::setgroups(0, nullptr) == 0 && ::setgid(nobody) == 0 && ::setuid(nobody) == 0);
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: descriptor_passing FILE");
  int sockets[2];
  const bool connected = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0;
  const pid_t child = connected ? ::fork() : -1;  // a loop does not survive fork(): none runs yet
  if (child < 0) {
    std::perror("descriptor_passing");
    return 1;
  }
  if (child == 0) {
    ::close(sockets[0]);
    std::exit(drop_privileges() ? cosock::run(print_file(sockets[1])) : 1);
  }
  ::close(sockets[1]);
  const int sent = cosock::run(send_file(sockets[0], argv[1]));
  int status = 1;
  ::waitpid(child, &status, 0);
  return sent == 0 && status == 0 ? 0 : 1;
}
