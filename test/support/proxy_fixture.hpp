// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A server behind proxies: what its handlers have seen, and what it has reported.

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/local.hpp>
#include <cosock/proxy_protocol.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include "support.hpp"

#include <optional>
#include <string>
#include <vector>

namespace test {

using cosock::behind_proxy;
using cosock::byte_stream;
using cosock::endpoint;
using cosock::proxy_header;
using cosock::proxy_options;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::trusted_proxies;
using cosock::untrusted_peer;

inline const endpoint any_port(cosock::address::loopback_v4(), 0);
inline const endpoint any_port_v6(cosock::address::loopback_v6(), 0);
inline const std::string v1_line = "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n";
inline std::string v2_bytes() { return proxy_header::parse(v1_line).to_bytes(); }

/// What one handler has seen.
struct seen_connection {
  std::string source;
  std::string destination;
  std::optional<proxy_header> header;
  std::string data;
};

class proxied_server {
 public:
  explicit proxied_server(proxy_options options = {},
                          const trusted_proxies& trusted = {"127.0.0.0/8", "::1", "unix"})
      : trusted_(trusted), options_(options) {}

  /// Serves while the client runs: each connection is read to its end, and answered with "bye".
  template <class Acceptor, class Client>
  task<> run(Acceptor& acceptor, Client client) {
    const auto handler = [this](auto& stream, const auto& connection) -> task<> {
      seen_connection now;
      if constexpr (requires { connection.source(); }) {
        now.source = connection.source().to_string();
        now.destination = connection.destination().to_string();
      }
      if (connection.proxy()) now.header = *connection.proxy();
      ++begun;
      now.data = co_await cosock::receive_to_end(stream, 1 << 20);
      co_await stream.send("bye");
      seen.push_back(std::move(now));
    };
    co_await run_with(acceptor, handler, std::move(client));
  }
  template <class Acceptor, class Handler, class Client>
  task<> run_with(Acceptor& acceptor, Handler handler, Client client) {
    server_handle handle;
    const auto report = [this](const std::exception_ptr& e, std::string_view of) {
      reports.push_back(std::string(of) + ": " + cosock::error_message(e));
    };
    const auto run_client = [&]() -> task<> {
      co_await client();
      handle.stop();
    };
    cosock::serve_options options;
    options.on_error = report;
    options.finish_timeout = 200ms;
    co_await cosock::when_all(
        cosock::serve(acceptor, behind_proxy(trusted_, std::move(handler), options_), handle,
                      options),
        run_client());
    counters = handle.counters();
  }

  std::vector<seen_connection> seen;
  std::vector<std::string> reports;
  int begun = 0;
  cosock::serve_counters counters;

 private:
  trusted_proxies trusted_;
  proxy_options options_;
};

/// Sends this and the end, and returns the answer: "bye" of a handler; empty if there is none.
inline task<std::string> ask(byte_stream& stream, std::string bytes) {
  static_cast<void>(co_await cosock::as_result(stream.send(bytes)));
  try {
    stream.shutdown_send();
    co_return co_await cosock::receive_to_end(stream, 1000);
  } catch (const boost::system::system_error&) {
    co_return "";
  }
}
inline task<std::string> ask(endpoint at, std::string bytes) {
  tcp_socket s = co_await cosock::connect(at);
  co_return co_await ask(s, std::move(bytes));
}

/// Waits until the peer has ended the connection.
inline task<bool> is_closed(byte_stream& stream) {
  char one[1];
  const auto n = co_await cosock::as_result(stream.receive(one));
  co_return !n || *n == 0;
}

}  // namespace test
