// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The verification of a peer's certificate, for both sides, and the words for its failure. OpenSSL verifies;
// this adds pins and remembers what failed.

#include "tls/certificate.hpp"
#include "tls/tls_object.hpp"

namespace cosock::detail {

using key_pin = std::array<unsigned char, 32>;

/// The state of a handshake in which this side may verify a certificate.
class verifying_state : public tls_session_state {
 public:
  void describe(std::string& about, boost::system::error_code& code) override;
  /// For OpenSSL's callback: 1 if the chain is good.
  int verify(X509_STORE_CTX* chain) noexcept;
  /// For the callback of a stapled response: 1 if it does not speak against the certificate.
  int verify_response(SSL* ssl) noexcept;

 protected:
  /// The keys of which one has to be in the chain; empty: any.
  virtual const std::vector<key_pin>& pins() const noexcept = 0;
  /// Whether chain and name are verified.
  virtual bool verifies() const noexcept = 0;
  /// The name that the certificate has to be for; empty: any.
  virtual std::string expected_name() const = 0;

 private:
  void remember(tls_errc code, std::string about);
  void remember_chain(X509_STORE_CTX* chain, int error);
  bool is_pinned(X509_STORE_CTX* chain) const;
  std::optional<tls_errc> code_;
  std::string about_;
};

/// Verification as both sides need it: the callback, the store, strength, purpose and versions.
ssl_context_ptr new_context(const SSL_METHOD* method, bool is_1_3_required);

/// What verifies the certificates of peers: parsed, and shared by the contexts that are made of it.
struct trust {
  std::vector<certificate_ptr> roots;
  std::vector<crl_ptr> revocation_lists;
  void add_roots(std::string_view pem, const std::string& origin);
  void add_revocation_lists(std::string_view pem, const std::string& origin);
  /// Into the store of a context. If there are revocation lists, every certificate of a chain needs
  /// one.
  void put_into(SSL_CTX* context) const;
};

/// Appends a name to the list of ALPN as it is sent. Throws std::invalid_argument for a name of no or more
/// than 255 bytes.
void append_protocol(std::string& list, std::string_view name);
template <class Names>
std::string encode_protocols(const Names& names) {
  std::string list;
  for (const std::string_view name : names) append_protocol(list, name);
  return list;
}

/// A file to which secrets of connections are appended.
class key_log {
 public:
  explicit key_log(const std::string& path);
  ~key_log();
  key_log(const key_log&) = delete;
  void append(const char* line) const noexcept;

 private:
  int file_;
};

/// A text of a peer for an error: without control characters, which would falsify a log.
std::string printable(std::string text);

}  // namespace cosock::detail
