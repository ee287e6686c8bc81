// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The load of those who read lines or frames: sends the same segment of 64 KiB again and again, in
// which there are 1024 items of 64 bytes. The reader answers how many it has seen, and how many bytes
// were in them, when the stream has ended.
//
//   reader_load PORT lines|frames seconds|segments N [PID]      PID: of the reader, for its CPU time

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr std::size_t item = 64;
constexpr std::size_t items = 1024;
char segment[items * item];

int check(int result, const char* what) {
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

void compose(bool lines) {
  std::memset(segment, 'x', sizeof segment);
  for (char* at = segment; at != segment + sizeof segment; at += item) {
    if (lines)
      at[item - 1] = '\n';
    else
      std::memcpy(at, "\0\0\0\x3c", 4);
  }
}

void send_segment(int fd) {
  for (std::size_t done = 0; done < sizeof segment;) {
    const ssize_t sent = send(fd, segment + done, sizeof segment - done, MSG_NOSIGNAL);
    done += static_cast<std::size_t>(check(static_cast<int>(sent), "send"));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    std::fprintf(stderr, "usage: reader_load PORT lines|frames seconds|segments N [PID]\n");
    return 2;
  }
  const bool lines = std::string_view(argv[2]) == "lines";
  const bool timed = std::string_view(argv[3]) == "seconds";
  const double limit = std::atof(argv[4]);
  clockid_t reader = CLOCK_PROCESS_CPUTIME_ID;
  if (argc == 6 && clock_getcpuclockid(std::atoi(argv[5]), &reader) != 0) return 1;
  compose(lines);
  alarm(290);

  const int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), "connect");

  const double cpu = seconds_of(reader);
  const double own = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double begun = seconds_of(CLOCK_MONOTONIC);
  std::uint64_t segments = 0;
  while (timed ? seconds_of(CLOCK_MONOTONIC) - begun < limit
               : static_cast<double>(segments) < limit) {
    send_segment(fd);
    ++segments;
  }
  check(shutdown(fd, SHUT_WR), "shutdown");
  char answer[64] = {};
  for (std::size_t size = 0; !std::strchr(answer, '\n');) {
    const ssize_t n = recv(fd, answer + size, sizeof answer - 1 - size, 0);
    if (check(static_cast<int>(n), "recv") == 0) break;
    size += static_cast<std::size_t>(n);
  }
  const double took = seconds_of(CLOCK_MONOTONIC) - begun;

  char expected[64];
  const std::uint64_t sent = segments * items;
  std::snprintf(expected, sizeof expected, "%llu %llu\n", static_cast<unsigned long long>(sent),
                static_cast<unsigned long long>(sent * (lines ? item - 1 : item - 4)));
  if (std::strcmp(answer, expected) != 0) {
    std::fprintf(stderr, "reader_load: the reader has seen %snot %s", answer, expected);
    return 1;
  }
  const auto count = static_cast<double>(sent);
  std::printf("items %.0f\nitems_per_second %.0f\nload_share %.3f\n", count, count / took,
              (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - own) / took);
  if (argc == 6) std::printf("reader_cpu_ns %.2f\n", 1e9 * (seconds_of(reader) - cpu) / count);
}
