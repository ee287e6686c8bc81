// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// What splice_bare.cpp does, with copy_both.

#include <cosock/copy.hpp>
#include <cosock/run.hpp>
#include <cosock/tcp.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

cosock::task<> serve(std::uint16_t port) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), port});
  std::printf("listening on 127.0.0.1:%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  for (;;) {
    cosock::tcp_socket first = co_await acceptor.accept();
    cosock::tcp_socket second = co_await acceptor.accept();
    co_await cosock::copy_both(first, second);
  }
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: splice_cosock PORT");
  return cosock::run(serve(static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
