// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The other end of a TLS connection, as bare OpenSSL: it does what a tls_stream never would.

#include <cosock/stream.hpp>

#include "authority.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace test {

using raw_context = std::shared_ptr<SSL_CTX>;

/// A context that permits what is weak and old. It verifies nothing.
inline raw_context make_raw_context(const issued_certificate* shown = nullptr,
                                    int max_version = 0) {
  raw_context made(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  SSL_CTX_set_security_level(made.get(), 0);
  SSL_CTX_set_cipher_list(made.get(), "ALL:@SECLEVEL=0");
  SSL_CTX_set_min_proto_version(made.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(made.get(), max_version);
  if (shown) {
    SSL_CTX_use_certificate(made.get(), shown->certificate.get());
    SSL_CTX_use_PrivateKey(made.get(), shown->key.get());
  }
  return made;
}

class raw_tls {
 public:
  enum side { client, server };
  raw_tls(cosock::byte_stream& wire, raw_context context, side which)
      : wire_(wire),
        context_(std::move(context)),
        ssl_(SSL_new(context_.get()), SSL_free),
        in_(BIO_new(BIO_s_mem())),
        out_(BIO_new(BIO_s_mem())) {
    SSL_set_bio(ssl_.get(), in_, out_);
    which == client ? SSL_set_connect_state(ssl_.get()) : SSL_set_accept_state(ssl_.get());
  }

  SSL* get() const { return ssl_.get(); }
  cosock::byte_stream& wire() const { return wire_; }

  cosock::task<> handshake() {
    for (bool again = true; again;) {
      const int result = SSL_do_handshake(get());
      again = co_await step(result);
    }
  }
  cosock::task<> write(std::string_view text) {
    for (bool again = true; again;) {
      const int result = SSL_write(get(), text.data(), static_cast<int>(text.size()));
      again = co_await step(result);
    }
  }
  /// The next data; empty after close_notify.
  cosock::task<std::string> read() {
    std::string into(20'000, ' ');
    int result = 0;
    for (bool again = true; again;) {
      result = SSL_read(get(), into.data(), static_cast<int>(into.size()));
      again = co_await step(result);
    }
    into.resize(result > 0 ? static_cast<std::size_t>(result) : 0);
    co_return into;
  }
  /// Returns what it would have sent, instead of sending it.
  std::string take_output() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out_, &data);
    std::string taken(data, static_cast<std::size_t>(size));
    static_cast<void>(BIO_reset(out_));
    return taken;
  }
  cosock::task<> flush() {
    const std::string all = take_output();
    co_await wire_.send(all);
  }

 private:
  /// Sends and receives what a call of OpenSSL needs. Whether to call again.
  cosock::task<bool> step(int result) {
    const int kind = SSL_get_error(get(), result);
    co_await flush();
    if (kind == SSL_ERROR_NONE || kind == SSL_ERROR_ZERO_RETURN) co_return false;
    if (kind != SSL_ERROR_WANT_READ) {
      const char* const why = ERR_reason_error_string(ERR_get_error());
      throw std::runtime_error(why ? why : "error of OpenSSL");
    }
    char block[4096];
    const std::size_t n = co_await wire_.receive(block);
    if (n == 0) throw std::runtime_error("end");
    BIO_write(in_, block, static_cast<int>(n));
    co_return true;
  }

  cosock::byte_stream& wire_;
  raw_context context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  BIO* in_;
  BIO* out_;
};

}  // namespace test
