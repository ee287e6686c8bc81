// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Connections of local sockets over a name, and how accept() and connect() end.

#include <cosock/local.hpp>
#include <cosock/when.hpp>

#include "local_tools.hpp"

#include <string>
#include <string_view>

namespace test {

using boost::system::system_error;
using cosock::local_stream_socket;

/// For BOOST_CHECK_EXCEPTION: the condition, and what the text has to contain.
inline auto says(errc::errc_t condition, std::string text) {
  return [=](const system_error& e) {
    BOOST_TEST_MESSAGE(e.what());
    return e.code() == condition && std::string_view(e.what()).find(text) != std::string_view::npos;
  };
}

template <class Acceptor>
task<outcome> outcome_of_accept(Acceptor& from) {
  const auto result = co_await cosock::as_result(from.accept());
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

template <class Socket = local_stream_socket>
task<outcome> outcome_of_connect(local_endpoint to) {
  const auto result = co_await cosock::as_result(cosock::connect<Socket>(to));
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

/// A connection over a name.
template <class Socket>
struct connection {
  connection(Socket c, Socket s) : client(std::move(c)), server(std::move(s)) {}
  Socket client;
  Socket server;
};
template <class Socket>
task<connection<Socket>> connect_over(cosock::local_acceptor<Socket>& acceptor) {
  auto [client, server] = co_await cosock::when_all(
      cosock::connect<Socket>(acceptor.local_endpoint()), acceptor.accept());
  co_return connection<Socket>(std::move(client), std::move(server));
}

}  // namespace test
