// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a temporary as a buffer of an operation that outlives it (only Clang can know)
// says-clang: temporary whose address is used as value of local variable 'later' will be destroyed
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

#include <string>

cosock::task<> dangle(cosock::tcp_socket& socket) {
  auto later = socket.send(std::string(100, 'x'));
  co_await std::move(later);
}
