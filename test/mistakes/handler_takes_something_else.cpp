// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a handler that does not take a connection
// says: a handler takes the stream, by value or by reference, and perhaps a const cosock::connection&
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

cosock::task<> work(cosock::tcp_acceptor& acceptor) {
  co_await cosock::serve(acceptor, [](int) -> cosock::task<> { co_return; });
}
