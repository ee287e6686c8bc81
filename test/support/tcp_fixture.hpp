// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Connections over TCP, and how operations on acceptors and connect() end.

#include <cosock/connect.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include "raw_socket.hpp"
#include "stream_fixture.hpp"

namespace test {

using cosock::connect_options;
using cosock::endpoint;
using cosock::tcp_acceptor;
using cosock::tcp_acceptor_options;
using cosock::tcp_socket;

struct connection {
  connection(tcp_socket c, tcp_socket s) : client(std::move(c)), server(std::move(s)) {}
  tcp_socket client;
  tcp_socket server;
};

inline task<connection> connect_pair(endpoint at = any_port_v4, tcp_acceptor_options accepting = {},
                                     connect_options connecting = {}) {
  tcp_acceptor acceptor(at, accepting);
  const endpoint to = acceptor.local_endpoint();
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(to, connecting), acceptor.accept());
  co_return connection(std::move(client), std::move(server));
}

inline task<outcome> outcome_of_accept(tcp_acceptor& from) {
  const auto result = co_await cosock::as_result(from.accept());
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

inline task<outcome> outcome_of_connect(endpoint to, connect_options options = {}) {
  const auto result = co_await cosock::as_result(cosock::connect(to, options));
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

}  // namespace test
