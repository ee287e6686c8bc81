// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/ssl/context.hpp>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace test {

/// Has a server use a key and a certificate for localhost that are made here, signed by itself, and a
/// client, if there is one, trust that.
inline void use_own_certificate(boost::asio::ssl::context& server,
                                boost::asio::ssl::context* client = nullptr) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_sign(certificate, key, EVP_sha256());
  SSL_CTX_use_certificate(server.native_handle(), certificate);
  SSL_CTX_use_PrivateKey(server.native_handle(), key);
  if (client) X509_STORE_add_cert(SSL_CTX_get_cert_store(client->native_handle()), certificate);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

}  // namespace test
