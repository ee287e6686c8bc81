// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A program that uses cosock, and knows nothing of Asio: a server and a client in one process, an error
// that is caught, and what is exported besides functions: classes, exceptions, error categories.

#include <cosock/cosock.hpp>

#include <cstdio>

#if defined(BOOST_ASIO_VERSION) || defined(BOOST_ASIO_DETAIL_CONFIG_HPP)
#error "a public header includes Asio"
#endif

using namespace std::chrono_literals;

cosock::task<> echo(cosock::tcp_socket socket) {
  char buffer[256];
  while (std::size_t n = co_await socket.receive(buffer))
    co_await socket.send(cosock::buffer(buffer, n));
}

cosock::task<> ask(cosock::tcp_acceptor& acceptor, cosock::server_handle& server) {
  auto socket = co_await cosock::connect("127.0.0.1", acceptor.local_endpoint().port());
  co_await socket.send("consumed\n");
  char answer[9];
  co_await socket.receive_exactly(answer);
  std::fwrite(answer, 1, sizeof answer, stdout);
  server.stop();
}

cosock::task<int> consume() {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  cosock::server_handle server;
  co_await cosock::with_timeout(
      60s, cosock::when_all(cosock::serve(acceptor, echo, server), ask(acceptor, server)));

  cosock::event never;
  const auto late = co_await cosock::as_result(cosock::with_timeout(1ms, never.wait()));
  if (late.has_value() || late.error() != boost::system::errc::timed_out) co_return 2;

  cosock::tcp_socket closed;
  try {
    co_await closed.receive_exactly(cosock::mutable_buffer());
  } catch (const boost::system::system_error& e) {
    if (e.code() == cosock::error::closed) co_return 0;
  }
  co_return 3;
}

int main() {
  static_assert(COSOCK_VERSION_MAJOR == 0);
  return cosock::run(consume());
}
