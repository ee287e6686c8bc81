// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The category of tls_errc, tls_error, and the codes and texts for alerts and for OpenSSL's errors.

#include <cosock/tls_error.hpp>

#include "tls/tls_object.hpp"

#include <openssl/sslerr.h>

namespace cosock {

namespace errc = boost::system::errc;

namespace {

class category final : public boost::system::error_category {
 public:
  // Boost compares categories by this id, so those of two copies of the library are equal.
  constexpr category() noexcept : error_category(0x6f1d8a93c2574be1) {}
  const char* name() const noexcept override { return "cosock.tls"; }
  std::string message(int code) const override { return text(code); }
  const char* message(int code, char*, std::size_t) const noexcept override { return text(code); }

  boost::system::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<tls_errc>(code)) {
      case tls_errc::truncated: return errc::make_error_condition(errc::connection_aborted);
      case tls_errc::invalid_file:
      case tls_errc::key_mismatch: return errc::make_error_condition(errc::invalid_argument);
      case tls_errc::internal: return errc::make_error_condition(errc::state_not_recoverable);
      default: return errc::make_error_condition(errc::protocol_error);
    }
  }

 private:
  static const char* text(int code) noexcept {
    switch (static_cast<tls_errc>(code)) {
      case tls_errc::certificate_expired: return "the certificate has expired";
      case tls_errc::certificate_not_yet_valid: return "the certificate is not valid yet";
      case tls_errc::name_mismatch: return "the certificate is for other names";
      case tls_errc::unknown_authority: return "no trusted authority has issued the certificate";
      case tls_errc::wrong_purpose: return "the certificate may not be used for this purpose";
      case tls_errc::revoked: return "the certificate is revoked";
      case tls_errc::revocation_unknown: return "whether the certificate is revoked is unknown";
      case tls_errc::weak_certificate: return "a key or a signature of the certificate is too weak";
      case tls_errc::pin_mismatch: return "no key of the certificate chain is pinned";
      case tls_errc::invalid_certificate: return "the certificate is invalid";
      case tls_errc::certificate_required: return "a certificate is required";
      case tls_errc::protocol_version: return "no common version of TLS";
      case tls_errc::no_common_cipher: return "no common cipher, group or signature algorithm";
      case tls_errc::no_common_protocol: return "no common application protocol";
      case tls_errc::unrecognized_name: return "the server has no certificate for this name";
      case tls_errc::not_tls: return "the peer does not speak TLS";
      case tls_errc::truncated: return "the connection ended without the close_notify of TLS";
      case tls_errc::too_many_messages: return "the peer sends too many messages without data";
      case tls_errc::handshake_refused: return "the peer refused the handshake";
      case tls_errc::protocol: return "the TLS protocol was violated";
      case tls_errc::invalid_file: return "not a certificate, key or revocation list";
      case tls_errc::key_mismatch: return "the private key does not belong to the certificate";
      case tls_errc::internal: return "OpenSSL has failed";
    }
    return "unknown TLS error";
  }
};

constexpr category the_category;

}  // namespace

const boost::system::error_category& tls_category() noexcept { return the_category; }

tls_error::tls_error(const boost::system::error_code& code, const std::string& about,
                     std::optional<std::uint8_t> alert)
    : detailed_error(code, about), about_(about), alert_(alert) {}
tls_error::~tls_error() = default;

/// The text says everything about an error of TLS. Others, such as a limit that has passed, need the
/// message of the code.
const char* tls_error::what() const noexcept {
  return code().category() == tls_category() ? about_.what() : detailed_error::what();
}

std::exception_ptr tls_error::with_code(const boost::system::error_code& code) const {
  return std::make_exception_ptr(tls_error(code, about_.what(), alert_));
}

namespace detail {

failure tls_failure(tls_errc e) noexcept { return {static_cast<int>(e), &tls_category()}; }

std::string openssl_error_text() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return reason ? reason : "unknown error of OpenSSL";
}

tls_errc code_of_alert(int alert) noexcept {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE: return tls_errc::invalid_certificate;
    case SSL_AD_CERTIFICATE_REVOKED: return tls_errc::revoked;
    case SSL_AD_CERTIFICATE_EXPIRED: return tls_errc::certificate_expired;
    case SSL_AD_UNKNOWN_CA: return tls_errc::unknown_authority;
    case SSL_AD_CERTIFICATE_REQUIRED: return tls_errc::certificate_required;
    case SSL_AD_PROTOCOL_VERSION: return tls_errc::protocol_version;
    case SSL_AD_INSUFFICIENT_SECURITY: return tls_errc::no_common_cipher;
    case SSL_AD_NO_APPLICATION_PROTOCOL: return tls_errc::no_common_protocol;
    case SSL_AD_UNRECOGNIZED_NAME: return tls_errc::unrecognized_name;
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_ACCESS_DENIED: return tls_errc::handshake_refused;
    default: return tls_errc::protocol;
  }
}

std::string text_of_alert(int alert) {
  const char* const text = SSL_alert_desc_string_long(alert);
  return std::string(text ? text : "unknown") + " (TLS alert " + std::to_string(alert) + ")";
}

tls_errc code_of(unsigned long code) noexcept {
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) return tls_errc::protocol;
  switch (ERR_GET_REASON(code)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_INAPPROPRIATE_FALLBACK: return tls_errc::protocol_version;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER: return tls_errc::not_tls;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SHARED_GROUPS: return tls_errc::no_common_cipher;
    case SSL_R_NO_APPLICATION_PROTOCOL: return tls_errc::no_common_protocol;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return tls_errc::certificate_required;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_INVALID_STATUS_RESPONSE: return tls_errc::invalid_certificate;
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK: return tls_errc::weak_certificate;
    case ERR_R_MALLOC_FAILURE: return tls_errc::internal;
    default: return tls_errc::protocol;
  }
}

}  // namespace detail
}  // namespace cosock
