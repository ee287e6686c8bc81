// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a type that is no buffer is sent
// says: this is not a buffer, which is memory of bytes or chars
#include <cosock/task.hpp>
#include <cosock/tcp.hpp>

cosock::task<> work(cosock::tcp_socket& socket) { co_await socket.send(42); }
