// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The members of a chat room: raw sockets and epoll, no code in common with any server. Some of them
// say lines of 64 bytes, and everybody, speakers included, has to hear every line, in the order in
// which its speaker said them.
//
//   chat_load PORT rounds N [PID]       each speaker says a line, then all are heard, N times
//   chat_load PORT seconds S [PID]      each speaker has `window` lines on their way for so long
//
// PID: of the server, for its CPU time.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t room = 100;
constexpr std::size_t speakers = 4;
constexpr std::uint64_t window = 16;
constexpr std::size_t line_size = 64;

struct member {
  int fd;
  std::uint64_t said = 0;
  std::array<std::uint64_t, speakers> heard{};
  std::size_t there = 0;  // of a line that is not complete
  char buffer[64 << 10];
};

std::vector<member> members(room);
std::uint64_t heard;

int check(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "chat_load: %s\n", why);
  std::exit(1);
}

double seconds_of(clockid_t clock) {
  timespec time{};
  check(clock_gettime(clock, &time), "clock_gettime");
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Of a line: its number, its speaker, and an end. There is no LF in the two first.
void compose(char* line, std::size_t speaker, std::uint64_t number) {
  std::memset(line, '.', line_size);
  for (int i = 0; i < 8; ++i, number >>= 4) line[i] = static_cast<char>('A' + (number & 15));
  line[8] = static_cast<char>('a' + speaker);
  line[line_size - 1] = '\n';
}

void say(std::size_t speaker, std::uint64_t lines) {
  static char text[window * line_size];
  member& m = members[speaker];
  for (std::uint64_t i = 0; i < lines; ++i) compose(text + i * line_size, speaker, m.said++);
  const std::size_t size = lines * line_size;
  if (send(m.fd, text, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) fail("cannot send");
}

/// Gives how many lines it has heard of this speaker.
std::uint64_t listen(member& m, int flags, std::size_t counted_speaker) {
  const ssize_t n = recv(m.fd, m.buffer + m.there, sizeof m.buffer - m.there, flags);
  if (n <= 0) fail("the server closed a connection");
  const std::size_t size = m.there + static_cast<std::size_t>(n);
  std::uint64_t own = 0;
  std::size_t at = 0;
  for (; size - at >= line_size; at += line_size) {
    const auto speaker = static_cast<std::size_t>(m.buffer[at + 8] - 'a');
    if (speaker >= speakers) fail("a line of nobody");
    char expected[line_size];
    compose(expected, speaker, m.heard[speaker]++);
    if (std::memcmp(m.buffer + at, expected, line_size) != 0) fail("a line is lost or changed");
    own += speaker == counted_speaker;
    ++heard;
  }
  m.there = size - at;
  std::memmove(m.buffer, m.buffer + at, m.there);
  return own;
}

/// Who hears "?" is in the room, and hears what is said from then on; the rest of the lines until
/// "!" are those of members who came later.
void connect_all(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto wait_for = [](const member& m, char sign) {
    for (char c = 0; c != sign;)
      if (recv(m.fd, &c, 1, 0) != 1) fail("the server closed a connection");
    char lf = 0;
    if (recv(m.fd, &lf, 1, 0) != 1 || lf != '\n') fail("not the line that was said");
  };
  for (member& m : members) {
    m.fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    check(connect(m.fd, reinterpret_cast<sockaddr*>(&at), sizeof at), "connect");
    const int on = 1;
    setsockopt(m.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (send(m.fd, "?\n", 2, MSG_NOSIGNAL) != 2) fail("cannot send");
    wait_for(m, '?');
  }
  if (send(members[0].fd, "!\n", 2, MSG_NOSIGNAL) != 2) fail("cannot send");
  for (const member& m : members) wait_for(m, '!');
}

void lockstep(double rounds) {
  for (double round = 0; round < rounds; ++round) {
    for (std::size_t s = 0; s < speakers; ++s) say(s, 1);
    const std::uint64_t all = heard + room * speakers;
    for (member& m : members) {
      const std::uint64_t due = members[0].said;
      for (std::size_t s = 0; s < speakers; ++s)
        while (m.heard[s] < due) listen(m, 0, s);
    }
    if (heard != all) fail("more lines than were said");
  }
}

void free_running(double seconds) {
  const int epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  for (std::size_t i = 0; i < room; ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, members[i].fd, &event), "epoll_ctl");
  }
  const double end = seconds_of(CLOCK_MONOTONIC) + seconds;
  for (std::size_t s = 0; s < speakers; ++s) say(s, window);
  std::array<epoll_event, room> events;
  std::uint64_t said = speakers * window;
  while (heard < said * room) {
    const int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 5000);
    if (ready == 0) fail("nothing heard for 5 s");
    const bool going_on = seconds_of(CLOCK_MONOTONIC) < end;
    for (int i = 0; i < ready; ++i) {
      const std::size_t who = events[static_cast<std::size_t>(i)].data.u64;
      const std::uint64_t own = listen(members[who], MSG_DONTWAIT, who);
      if (own != 0 && going_on) {
        say(who, own);
        said += own;
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::fprintf(stderr, "usage: chat_load PORT rounds|seconds N [PID]\n");
    return 2;
  }
  const double limit = std::atof(argv[3]);
  clockid_t server = CLOCK_PROCESS_CPUTIME_ID;
  if (argc == 5 && clock_getcpuclockid(std::atoi(argv[4]), &server) != 0) return 1;
  alarm(290);
  connect_all(static_cast<std::uint16_t>(std::atoi(argv[1])));

  const double cpu = seconds_of(server);
  const double own = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double begun = seconds_of(CLOCK_MONOTONIC);
  if (std::string_view(argv[2]) == "rounds")
    lockstep(limit);
  else
    free_running(limit);
  const double took = seconds_of(CLOCK_MONOTONIC) - begun;
  const auto count = static_cast<double>(heard);
  std::printf("deliveries %.0f\ndeliveries_per_second %.0f\nload_share %.3f\n", count, count / took,
              (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - own) / took);
  if (argc == 5) std::printf("server_cpu_ns %.1f\n", 1e9 * (seconds_of(server) - cpu) / count);
}
