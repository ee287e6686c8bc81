// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The load generator for datagram servers: raw sockets, no code in common with any of them. It checks
// that what comes back is what was sent, in number and size, and prints `key value` lines.
//
//   udp_load PORT BYTES rounds N      lock step: a window is sent, then all of it is received, N times
//   udp_load PORT BYTES seconds S     the window is kept full for so long

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr int window = 64;
char memory[window][2048];
iovec pieces[window];
mmsghdr headers[window];

int check(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

void prepare(std::size_t bytes) {
  for (int i = 0; i < window; ++i) {
    pieces[i] = {memory[i], bytes};
    headers[i].msg_hdr = {nullptr, 0, &pieces[i], 1, nullptr, 0, 0};
  }
}

void send_some(int fd, int count) {
  for (int sent = 0; sent < count;)
    sent += check(sendmmsg(fd, headers, static_cast<unsigned>(count - sent), 0), "sendmmsg");
}

/// Waits for at least one; what a datagram has to look like is checked.
int receive_some(int fd, std::size_t bytes) {
  pollfd asked{fd, POLLIN, 0};
  if (poll(&asked, 1, 2000) == 0) {
    std::fprintf(stderr, "udp_load: no answer for 2 s\n");
    std::exit(1);
  }
  const int n = check(recvmmsg(fd, headers, window, MSG_DONTWAIT, nullptr), "recvmmsg");
  for (int i = 0; i < n; ++i)
    if (headers[i].msg_len != bytes || memory[i][0] != 'x') {
      std::fprintf(stderr, "udp_load: the answer is not what was sent\n");
      std::exit(1);
    }
  return n;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: udp_load PORT BYTES rounds|seconds N\n");
    return 2;
  }
  const auto bytes = static_cast<std::size_t>(std::atoi(argv[2]));
  const bool lockstep = std::string_view(argv[3]) == "rounds";
  const double limit = std::atof(argv[4]);
  const int fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), "connect");
  std::memset(memory, 'x', sizeof memory);
  prepare(bytes);

  const auto begun = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  std::uint64_t answered = 0;
  if (lockstep) {
    for (double round = 0; round < limit; ++round) {
      send_some(fd, window);
      for (int left = window; left > 0;) left -= receive_some(fd, bytes);
      answered += window;
    }
  } else {
    send_some(fd, window);
    while (seconds() < limit) {
      const int n = receive_some(fd, bytes);
      answered += static_cast<std::uint64_t>(n);
      send_some(fd, n);
    }
  }
  std::printf("datagrams %llu\n", static_cast<unsigned long long>(answered));
  std::printf("datagrams_per_second %.0f\n", static_cast<double>(answered) / seconds());
}
