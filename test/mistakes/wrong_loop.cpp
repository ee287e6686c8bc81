// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: a socket is used from another loop than its own
// run: the object belongs to another loop
#include <cosock/loop.hpp>
#include <cosock/run.hpp>
#include <cosock/tcp.hpp>

cosock::task<> use(cosock::tcp_acceptor& acceptor) { co_await acceptor.accept(); }

cosock::task<int> work() {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  cosock::loop other;
  other.run(use(acceptor));
  co_return 0;
}

int main() { return cosock::run(work()); }
