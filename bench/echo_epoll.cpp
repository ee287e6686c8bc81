// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The floor: an echo server on bare epoll, level-triggered, with nothing between it and the kernel.
// One buffer serves every connection; only what the peer does not take yet is kept for each.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

struct connection {
  int socket;
  std::string unsent;
};

int check(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

void watch(int epoll, int operation, int fd, std::uint32_t events, void* data) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = data;
  check(epoll_ctl(epoll, operation, fd, &event), "epoll_ctl");
}

void accept_all(int epoll, int listener) {
  for (;;) {
    int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) {
      return;
    }
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(epoll, EPOLL_CTL_ADD, socket, EPOLLIN, new connection{socket, {}});
  }
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

/// Sends what was left over; false when the connection is lost.
bool flush(int epoll, connection& peer) {
  ssize_t sent = send(peer.socket, peer.unsent.data(), peer.unsent.size(), MSG_NOSIGNAL);
  if (sent < 0) {
    return would_block();
  }
  peer.unsent.erase(0, static_cast<std::size_t>(sent));
  if (peer.unsent.empty()) {
    watch(epoll, EPOLL_CTL_MOD, peer.socket, EPOLLIN, &peer);
  }
  return true;
}

/// One receive and its send; false when the connection has ended. Level-triggered epoll tells again
/// of anything that is left, so no second call is spent on learning that there is nothing.
bool echo(int epoll, connection& peer, std::array<char, 4096>& buffer) {
  ssize_t received = recv(peer.socket, buffer.data(), buffer.size(), 0);
  if (received <= 0) {
    return received < 0 && would_block();
  }
  ssize_t sent = send(peer.socket, buffer.data(), static_cast<std::size_t>(received), MSG_NOSIGNAL);
  if (sent == received) {
    return true;
  }
  if (sent < 0 && !would_block()) {
    return false;
  }
  peer.unsent.assign(buffer.data() + (sent < 0 ? 0 : sent), buffer.data() + received);
  watch(epoll, EPOLL_CTL_MOD, peer.socket, EPOLLOUT, &peer);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: echo_epoll PORT\n");
    return 2;
  }

  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  int listener = check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  check(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  check(listen(listener, SOMAXCONN), "listen");
  check(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  std::printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
  std::fflush(stdout);

  sigset_t stopping;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGINT);
  sigaddset(&stopping, SIGTERM);
  sigprocmask(SIG_BLOCK, &stopping, nullptr);
  int stop = check(signalfd(-1, &stopping, SFD_NONBLOCK | SFD_CLOEXEC), "signalfd");

  int epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
  watch(epoll, EPOLL_CTL_ADD, stop, EPOLLIN, &stop);

  std::array<char, 4096> buffer;
  std::array<epoll_event, 128> events;
  for (;;) {
    int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      void* source = events[static_cast<std::size_t>(i)].data.ptr;
      if (source == &listener) {
        accept_all(epoll, listener);
      } else if (source == &stop) {
        return 0;
      } else {
        auto* peer = static_cast<connection*>(source);
        if (!(peer->unsent.empty() ? echo(epoll, *peer, buffer) : flush(epoll, *peer))) {
          close(peer->socket);
          delete peer;
        }
      }
    }
  }
}
