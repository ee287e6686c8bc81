// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a temporary as a buffer to receive into
// says: a temporary as a buffer: what is received into it is lost
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

#include <string>

cosock::task<> lose(cosock::tcp_socket& socket) { co_await socket.receive(std::string(100, '\0')); }
