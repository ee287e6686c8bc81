// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The code of docs/proxies.md: a server behind a proxy, and a proxy.

#include <cosock/cosock.hpp>

#include "check.hpp"

namespace {

using cosock::task;

//! [serve]
task<> greet(cosock::tcp_socket& stream, const cosock::connection& connection) {
  co_await stream.send("hello, " + connection.source().to_string() + "\n");
}

task<> run_server(cosock::tcp_acceptor& acceptor, cosock::server_handle& handle) {
  const cosock::trusted_proxies trusted{"10.0.0.0/8", "127.0.0.1", "unix"};
  co_await cosock::serve(acceptor, cosock::behind_proxy(trusted, greet), handle);
}
//! [serve]

//! [send]
task<cosock::tcp_socket> connect_for(const cosock::tcp_socket& client, cosock::endpoint server) {
  cosock::tcp_socket upstream = co_await cosock::connect(server);
  const cosock::proxy_header header(client.remote_endpoint(), client.local_endpoint());
  co_await cosock::send_proxy_header(upstream, header, {.checksum = true});
  co_return upstream;
}
//! [send]

task<> test_both() {
  const cosock::endpoint any_port(cosock::address::loopback_v4(), 0);
  cosock::tcp_acceptor front(any_port);
  cosock::tcp_acceptor back(any_port);
  cosock::server_handle handle;
  const auto clients = [&]() -> task<> {
    cosock::tcp_socket client = co_await cosock::connect(front.local_endpoint());
    cosock::tcp_socket accepted = co_await front.accept();
    cosock::tcp_socket upstream = co_await connect_for(accepted, back.local_endpoint());
    const std::string greeting = co_await cosock::receive_to_end(upstream, 1000);
    check(greeting == "hello, " + client.local_endpoint().to_string() + "\n");
    handle.stop();
  };
  co_await cosock::when_all(run_server(back, handle), clients());
}

}  // namespace

int main() { return cosock::run(test_both()); }
