// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: co_await is forgotten where the result is used
// says: an operation is not its result: co_await is missing
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

cosock::task<> count(cosock::tcp_socket& socket) {
  char buffer[100];
  std::size_t all = 0;
  while (std::size_t n = socket.receive(buffer)) all += n;
  co_return;
}
