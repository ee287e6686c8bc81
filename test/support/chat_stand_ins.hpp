// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Stands in front of the chat of the tutorial, which is compiled as it is, with streams in memory for its
// sockets. testing_chat.cpp includes it too, for the clients.

#include <cosock/cosock.hpp>
#include <cosock/testing/for_each_failure.hpp>
#include <cosock/testing/memory_listener.hpp>

#include <cstdio>
#include <string>
#include <utility>

/// The names that the program uses, with streams in memory for its sockets.
namespace chat {

using namespace cosock;
using tcp_socket = cosock::byte_stream;

class tcp_acceptor {
 public:
  tcp_acceptor(const cosock::endpoint& at, const cosock::tcp_acceptor_options&) : at_(at) {
    current = this;
  }
  ~tcp_acceptor() { current = nullptr; }
  cosock::endpoint local_endpoint() const { return at_; }
  cosock::task<cosock::testing::faulty> accept() {
    auto accepted = co_await listener.accept();
    co_return points->wrap(std::move(accepted));
  }
  void close() noexcept { listener.close(); }

  cosock::testing::memory_listener listener;
  static inline tcp_acceptor* current = nullptr;
  static inline cosock::testing::fault_points* points = nullptr;

 private:
  cosock::endpoint at_;
};

}  // namespace chat

#ifdef COMPILES_CHAT
#define cosock chat
#define main chat_main
#define printf(...) snprintf(nullptr, 0, __VA_ARGS__)
#endif
