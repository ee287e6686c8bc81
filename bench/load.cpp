// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The load generator: raw sockets and epoll, no code in common with any server. It checks that
// what comes back is what was sent, and prints `key value` lines.
//
//   lockstep  a round sends on every connection, then reads every reply. The server's batches, and
//             so its instructions for a round trip, do not depend on how fast anybody is.
//   free      each connection sends again as soon as its reply has come, for --seconds or --rounds.
//   idle      one round trip on each connection, prints `ready`, waits until stdin closes.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct options {
  std::uint16_t port = 0;
  std::string_view mode = "lockstep";
  std::size_t connections = 1;
  std::size_t bytes = 64;
  std::uint64_t rounds = 0;
  double seconds = 0;
  pid_t pid = 0;
  unsigned limit = 60;
};

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::exit(1);
}

[[noreturn]] void fail_call(const std::string& call) { fail(call + ": " + std::strerror(errno)); }

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(
      stderr,
      "load: %s; usage: load PORT [--mode lockstep|free|idle] [--connections N] [--bytes B] "
      "[--rounds R] [--seconds S] [--pid SERVER] [--limit S]\n",
      why.c_str());
  std::exit(2);
}

double number(std::string_view name, const char* text, double least, double most) {
  char* end = nullptr;
  double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= least && value <= most)) {
    usage("bad value for " + std::string(name) + ": " + text);
  }
  return value;
}

options parse(int argc, char** argv) {
  options result;
  if (argc < 2) {
    usage("no port");
  }
  result.port = static_cast<std::uint16_t>(number("PORT", argv[1], 1, 65535));
  for (int i = 2; i < argc; i += 2) {
    std::string_view name = argv[i];
    if (i + 1 == argc) {
      usage("no value for " + std::string(name));
    }
    const char* value = argv[i + 1];
    if (name == "--mode") {
      result.mode = value;
    } else if (name == "--connections") {
      result.connections = static_cast<std::size_t>(number(name, value, 1, 100000));
    } else if (name == "--bytes") {
      result.bytes = static_cast<std::size_t>(number(name, value, 1, 65536));
    } else if (name == "--rounds") {
      result.rounds = static_cast<std::uint64_t>(number(name, value, 1, 1e12));
    } else if (name == "--seconds") {
      result.seconds = number(name, value, 0.01, 3600);
    } else if (name == "--pid") {
      result.pid = static_cast<pid_t>(number(name, value, 1, 1e9));
    } else if (name == "--limit") {
      result.limit = static_cast<unsigned>(number(name, value, 1, 36000));
    } else {
      usage("unknown option " + std::string(name));
    }
  }
  if (result.mode != "lockstep" && result.mode != "free" && result.mode != "idle") {
    usage("unknown mode " + std::string(result.mode));
  }
  if (result.mode == "lockstep" && result.rounds == 0) {
    usage("lockstep needs --rounds");
  }
  if (result.mode == "free" && result.rounds == 0 && result.seconds == 0) {
    usage("free needs --rounds or --seconds");
  }
  return result;
}

double seconds_of(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) {
    fail_call("clock_gettime");
  }
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double now() { return seconds_of(CLOCK_MONOTONIC); }

struct connection {
  int socket;
  std::uint64_t id;
  std::uint64_t round = 0;
  std::size_t received = 0;
};

class load {
 public:
  explicit load(const options& chosen)
      : options_(chosen), message_(chosen.bytes + 8), reply_(chosen.bytes) {}

