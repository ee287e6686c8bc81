// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Cases that run for each kind of socket, and how their operations fail.

#include <cosock/datagram.hpp>

#include "datagram_kinds.hpp"
#include "support.hpp"

#include <array>
#include <string>

namespace test::datagram_kinds {

using boost::system::error_code;
using cosock::as_result;
using cosock::const_buffer;
using cosock::receive_result;
using cosock::task;

/// A case for every kind of socket, as a coroutine.
#define DATAGRAM_CHECK(name)                                                                     \
  template <class Kind>                                                                          \
  static task<> name##_body();                                                                   \
  BOOST_AUTO_TEST_CASE_TEMPLATE(name, Kind, every_kind) { test::run_case(name##_body<Kind>()); } \
  template <class Kind>                                                                          \
  static task<> name##_body()

template <class Kind>
using socket_of = typename Kind::socket;
template <class Kind>
using endpoint_of = typename socket_of<Kind>::endpoint_type;
template <class Kind>
using batch_of = typename socket_of<Kind>::batch;

inline std::string text(const void* data, std::size_t size) {
  return std::string(static_cast<const char*>(data), size);
}
inline std::string text(const_buffer b) { return text(b.data(), b.size()); }

inline error_code code(cosock::error e) { return make_error_code(e); }
inline error_code code(int e) { return {e, boost::system::system_category()}; }

/// What an operation fails with.
template <class A>
task<error_code> failure_of(A operation) {
  const auto result = co_await as_result(std::move(operation));
  co_return result ? error_code() : result.error();
}

/// Receives one, and gives its size.
template <class Socket>
task<std::size_t> size_of_next(Socket& s) {
  char into[64];
  const receive_result got = co_await s.receive(into);
  co_return got.size;
}

/// The operations of a socket, for what goes for all of them.
enum class operation { receive, receive_from, receive_batch, wait_readable, send_to, send_batch };
inline std::ostream& operator<<(std::ostream& out, operation o) {
  return out << "operation " << static_cast<int>(o);
}
inline constexpr operation every_operation[] = {operation::receive,       operation::receive_from,
                                                operation::receive_batch, operation::wait_readable,
                                                operation::send_to,       operation::send_batch};

template <class Kind>
task<error_code> perform(operation which, socket_of<Kind>& s, endpoint_of<Kind> to) {
  char into[16];
  switch (which) {
    case operation::receive: co_return co_await failure_of(s.receive(into));
    case operation::receive_from: co_return co_await failure_of(s.receive_from(into));
    case operation::receive_batch: {
      batch_of<Kind> batch(4, 16);
      co_return co_await failure_of(s.receive_batch(batch));
    }
    case operation::wait_readable: co_return co_await failure_of(s.wait_readable());
    case operation::send_to: co_return co_await failure_of(s.send_to("sent", to));
    case operation::send_batch: {
      const std::array<const_buffer, 2> two = {const_buffer("sent"), const_buffer("too")};
      co_return co_await failure_of(s.send_batch(two, to));
    }
  }
  co_return error_code();
}

}  // namespace test::datagram_kinds
