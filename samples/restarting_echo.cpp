// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// An echo server that is replaced by a new process without losing a connection. On SIGHUP it starts
// the program again, perhaps a newer one, with the same arguments, and passes it the listening sockets.
// When the new process is ready, this one accepts no more connections, waits up to 10 seconds for its
// clients, and exits. It takes the sockets of systemd, too, and tells it what it does.
//
//   restarting_echo [--host ADDR] [--port PORT] [--loops N] [--drain SECONDS]
//   systemd-socket-activate --listen 127.0.0.1:7000 ./restarting_echo
//   kill -HUP PID
//
// Each of the loops, by default one, has a socket and a thread of its own.

#include <cosock/error.hpp>
#include <cosock/hand_over.hpp>
#include <cosock/inherited.hpp>
#include <cosock/notify.hpp>
#include <cosock/nursery.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/signal.hpp>
#include <cosock/when.hpp>

#include "options.hpp"

#include <csignal>

struct settings {
  std::vector<std::string> arguments;
  cosock::endpoint endpoint;
  unsigned loops = 1;
  std::chrono::milliseconds drain = std::chrono::seconds(10);
};

cosock::task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  while (std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
}

/// The sockets that were passed to this process, or new ones.
cosock::tcp_acceptors open_sockets(const settings& how) {
  cosock::inherited_sockets inherited;
  if (inherited.is_empty()) return cosock::tcp_acceptors(how.endpoint, how.loops);
  return inherited.take<cosock::tcp_acceptors>(inherited.name(0), how.loops);
}

cosock::task<> serve_loops(cosock::tcp_acceptors& acceptors, const settings& how) {
  const auto serve_one = [&](unsigned index) -> cosock::task<> {
    cosock::tcp_acceptor acceptor = acceptors.acceptor(index);
    co_await cosock::serve(acceptor, echo, {.drain = how.drain});
  };
  co_await cosock::run_loops(acceptors.size(), serve_one);
}

/// Returns when a new process serves.
cosock::task<> hand_over_on_signal(cosock::passed_sockets sockets, const settings& how) {
  cosock::signal_set signals{SIGHUP};
  for (;;) {
    cosock::notify_ready();
    co_await signals.wait();
    cosock::notify_reloading();
    const auto successor = co_await cosock::as_result(cosock::hand_over(how.arguments, sockets));
    if (successor) {
      std::printf("handed over to process %d\n", *successor);
      std::fflush(stdout);
      co_return;
    }
    if (successor.error() == cosock::error::cancelled) co_return;
    std::fprintf(stderr, "restarting_echo: %s\n", cosock::error_message(successor.error()).c_str());
  }
}

cosock::task<> run_server(const settings& how) {
  cosock::tcp_acceptors acceptors = open_sockets(how);
  cosock::passed_sockets sockets;
  sockets.add("echo", acceptors);
  announce(acceptors.local_endpoint());
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    tasks.start(cosock::keep_watchdog);
    // The first one that ends, also the hand-over, cancels the other: the loops drain.
    co_await cosock::when_any(serve_loops(acceptors, how),
                              hand_over_on_signal(std::move(sockets), how));
    tasks.cancel();
  });
}

int main(int argc, char** argv) {
  settings how;
  how.arguments.assign(argv, argv + argc);
  how.endpoint = endpoint_option(
      argc, argv,
      {number_option("--loops", how.loops, 1, 64), seconds_option("--drain", how.drain)});
  return cosock::run(run_server(how));
}
