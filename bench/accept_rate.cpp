// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Connections a second of a server on several loops, with spread::kernel and spread::even in turn, in
// one process: blocking clients connect, send a byte, receive it and close.
//
//   accept_rate LOOPS CLIENTS SECONDS ROUNDS      prints one line a round, and the median ratio

#include <cosock/acceptors.hpp>
#include <cosock/loops.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

double measure(cosock::spread how, unsigned loops, unsigned clients, double seconds) {
  cosock::tcp_acceptors acceptors({cosock::address::loopback_v4(), 0}, loops, {}, how);
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> connections = 0;
  std::uint64_t counted = 0;
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
    co_await cosock::sleep_for(std::chrono::duration<double>(seconds));
    counted = connections - before;
    stop = true;
    while (std::any_of(threads.begin(), threads.end(), [](std::thread& t) { return t.joinable(); }))
      for (std::thread& t : threads) t.join();
  };
  const int status = cosock::run([](auto& serve, auto& count, unsigned loops) -> cosock::task<> {
    co_await cosock::when_any(cosock::run_loops(loops, serve), count());
  }(serve, count, loops));
  if (status != 0) std::exit(status);
  return static_cast<double>(counted) / seconds;
}

int main(int argc, char** argv) {
  if (argc != 5) return cosock::usage_error("usage: accept_rate LOOPS CLIENTS SECONDS ROUNDS");
  const auto loops = static_cast<unsigned>(std::atoi(argv[1]));
  const auto clients = static_cast<unsigned>(std::atoi(argv[2]));
  std::vector<double> ratios;
  for (int round = 0; round != std::atoi(argv[4]); ++round) {
    double rate[2];
    for (int i = 0; i != 2; ++i) {
      const bool even = (i ^ round) & 1;  // each is first in turn
      rate[even] = measure(even ? cosock::spread::even : cosock::spread::kernel, loops, clients,
                           std::atof(argv[3]));
    }
    ratios.push_back(rate[1] / rate[0]);
    std::printf("kernel %.0f/s  even %.0f/s  ratio %.3f\n", rate[0], rate[1], ratios.back());
  }
  std::sort(ratios.begin(), ratios.end());
  std::printf("median ratio %.3f\n", ratios[ratios.size() / 2]);
}
