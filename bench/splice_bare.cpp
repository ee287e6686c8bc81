// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The floor of a proxy: splice(2) and edge-triggered epoll, a pipe for each direction, one thread. It
// accepts two connections and passes on what each sends to the other, and then the next two.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

namespace {

constexpr int pipe_size = 1 << 20;

int check(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

struct direction {
  int from;
  int to;
  int out = -1;
  int in = -1;
  std::size_t there = 0;  // in the pipe
  bool ended = false;

  void open() {
    int ends[2];
    check(pipe2(ends, O_NONBLOCK | O_CLOEXEC), "pipe2");
    out = ends[0];
    in = ends[1];
    check(fcntl(in, F_SETPIPE_SZ, pipe_size), "F_SETPIPE_SZ");
  }

  /// Until it would have to wait. False when the connection is lost.
  bool pump() {
    while (!ended) {
      if (there == 0) {
        const ssize_t n =
            splice(from, nullptr, in, nullptr, pipe_size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0) return errno == EAGAIN;
        if (n == 0) {
          ended = true;
          shutdown(to, SHUT_WR);
        }
        there = static_cast<std::size_t>(n);
      } else {
        const ssize_t n =
            splice(out, nullptr, to, nullptr, there, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0) return errno == EAGAIN;
        there -= static_cast<std::size_t>(n);
      }
    }
    return true;
  }
};

int accept_one(int listener) {
  const int fd =
      check(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC), "accept4");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.fd = fd;
  check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

void pass_on(int first, int second) {
  const int epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  watch(epoll, first);
  watch(epoll, second);
  direction there{first, second};
  direction back{second, first};
  there.open();
  back.open();
  bool alive = true;
  while (alive && !(there.ended && back.ended)) {
    epoll_event events[2];
    const int n = epoll_wait(epoll, events, 2, -1);
    for (int i = 0; i < n; ++i) {
      const bool readable = events[i].events & ~EPOLLOUT;
      const bool writable = events[i].events & ~(EPOLLIN | EPOLLRDHUP);
      direction& out_of = events[i].data.fd == first ? there : back;
      direction& into = events[i].data.fd == first ? back : there;
      if (alive && readable) alive = out_of.pump();
      if (alive && writable) alive = into.pump();
    }
  }
  for (int fd : {there.in, there.out, back.in, back.out, epoll, first, second}) close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: splice_bare PORT\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, [](int) { _exit(0); });
  const int listener = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  check(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  check(listen(listener, SOMAXCONN), "listen");
  check(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  std::printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
  std::fflush(stdout);
  for (;;) {
    const int first = accept_one(listener);
    pass_on(first, accept_one(listener));
  }
}
