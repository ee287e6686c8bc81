// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A TLS server for localhost and a client that trusts it, over every kind of stream.

#include <cosock/finish.hpp>
#include <cosock/local.hpp>
#include <cosock/tls.hpp>
#include <cosock/tls_error.hpp>
#include <cosock/when.hpp>

#include "authority.hpp"
#include "memory_stream.hpp"
#include "support.hpp"

#include <memory>

namespace test {

inline const issued_certificate& root() {
  static const issued_certificate made = make_authority("test root");
  return made;
}

inline cosock::tls_identity identity_of(const issued_certificate& leaf,
                                        const std::string& chain = {}) {
  return cosock::tls_identity::from_pem(leaf.pem() + chain, leaf.key_pem());
}

inline const issued_certificate& localhost() {
  static const issued_certificate made = make_certificate({}, &root());
  return made;
}

/// Client contexts cannot be returned, as they cannot be moved.
struct trusting_client {
  cosock::tls_client_context context{cosock::tls_roots::none};
  trusting_client() { context.add_roots(root().pem()); }
};

/// The contexts of tests that need no others.
inline const cosock::tls_client_context& client_context() {
  static const trusting_client made;
  return made.context;
}
inline const cosock::tls_server_context& server_context() {
  static const cosock::tls_server_context made(identity_of(localhost()));
  return made;
}

struct tls_pair {
  cosock::tls_stream client;
  cosock::tls_stream server;
};

/// Both handshakes over the two ends of a stream. Throws the error of the client, or that of the server.
inline cosock::task<tls_pair> shake_hands(const cosock::tls_client_context& client,
                                          const cosock::tls_server_context& server,
                                          std::unique_ptr<cosock::byte_stream> one,
                                          std::unique_ptr<cosock::byte_stream> other,
                                          std::string host = "localhost",
                                          cosock::tls_over_options options = {}) {
  auto [c, s] =
      co_await cosock::when_all(cosock::tls_over(client, std::move(one), std::move(host), options),
                                cosock::tls_accept(server, std::move(other)));
  co_return tls_pair{std::move(c), std::move(s)};
}

inline cosock::task<tls_pair> tls_over_memory(const cosock::tls_client_context& client,
                                              const cosock::tls_server_context& server,
                                              std::string host = "localhost",
                                              std::size_t room = 5000) {
  auto ends = co_await make_memory_pair(room);
  co_return co_await shake_hands(client, server, std::move(ends.first), std::move(ends.second),
                                 std::move(host));
}

/// The error of one side of a handshake, or none.
struct thrown {
  std::exception_ptr error;

  explicit operator bool() const { return error != nullptr; }
  boost::system::error_code code() const {
    if (!error) return {};
    try {
      std::rethrow_exception(error);
    } catch (const boost::system::system_error& e) {
      return e.code();
    }
  }
  bool is(cosock::tls_errc e) const { return code() == make_error_code(e); }
  std::string text() const { return error ? cosock::error_message(error) : "no error"; }
  friend std::ostream& operator<<(std::ostream& out, const thrown& t) { return out << t.text(); }
};

struct refusal {
  thrown client;
  thrown server;
};

inline auto is(cosock::tls_errc e) {
  return [e](const boost::system::system_error& thrown) {
    return thrown.code() == make_error_code(e);
  };
}

/// A handshake of which both errors are of interest. `after`: what the client does if it succeeds: in
/// TLS 1.3 it learns only then that the server refuses it.
inline cosock::task<refusal> refused(const cosock::tls_client_context& client,
                                     const cosock::tls_server_context& server,
                                     std::string host = "localhost") {
  auto ends = co_await make_memory_pair(50'000);
  refusal told;
  const auto as_client = [&]() -> cosock::task<> {
    try {
      cosock::tls_stream stream =
          co_await cosock::tls_over(client, std::move(ends.first), host, {.resume = false});
      char byte;
      static_cast<void>(co_await stream.receive(cosock::mutable_buffer(&byte, 1)));
    } catch (...) {
      told.client.error = std::current_exception();
    }
  };
  const auto as_server = [&]() -> cosock::task<> {
    try {
      cosock::tls_stream stream = co_await cosock::tls_accept(server, std::move(ends.second));
      co_await stream.send("!");
    } catch (...) {
      told.server.error = std::current_exception();
    }
  };
  co_await cosock::when_all(as_client(), as_server());
  co_return told;
}

}  // namespace test
