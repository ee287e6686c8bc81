// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// TLS of cosock-tls. See tls_measure.hpp.

#include <cosock/connect.hpp>
#include <cosock/loop.hpp>
#include <cosock/tls.hpp>
#include <cosock/when.hpp>

#include "tls_measure.hpp"

namespace {

using cosock::task;
using cosock::tls_stream;

struct ends {
  tls_stream client;
  tls_stream server;
};

class driver {
 public:
  explicit driver(const tls::certificate_pem& pem)
      : server_(cosock::tls_identity::from_pem(pem.certificate, pem.key)) {
    client_.add_roots(pem.certificate);
  }
  ends connect(bool resume) { return loop_.run(make(resume)); }
  static bool is_resumed(const ends& pair) { return pair.client.is_resumed(); }
  static void close(const ends) {}  // the destructor does
  void round_trips(ends& pair, int count) {
    loop_.run([](ends& p, int n) -> task<> {
      co_await cosock::when_all(echo(p.server, n), ask(p.client, n));
    }(pair, count));
  }
  void bulk(ends& pair, int mebibytes) {
    loop_.run([](ends& p, int n) -> task<> {
      co_await cosock::when_all(send(p.client, n), receive(p.server, n));
    }(pair, mebibytes));
  }

 private:
  task<ends> make(bool resume) {
    auto [one, other] =
        co_await cosock::when_all(cosock::connect(acceptor_.local_endpoint()), acceptor_.accept());
    auto [client, server] = co_await cosock::when_all(
        cosock::tls_over(client_, std::move(one), "localhost", {.resume = resume}),
        cosock::tls_accept(server_, std::move(other)));
    co_return ends{std::move(client), std::move(server)};
  }
  static task<> echo(tls_stream& stream, int count) {
    char block[64];
    for (int i = 0; i != count; ++i) {
      co_await stream.receive_exactly(block);
      co_await stream.send(block);
    }
  }
  static task<> ask(tls_stream& stream, int count) {
    char block[64] = {};
    for (int i = 0; i != count; ++i) {
      co_await stream.send(block);
      co_await stream.receive_exactly(block);
    }
  }
  static task<> send(tls_stream& stream, int mebibytes) {
    const std::vector<char> block(256 << 10);
    for (int i = 0; i != 4 * mebibytes; ++i) co_await stream.send(block);
  }
  static task<> receive(tls_stream& stream, int mebibytes) {
    std::vector<char> block(256 << 10);
    for (std::size_t left = static_cast<std::size_t>(mebibytes) << 20; left != 0;)
      left -= co_await stream.receive(block);
  }

  cosock::loop loop_;
  cosock::tls_server_context server_;
  cosock::tls_client_context client_{cosock::tls_roots::none};
  cosock::tcp_acceptor acceptor_ = loop_.run([]() -> task<cosock::tcp_acceptor> {
    co_return cosock::tcp_acceptor({cosock::address::loopback_v4(), 0});
  }());
};

}  // namespace

int main(int argc, char** argv) { return tls::main<driver>(argc, argv); }