  void connect_all() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (std::uint64_t id = 0; id < options_.connections; ++id) {
      int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (socket < 0) {
        fail_call("socket");
      }
      if (connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        fail_call("connect");
      }
      int on = 1;
      setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections_.push_back({socket, id});
    }
  }

  void lockstep(std::uint64_t rounds) {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      for (connection& peer : connections_) {
        send_next(peer);
      }
      for (connection& peer : connections_) {
        while (!receive(peer, 0)) {
        }
      }
    }
  }

  void free_running() {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (connection& peer : connections_) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &peer;
      if (epoll_ctl(epoll, EPOLL_CTL_ADD, peer.socket, &event) != 0) {
        fail_call("epoll_ctl");
      }
    }
    std::uint64_t last = options_.rounds == 0 ? UINT64_MAX : round_trips_each() + options_.rounds;
    double end = options_.seconds == 0 ? 1e300 : now() + options_.seconds;
    bool sending = true;
    for (connection& peer : connections_) {
      send_next(peer);
    }
    std::array<epoll_event, 256> events;
    for (std::size_t waiting = connections_.size(); waiting > 0;) {
      int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
      sending = sending && now() < end;
      for (int i = 0; i < ready; ++i) {
        auto& peer = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (!receive(peer, MSG_DONTWAIT)) {
          continue;
        }
        if (sending && peer.round < last) {
          send_next(peer);
        } else {
          --waiting;
        }
      }
    }
    close(epoll);
  }

  /// Nothing may have come, the end of the stream included, since the last reply.
  void check_idle() {
    for (connection& peer : connections_) {
      char byte = 0;
      if (recv(peer.socket, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN) {
        fail("the server did not leave an idle connection alone");
      }
    }
  }

  void close_all() {
    for (connection& peer : connections_) {
      close(peer.socket);
    }
  }

  std::uint64_t round_trips() const { return round_trips_; }

 private:
  std::uint64_t round_trips_each() const { return round_trips_ / connections_.size(); }

  /// Different for each connection and round, so that a reply to somebody else shows.
  void compose(const connection& peer) {
    std::uint64_t seed = peer.id * 0x9e3779b97f4a7c15u + peer.round * 0xc2b2ae3d27d4eb4fu;
    for (std::size_t i = 0; i < options_.bytes; i += 8) {
      std::uint64_t word = seed + i * 0x0101010101010101u;
      std::memcpy(message_.data() + i, &word, 8);
    }
  }

  /// The sockets block, so a send is done when it returns.
  void send_next(connection& peer) {
    compose(peer);
    for (std::size_t done = 0; done < options_.bytes;) {
      ssize_t sent = send(peer.socket, message_.data() + done, options_.bytes - done, MSG_NOSIGNAL);
      if (sent < 0) {
        fail_call("send");
      }
      done += static_cast<std::size_t>(sent);
    }
  }

  /// True when this made the reply complete.
  bool receive(connection& peer, int flags) {
    ssize_t size = recv(peer.socket, reply_.data(), options_.bytes - peer.received, flags);
    if (size < 0 && errno == EAGAIN) {
      return false;
    }
    if (size < 0) {
      fail_call("recv");
    }
    if (size == 0) {
      fail("the server closed a connection");
    }
    compose(peer);
    auto count = static_cast<std::size_t>(size);
    if (std::memcmp(reply_.data(), message_.data() + peer.received, count) != 0) {
      fail("a reply differs from what was sent");
    }
    peer.received += count;
    if (peer.received < options_.bytes) {
      return false;
    }
    peer.received = 0;
    ++peer.round;
    ++round_trips_;
    return true;
  }

  options options_;
  std::vector<connection> connections_;
  std::vector<char> message_;
  std::vector<char> reply_;
  std::uint64_t round_trips_ = 0;
};

void raise_descriptor_limit(std::size_t connections) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < connections + 16) {
    fail("only " + std::to_string(limit.rlim_max) + " descriptors are allowed");
  }
}

void bound_time(unsigned seconds) {
  signal(SIGALRM, [](int) {
    constexpr std::string_view text = "load: out of time\n";
    [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    _exit(1);
  });
  alarm(seconds);
}

}  // namespace

int main(int argc, char** argv) {
  options chosen = parse(argc, argv);
  bound_time(chosen.limit);
  raise_descriptor_limit(chosen.connections);
  clockid_t server_cpu{};
  if (chosen.pid != 0 && clock_getcpuclockid(chosen.pid, &server_cpu) != 0) {
    fail("no process " + std::to_string(chosen.pid));
  }

  load work(chosen);
  work.connect_all();
  if (chosen.mode != "lockstep") {
    work.lockstep(1);  // the server has accepted every connection before anything is measured
  }
  if (chosen.mode == "idle") {
    std::puts("ready");
    std::fflush(stdout);
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    work.check_idle();
    return 0;
  }

  std::uint64_t warm_up = work.round_trips();
  double cpu_before = chosen.pid == 0 ? 0 : seconds_of(server_cpu);
  double own_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  double start = now();
  if (chosen.mode == "lockstep") {
    work.lockstep(chosen.rounds);
  } else {
    work.free_running();
  }
  double elapsed = now() - start;
  double own = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - own_before;
  auto round_trips = static_cast<double>(work.round_trips() - warm_up);
  std::printf("load_share %.3f\n", own / elapsed);
  std::printf("round_trips %.0f\nseconds %.6f\nround_trips_per_second %.1f\n", round_trips, elapsed,
              round_trips / elapsed);
  if (chosen.pid != 0) {
    double server = seconds_of(server_cpu) - cpu_before;
    std::printf("server_cpu_us %.4f\nserver_share %.3f\n", 1e6 * server / round_trips,
                server / elapsed);
  }
  work.close_all();
}
