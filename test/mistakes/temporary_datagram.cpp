// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a temporary as a buffer for a datagram
// says: a temporary as a buffer: what is received into it is lost
#include <cosock/task.hpp>
#include <cosock/udp.hpp>

#include <vector>

cosock::task<> lose(cosock::udp_socket& socket) { co_await socket.receive(std::vector<char>(100)); }
