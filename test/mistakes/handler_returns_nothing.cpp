// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a handler that is no coroutine
// says: a handler returns cosock::task<>: this one returns something else
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

cosock::task<> work(cosock::tcp_acceptor& acceptor) {
  co_await cosock::serve(acceptor, [](cosock::tcp_socket) {});
}
