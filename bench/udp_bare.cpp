// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The floor for datagrams: an echo server that is a loop of recvmmsg and sendmmsg, and blocks.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int most = 64;
char memory[most][2048];
sockaddr_in peers[most];
iovec pieces[most];
mmsghdr headers[most];

int check(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: udp_bare PORT\n");
    return 2;
  }
  std::signal(SIGTERM, [](int) { std::exit(0); });  // which waits in recvmmsg by then
  const int fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  check(bind(fd, reinterpret_cast<sockaddr*>(&at), size), "bind");
  check(getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), "getsockname");
  std::printf("listening on 127.0.0.1:%u\n", ntohs(at.sin_port));
  std::fflush(stdout);
  for (;;) {
    for (int i = 0; i < most; ++i) {
      pieces[i] = {memory[i], sizeof memory[i]};
      headers[i].msg_hdr = {&peers[i], sizeof peers[i], &pieces[i], 1, nullptr, 0, 0};
    }
    const int received = check(recvmmsg(fd, headers, most, MSG_WAITFORONE, nullptr), "recvmmsg");
    for (int i = 0; i < received; ++i) pieces[i].iov_len = headers[i].msg_len;
    for (int sent = 0; sent < received;)
      sent += check(sendmmsg(fd, headers + sent, static_cast<unsigned>(received - sent), 0),
                    "sendmmsg");
  }
}
