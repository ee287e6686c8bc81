// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Certificates, keys and revocation lists: reading them from PEM and PKCS#12, and what they say. Nothing is
// kept here. Called by the contexts, the verification and tls_stream.

#include <cosock/tls_certificate.hpp>
#include <cosock/tls_error.hpp>

#include "tls/openssl.hpp"

#include <ctime>

namespace cosock::detail {

/// A certificate with the chain above it, and its key.
struct key_and_chain {
  certificate_ptr certificate;
  certificates_ptr chain;
  key_ptr key;
};

/// The whole file. Throws system_error with the path in what().
std::string read_file(const std::string& path);

/// Throws tls_error: `code`, with the origin and OpenSSL's reason in what().
[[noreturn]] void raise_unreadable(tls_errc code, const std::string& origin,
                                   const std::string& what);

// These throw tls_errc::invalid_file with the origin, a path or "memory", in what().
certificates_ptr read_certificates(std::string_view pem, const std::string& origin);
std::vector<crl_ptr> read_revocation_lists(std::string_view pem, const std::string& origin);
/// Throws tls_errc::key_mismatch too. An encrypted key needs the password.
key_and_chain read_identity(std::string_view chain, std::string_view key,
                            const std::string& password, const std::string& origin);
key_and_chain read_pkcs12(std::string_view data, const std::string& password,
                          const std::string& origin);

/// Makes the context show the certificate. Throws tls_errc::weak_certificate.
void use_identity(SSL_CTX* context, const key_and_chain& shown, const std::string& origin);

/// Throws tls_errc::invalid_file unless `der` is an OCSP response for the certificate. A client would refuse
/// the certificate with it, and OpenSSL from 3.6 on fails the handshake, or does not send it.
void check_ocsp_response(std::string_view der, X509* certificate, const std::string& origin);

tls_certificate describe_certificate(X509* certificate);
/// "CN=example.org,O=Example".
std::string name_text(const X509_NAME* name);
/// The DNS names, addresses and so on of subjectAltName.
std::vector<std::string> alternative_names(X509* certificate);
/// SHA-256 of the public key, as RFC 7469 has it.
std::array<unsigned char, 32> key_pin_of(X509* certificate);
/// "2024-05-01 12:00:00 UTC".
std::string time_text(const ASN1_TIME* at);
/// Seconds from the time to now.
std::time_t seconds_since(const ASN1_TIME* at) noexcept;

}  // namespace cosock::detail
