// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a handler that is a temporary lambda and captures by value
// says-gcc-12: make it a named variable, and pass the name
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <string>

cosock::task<> work(cosock::tcp_acceptor& acceptor, std::string greeting) {
  co_await cosock::serve(acceptor, [greeting](cosock::tcp_socket peer) -> cosock::task<> {
    co_await peer.send(greeting);
  });
}
