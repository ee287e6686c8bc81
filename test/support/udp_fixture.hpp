// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// UDP sockets on loopback, and what comes to them.

#include <cosock/udp.hpp>

#include "raw_socket.hpp"
#include "support.hpp"

#include <string>

namespace test {

using cosock::as_result;
using cosock::task;
using cosock::udp_socket;

inline task<std::string> next_text(udp_socket& s) {
  std::string into(70000, '\0');
  const cosock::receive_result got = co_await s.receive(into);
  into.resize(got.size);
  co_return into;
}

/// Waits, with a limit, and says whether nothing came.
inline task<bool> stays_silent(udp_socket& s) {
  char into[1];
  const auto result = co_await as_result(cosock::with_timeout(5ms, s.receive(into)));
  co_return result.has_error() && result.error() == cosock::error::timed_out;
}

}  // namespace test
