// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <iostream>

using namespace std::chrono_literals;

cosock::task<> echo(cosock::tcp_socket socket) {
  char buffer[4096];
  while (std::size_t n = co_await cosock::with_timeout(5s, socket.receive(buffer)))
    co_await socket.send(cosock::buffer(buffer, n));
}

cosock::task<> server_and_client() {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    auto client = co_await cosock::connect("localhost", acceptor.local_endpoint().port());
    tasks.start(echo, co_await acceptor.accept());
    co_await client.send("hello");
    char answer[5];
    co_await client.receive_exactly(answer);
    std::cout << std::string_view(answer, 5) << '\n';
  });  // returns when both tasks have ended; rethrows the first error, which cancels the other task
}

int main() { return cosock::run(server_and_client()); }
