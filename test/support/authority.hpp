// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Certificates that are made when a test runs: authorities, and what they issue.

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace test {

/// What a certificate says. Times are in seconds from now.
struct certificate_request {
  std::string subject = "leaf";
  std::string names = "DNS:localhost,IP:127.0.0.1";  // subjectAltName; empty: none
  long from = -3600;
  long until = 86400;
  std::string usage = "serverAuth";  // extendedKeyUsage; empty: any
  bool is_authority = false;
  int rsa_bits = 0;  // 0: an elliptic curve
  const EVP_MD* digest = nullptr;
};

class issued_certificate {
 public:
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;

  std::string pem() const {
    return text([this](BIO* to) { PEM_write_bio_X509(to, certificate.get()); });
  }
  std::string key_pem() const {
    return text([this](BIO* to) {
      PEM_write_bio_PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  std::string key_pem(std::string password) const {
    return text([&](BIO* to) {
      PEM_write_bio_PrivateKey(to, key.get(), EVP_aes_256_cbc(), nullptr, 0, nullptr,
                               password.data());
    });
  }

  template <class Write>
  static std::string text(Write write) {
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()), BIO_free_all);
    write(bio.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
  }
};

/// Makes a certificate, signed by the issuer, or by itself if there is none.
inline issued_certificate make_certificate(const certificate_request& asked,
                                           const issued_certificate* issuer = nullptr) {
  static long serial = 1;
  issued_certificate made;
  made.key.reset(
      asked.rsa_bits ? EVP_RSA_gen(static_cast<unsigned>(asked.rsa_bits)) : EVP_EC_gen("P-256"),
      EVP_PKEY_free);
  made.certificate.reset(X509_new(), X509_free);
  X509* const c = made.certificate.get();
  X509* const parent = issuer ? issuer->certificate.get() : c;
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(c), asked.from);
  X509_gmtime_adj(X509_getm_notAfter(c), asked.until);
  X509_set_pubkey(c, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(asked.subject.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(c, X509_get_subject_name(parent));
  const auto extend = [&](int id, const std::string& value) {
    if (value.empty()) return;
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, parent, c, nullptr, nullptr, 0);
    X509_EXTENSION* const e = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    if (!e) throw std::runtime_error("extension of a certificate: " + value);
    X509_add_ext(c, e, -1);
    X509_EXTENSION_free(e);
  };
  extend(NID_basic_constraints, asked.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extend(NID_key_usage, asked.is_authority ? "critical,keyCertSign,cRLSign" : "digitalSignature");
  extend(NID_subject_key_identifier, "hash");
  if (issuer) extend(NID_authority_key_identifier, "keyid");
  if (!asked.is_authority) extend(NID_ext_key_usage, asked.usage);
  extend(NID_subject_alt_name, asked.names);
  const EVP_MD* const digest = asked.digest ? asked.digest : EVP_sha256();
  if (X509_sign(c, issuer ? issuer->key.get() : made.key.get(), digest) == 0)
    throw std::runtime_error("a certificate cannot be signed");
  return made;
}

inline issued_certificate make_authority(std::string name,
                                         const issued_certificate* issuer = nullptr) {
  certificate_request asked;
  asked.subject = std::move(name);
  asked.names.clear();
  asked.is_authority = true;
  return make_certificate(asked, issuer);
}

/// A list of the authority that revokes one certificate, or none.
inline std::string make_revocation_list(const issued_certificate& authority,
                                        const issued_certificate* revoked = nullptr) {
  const std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)> list(X509_CRL_new(), X509_CRL_free);
  X509_CRL_set_version(list.get(), 1);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(authority.certificate.get()));
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> at(ASN1_TIME_new(), ASN1_TIME_free);
  X509_gmtime_adj(at.get(), -60);
  X509_CRL_set1_lastUpdate(list.get(), at.get());
  if (revoked) {
    X509_REVOKED* const entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->certificate.get()));
    X509_REVOKED_set_revocationDate(entry, at.get());
    X509_CRL_add0_revoked(list.get(), entry);
  }
  X509_gmtime_adj(at.get(), 86400);
  X509_CRL_set1_nextUpdate(list.get(), at.get());
  X509_CRL_sign(list.get(), authority.key.get(), EVP_sha256());
  return issued_certificate::text([&](BIO* to) { PEM_write_bio_X509_CRL(to, list.get()); });
}

}  // namespace test
