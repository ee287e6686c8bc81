// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: co_await is forgotten
// says: an operation does nothing until it is awaited: is co_await missing?
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

cosock::task<> greet(cosock::tcp_socket& socket) {
  socket.send("hello");
  co_return;
}
