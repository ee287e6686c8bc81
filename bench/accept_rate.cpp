// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Connections a second of a server on several loops, with spread::kernel and spread::even in turn, in
// one process: blocking clients connect, send a byte, receive it and close.
//
//   accept_rate LOOPS CLIENTS SECONDS ROUNDS [even|kernel]
//
// Prints one line a round, and the median ratios: of the rates, and of the processor times of a
// connection, which vary less on a machine that does other work too. With a name, measures that spread
// alone, and prints the number of all connections, also those before and after the measured time: for
// counters of instructions and system calls.

#include <cosock/acceptors.hpp>
#include <cosock/loops.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

using clock_type = std::chrono::steady_clock;

cosock::task<> echo_byte(cosock::tcp_socket& socket) {
  char byte = 0;
  if (co_await socket.receive(cosock::buffer(&byte, 1)) == 0) co_return;
  co_await socket.send(cosock::buffer(&byte, 1));
  co_await socket.receive(cosock::buffer(&byte, 1));
}

void connect_until(const std::atomic<bool>& stop, std::uint16_t port,
                   std::atomic<std::uint64_t>& connections) {
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  while (!stop) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte = 'x';
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
        ::send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || ::recv(fd, &byte, 1, 0) != 1) {
      std::perror("accept_rate: client");
      std::exit(1);
    }
    // A reset: the ports of the client must not run out.
    const linger now = {1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd);
    ++connections;
  }
}

/// Of this process, with its clients.
double processor_seconds() {
  rusage used;
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

struct result {
  double rate;          // connections a second
  double microseconds;  // of processor time, for one connection
  std::uint64_t all;    // connections, with those that were not measured
};

result measure(cosock::spread how, unsigned loops, unsigned clients, double seconds) {
  cosock::tcp_acceptors acceptors({cosock::address::loopback_v4(), 0}, loops, {}, how);
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> connections = 0;
  std::uint64_t counted = 0;
  double used = 0;
  const auto serve = [&](unsigned index) -> cosock::task<> {
    cosock::tcp_acceptor acceptor = acceptors.acceptor(index);
    co_await cosock::serve(acceptor, echo_byte, {.max_reports = 0});
  };
  std::vector<std::thread> threads;
  const auto count = [&]() -> cosock::task<> {
    for (unsigned i = 0; i != clients; ++i)
      threads.emplace_back(
          [&] { connect_until(stop, acceptors.local_endpoint().port(), connections); });
    co_await cosock::sleep_for(std::chrono::milliseconds(200));
    const std::uint64_t before = connections;
    const double used_before = processor_seconds();
    co_await cosock::sleep_for(std::chrono::duration<double>(seconds));
    counted = connections - before;
    used = processor_seconds() - used_before;
    stop = true;
    while (std::any_of(threads.begin(), threads.end(), [](std::thread& t) { return t.joinable(); }))
      for (std::thread& t : threads) t.join();
  };
  const int status = cosock::run([](auto& serve, auto& count, unsigned loops) -> cosock::task<> {
    co_await cosock::when_any(cosock::run_loops(loops, serve), count());
  }(serve, count, loops));
  if (status != 0) std::exit(status);
  const auto n = static_cast<double>(counted);
  return {n / seconds, used * 1e6 / n, connections};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6)
    return cosock::usage_error("usage: accept_rate LOOPS CLIENTS SECONDS ROUNDS [even|kernel]");
  const auto loops = static_cast<unsigned>(std::atoi(argv[1]));
  const auto clients = static_cast<unsigned>(std::atoi(argv[2]));
  const double seconds = std::atof(argv[3]);
  const int rounds = std::atoi(argv[4]);
  if (argc == 6) {
    const bool even = argv[5] == std::string_view("even");
    for (int round = 0; round != rounds; ++round) {
      const result got =
          measure(even ? cosock::spread::even : cosock::spread::kernel, loops, clients, seconds);
      std::printf("%s %.0f/s %.1f us, %llu connections\n", argv[5], got.rate, got.microseconds,
                  static_cast<unsigned long long>(got.all));
    }
    return 0;
  }
  std::vector<double> rates, times;
  for (int round = 0; round != rounds; ++round) {
    result got[2];
    for (int i = 0; i != 2; ++i) {
      const bool even = (i ^ round) & 1;  // each is first in turn
      got[even] =
          measure(even ? cosock::spread::even : cosock::spread::kernel, loops, clients, seconds);
    }
    rates.push_back(got[1].rate / got[0].rate);
    times.push_back(got[0].microseconds / got[1].microseconds);
    std::printf("kernel %.0f/s %.1f us  even %.0f/s %.1f us  ratio %.3f, of times %.3f\n",
                got[0].rate, got[0].microseconds, got[1].rate, got[1].microseconds, rates.back(),
                times.back());
  }
  std::printf("median ratio %.3f, of times %.3f\n", median(rates), median(times));
}
