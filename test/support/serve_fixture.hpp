// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Handlers and clients of a server.

#include <cosock/serve.hpp>

#include "support.hpp"

#include <exception>
#include <string>
#include <vector>

namespace test {

using cosock::as_result;
using cosock::byte_stream;
using cosock::endpoint;
using cosock::task;

inline const endpoint any_port(cosock::address::loopback_v4(), 0);

inline task<> echo(byte_stream& s) {
  char buffer[4096];
  while (std::size_t n = co_await s.receive(buffer)) co_await s.send(cosock::buffer(buffer, n));
}

/// Asks a server, and says whether it has answered.
inline task<bool> round_trip(byte_stream& s, std::string_view text = "ping") {
  co_await s.send(text);
  std::string answer(text.size(), '\0');
  co_await s.receive_exactly(answer);
  co_return answer == text;
}

/// Whether the other side has closed.
inline task<bool> has_ended(byte_stream& s) {
  char one[1];
  const auto n = co_await as_result(s.receive(one));
  co_return !n || *n == 0;
}

/// An observer that keeps what it is told.
struct observed {
  void operator()(const std::exception_ptr& e) { errors.push_back(cosock::error_message(e)); }
  std::vector<std::string> errors;
};

}  // namespace test
