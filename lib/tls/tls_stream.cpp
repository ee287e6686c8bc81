// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The class tls_stream: moving, closing, and what the handshake has agreed on. The work is that of
// tls_object.

#include <cosock/tls_stream.hpp>

#include <cosock/tls_facts.hpp>

#include "tls/certificate.hpp"
#include "tls/tls_object.hpp"

#include <memory>

namespace cosock {

tls_stream detail::tls_access::make(std::unique_ptr<tls_object> secured) {
  return tls_stream(std::move(secured));
}

tls_stream::tls_stream() noexcept = default;
tls_stream::tls_stream(detail::owner<detail::tls_object> secured) noexcept
    : byte_stream(secured.get()), secured_(std::move(secured)) {}
tls_stream::tls_stream(tls_stream&& other) noexcept
    : byte_stream(std::exchange(other.object_, nullptr)), secured_(std::move(other.secured_)) {}

tls_stream& tls_stream::operator=(tls_stream&& other) noexcept {
  if (this != &other) {
    object_ = std::exchange(other.object_, nullptr);
    secured_ = std::move(other.secured_);
  }
  return *this;
}

tls_stream::~tls_stream() = default;

void tls_stream::shutdown_send() {
  if (!is_open()) detail::raise(detail::closed_stream());
  secured_->end_sending();
}

void tls_stream::close() noexcept {
  if (secured_) secured_->close(false);
}

const detail::tls_object& tls_stream::open() const {
  if (!is_open()) detail::raise(detail::closed_stream());
  return *secured_;
}

tls_facts tls_stream::facts() const {
  SSL* const ssl = open().ssl();
  tls_facts known;
  if (SSL_version(ssl) == TLS1_2_VERSION) known.version = tls_version::tls_1_2;
  if (const char* const name = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)))
    known.cipher = name;
  known.protocol = protocol();
  if (const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name))
    known.server_name = name;
  known.is_resumed = is_resumed();
  if (const detail::certificate_ptr peer{SSL_get1_peer_certificate(ssl)})
    known.peer = detail::describe_certificate(peer.get());
  return known;
}

std::string tls_stream::protocol() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(open().ssl(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

bool tls_stream::is_resumed() const { return SSL_session_reused(open().ssl()) == 1; }

const byte_stream& tls_stream::transport() const { return open().transport(); }

}  // namespace cosock
