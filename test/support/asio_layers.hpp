// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The kinds of streams under layers of Asio's and Beast's.

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include "memory_stream.hpp"
#include "support.hpp"

#include <memory>

namespace test {

struct ends {
  std::unique_ptr<cosock::byte_stream> server;
  std::unique_ptr<cosock::byte_stream> client;
};

inline cosock::task<ends> over_tcp() {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  co_return ends{std::make_unique<cosock::tcp_socket>(std::move(server)),
                 std::make_unique<cosock::tcp_socket>(std::move(client))};
}
inline cosock::task<ends> over_local() {
  auto [server, client] = cosock::local_pair();
  co_return ends{std::make_unique<cosock::local_stream_socket>(std::move(server)),
                 std::make_unique<cosock::local_stream_socket>(std::move(client))};
}
inline cosock::task<ends> over_memory() {
  auto made = co_await make_memory_pair();
  co_return ends{std::move(made.first), std::move(made.second)};
}

constexpr cosock::task<ends> (*every_kind[])() = {over_tcp, over_local, over_memory};

}  // namespace test
