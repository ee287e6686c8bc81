// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: an operation is awaited by its name
// says: an operation is awaited once: co_await std::move(it)
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

cosock::task<> twice(cosock::tcp_socket& socket) {
  auto one = socket.send("hello");
  co_await one;
  co_await one;
}
