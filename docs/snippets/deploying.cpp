// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <csignal>
#include <cstdlib>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

using cosock::task;

cosock::server_handle* of_successor = nullptr;  // in the new process only, which serves one client

task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  while (const std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
  if (of_successor) of_successor->stop();
}

//! [inherited]
cosock::tcp_acceptor open_http(const cosock::endpoint& otherwise) {
  cosock::inherited_sockets inherited;
  if (inherited.is_empty()) return cosock::tcp_acceptor(otherwise);
  return inherited.take<cosock::tcp_acceptor>("http");
}
//! [inherited]

//! [watchdog]
task<> serve_watched(cosock::tcp_acceptor& acceptor, cosock::server_handle& handle) {
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
    tasks.start(cosock::keep_watchdog);
    cosock::notify_ready("serves");
    co_await cosock::serve(acceptor, echo, handle);
    tasks.cancel();
  });
}
//! [watchdog]

//! [hand_over]
// Starts the program again at SIGHUP. When the new process serves, this one drains.
task<> restart_on_hangup(std::vector<std::string> arguments, cosock::tcp_acceptor& acceptor,
                         cosock::server_handle& handle) {
  cosock::signal_set hangup{SIGHUP};
  for (;;) {
    co_await hangup.wait();
    cosock::notify_reloading();
    cosock::passed_sockets sockets;
    sockets.add("http", acceptor);
    const auto next = co_await cosock::as_result(cosock::hand_over(arguments, sockets));
    if (next) break;
    std::fprintf(stderr, "no new process: %s\n", cosock::error_message(next.error()).c_str());
    cosock::notify_ready();  // this one serves as before
  }
  handle.stop();
}
//! [hand_over]

/// The new process: serves one connection.
task<> run_successor() {
  cosock::tcp_acceptor acceptor = open_http({});
  cosock::server_handle handle;
  of_successor = &handle;
  co_await serve_watched(acceptor, handle);
}

task<> examples() {
  cosock::tcp_acceptor acceptor = open_http({cosock::address::loopback_v4(), 0});
  const cosock::endpoint where = acceptor.local_endpoint();
  cosock::server_handle handle;
  std::vector<std::string> missing;
  missing.emplace_back("/nowhere/program");
  std::vector<std::string> again;
  again.emplace_back("/proc/self/exe");
  const auto fails = [&]() -> task<> {
    co_await cosock::yield();
    ::raise(SIGHUP);
    co_await cosock::sleep_for(20ms);
    check(acceptor.is_open());  // as before
  };
  co_await cosock::when_any(restart_on_hangup(missing, acceptor, handle), fails());
  const auto succeeds = [&]() -> task<> {
    co_await cosock::yield();
    ::raise(SIGHUP);
  };
  ::setenv("COSOCK_SUCCESSOR", "1", 1);
  co_await cosock::when_all(serve_watched(acceptor, handle),
                            restart_on_hangup(again, acceptor, handle), succeeds());
  check(handle.is_stopping() && !acceptor.is_open());
  cosock::tcp_socket client = co_await cosock::connect(where);
  co_await client.send("hello");
  char answer[5];
  co_await client.receive_exactly(answer);
}

}  // namespace

int main() {
  const bool is_successor = std::getenv("COSOCK_SUCCESSOR") != nullptr;
  return run_snippets(is_successor ? run_successor() : examples());
}
