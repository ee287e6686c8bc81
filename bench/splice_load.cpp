// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The two ends of a proxy: a source, which sends the same pages again and again without copying them,
// and a sink, which checks the first of them and throws the rest away unread. So they are faster than
// whoever is between them.
//
//   splice_load PORT seconds|mebibytes N [PID]      PID: of the proxy, for its CPU time

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t block = 1 << 20;

template <class Result>
Result check(Result result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

double seconds_of(clockid_t clock) {
  timespec time{};
  check(clock_gettime(clock, &time), "clock_gettime");
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

char byte_at(std::size_t offset) { return static_cast<char>(offset * 2654435761u >> 24); }

int connect_to(std::uint16_t port) {
  const int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), "connect");
  return fd;
}

int make_pages() {
  const int fd = check(memfd_create("pages", MFD_CLOEXEC), "memfd_create");
  std::vector<char> bytes(block);
  for (std::size_t i = 0; i != block; ++i) bytes[i] = byte_at(i);
  if (write(fd, bytes.data(), block) != static_cast<ssize_t>(block)) std::exit(1);
  return fd;
}

std::uint64_t receive_all(int fd) {
  std::vector<char> bytes(block);
  std::uint64_t total = 0;
  for (;;) {
    const bool checks = total < block;
    const ssize_t n = check(
        recv(fd, bytes.data(), checks ? block - total : block, checks ? 0 : MSG_TRUNC), "recv");
    if (n == 0) return total;
    if (checks)
      for (std::size_t i = 0; i != static_cast<std::size_t>(n); ++i)
        if (bytes[i] != byte_at(total + i)) {
          std::fprintf(stderr, "splice_load: a byte differs from what was sent\n");
          std::exit(1);
        }
    total += static_cast<std::uint64_t>(n);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::fprintf(stderr, "usage: splice_load PORT seconds|mebibytes N [PID]\n");
    return 2;
  }
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  const bool timed = std::string_view(argv[2]) == "seconds";
  const double limit = std::atof(argv[3]);
  clockid_t proxy = CLOCK_PROCESS_CPUTIME_ID;
  if (argc == 5 && clock_getcpuclockid(std::atoi(argv[4]), &proxy) != 0) return 1;
  alarm(290);
  const int pages = make_pages();
  const int source = connect_to(port);
  const int sink = connect_to(port);

  const double cpu = seconds_of(proxy);
  const double own = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double begun = seconds_of(CLOCK_MONOTONIC);
  std::uint64_t received = 0;
  std::thread receiving([&] { received = receive_all(sink); });
  std::uint64_t sent = 0;
  while (timed ? seconds_of(CLOCK_MONOTONIC) - begun < limit
               : static_cast<double>(sent) < limit * static_cast<double>(block)) {
    auto at = static_cast<off_t>(sent % block);
    sent += static_cast<std::uint64_t>(
        check(sendfile(source, pages, &at, block - sent % block), "sendfile"));
  }
  check(shutdown(source, SHUT_WR), "shutdown");
  receiving.join();
  const double took = seconds_of(CLOCK_MONOTONIC) - begun;
  if (received != sent) {
    std::fprintf(stderr, "splice_load: %llu bytes of %llu came\n",
                 static_cast<unsigned long long>(received), static_cast<unsigned long long>(sent));
    return 1;
  }
  const double gibibytes = static_cast<double>(sent) / (1 << 30);
  std::printf("mebibytes_per_second %.0f\nload_share %.3f\n", 1024 * gibibytes / took,
              (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - own) / took);
  if (argc == 5) {
    const double used = seconds_of(proxy) - cpu;
    std::printf("proxy_cpu_ms_per_gib %.1f\nproxy_share %.3f\n", 1e3 * used / gibibytes,
                used / took);
  }
}
