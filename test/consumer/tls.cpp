// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A program that uses cosock-tls, and knows nothing of OpenSSL: a client of a server that speaks plain text,
// and what is exported besides functions: classes, exceptions, error categories.

#include <cosock/cosock.hpp>
#include <cosock/tls.hpp>
#include <cosock/tls_error.hpp>

#include <cstdio>

#ifdef OPENSSL_VERSION_NUMBER
#error "a public header includes OpenSSL"
#endif

cosock::task<> greet(cosock::tcp_socket socket) {
  co_await socket.send("not TLS, but long enough");
}

cosock::task<int> consume() {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  cosock::server_handle server;
  const cosock::tls_client_context context;
  int status = 2;
  const auto ask = [&]() -> cosock::task<> {
    try {
      co_await cosock::tls_connect(context, "127.0.0.1", acceptor.local_endpoint().port());
    } catch (const cosock::tls_error& e) {
      if (e.code() == cosock::tls_errc::not_tls) status = 0;
    }
    server.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, greet, server), ask());
  std::puts("consumed");
  co_return status;
}

int main() { return cosock::run(consume()); }
