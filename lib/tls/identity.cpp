// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The class tls_identity: where a certificate comes from. Reading it is the work of certificate.cpp.

#include <cosock/tls_identity.hpp>

#include "tls/identity.hpp"

#include "tls/verify.hpp"

#include <memory>

namespace cosock {

tls_identity::tls_identity(const tls_identity&) = default;
tls_identity::tls_identity(tls_identity&&) noexcept = default;
tls_identity& tls_identity::operator=(const tls_identity&) = default;
tls_identity& tls_identity::operator=(tls_identity&&) noexcept = default;
tls_identity::~tls_identity() {
  OPENSSL_cleanse(password_.data(), password_.size());
  if (!in_files_) OPENSSL_cleanse(key_.data(), key_.size());
}

tls_identity tls_identity::from_files(std::string chain, std::string key, std::string password) {
  tls_identity made = from_pem(std::move(chain), std::move(key), std::move(password));
  made.in_files_ = true;
  return made;
}

tls_identity tls_identity::from_pem(std::string chain, std::string key, std::string password) {
  tls_identity made;
  made.chain_ = std::move(chain);
  made.key_ = std::move(key);
  made.password_ = std::move(password);
  return made;
}

tls_identity tls_identity::from_pkcs12_file(std::string path, std::string password) {
  tls_identity made = from_pkcs12(std::move(path), std::move(password));
  made.in_files_ = true;
  return made;
}

tls_identity tls_identity::from_pkcs12(std::string data, std::string password) {
  tls_identity made;
  made.key_ = std::move(data);
  made.password_ = std::move(password);
  made.is_pkcs12_ = true;
  return made;
}

void tls_identity::set_ocsp_response_file(std::string path) {
  ocsp_response_file_ = std::move(path);
}

void detail::loaded_identity::use_in(SSL_CTX* context) const {
  use_identity(context, parts, name_text(X509_get_subject_name(parts.certificate.get())));
}

std::shared_ptr<const detail::loaded_identity> detail::identity_access::load(
    const tls_identity& from) {
  auto loaded = std::make_shared<loaded_identity>();
  std::string secret = from.in_files_ ? read_file(from.key_) : from.key_;
  try {
    if (from.is_pkcs12_) {
      loaded->parts =
          read_pkcs12(secret, from.password_, from.in_files_ ? from.key_ : "PKCS#12 in memory");
    } else {
      const std::string origin =
          from.in_files_ ? from.chain_ + " with " + from.key_ : "certificate in memory";
      loaded->parts = read_identity(from.in_files_ ? read_file(from.chain_) : from.chain_, secret,
                                    from.password_, origin);
    }
  } catch (...) {
    OPENSSL_cleanse(secret.data(), secret.size());
    throw;
  }
  OPENSSL_cleanse(secret.data(), secret.size());
  // A certificate that OpenSSL refuses is an error of this program, not of its handshakes.
  loaded->use_in(new_context(TLS_method(), false).get());
  if (!from.ocsp_response_file_.empty()) {
    loaded->ocsp_response = read_file(from.ocsp_response_file_);
    check_ocsp_response(loaded->ocsp_response, loaded->parts.certificate.get(),
                        from.ocsp_response_file_);
  }
  return loaded;
}

}  // namespace cosock
