// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a buffer to receive into is const
// says: a buffer to receive into cannot be const
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

#include <string>

cosock::task<> work(cosock::tcp_socket& socket, const std::string& text) {
  co_await socket.receive(text);
}
