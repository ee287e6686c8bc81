// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a vector of integers is no buffer of bytes
// says: this is not a buffer, which is memory of bytes or chars
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

#include <vector>

cosock::task<> work(cosock::tcp_socket& socket) {
  std::vector<int> numbers(100);
  co_await socket.receive(numbers);
}
