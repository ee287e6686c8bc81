// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The verification of certificates. Runs inside handshakes, on the thread of the connection.

#include "tls/verify.hpp"

#include "core/text.hpp"

#include <openssl/ocsp.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace cosock::detail {

namespace {

tls_errc code_of_verification(int error) noexcept {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return tls_errc::certificate_expired;
    case X509_V_ERR_CERT_NOT_YET_VALID: return tls_errc::certificate_not_yet_valid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return tls_errc::name_mismatch;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED: return tls_errc::unknown_authority;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_CERT_REJECTED:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN: return tls_errc::wrong_purpose;
    case X509_V_ERR_CERT_REVOKED: return tls_errc::revoked;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE: return tls_errc::revocation_unknown;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK: return tls_errc::weak_certificate;
    default: return tls_errc::invalid_certificate;
  }
}

/// "3 days", "2 hours", of a positive number of seconds.
std::string span_text(std::time_t seconds) {
  const auto text = [](std::time_t n, const char* unit) {
    return detail::counted(static_cast<std::size_t>(n), unit);
  };
  if (seconds >= 2 * 86400) return text(seconds / 86400, "day");
  if (seconds >= 2 * 3600) return text(seconds / 3600, "hour");
  if (seconds >= 120) return text(seconds / 60, "minute");
  return text(seconds, "second");
}

std::string subject_of(X509* certificate) {
  const std::string text = name_text(X509_get_subject_name(certificate));
  return text.empty() ? "a certificate without a subject" : printable(text);
}

std::string issuer_of(X509* certificate) {
  const std::string text = name_text(X509_get_issuer_name(certificate));
  return text.empty() ? "an issuer without a name" : printable(text);
}

std::string names_text(X509* certificate) {
  constexpr std::size_t most = 20;
  const std::vector<std::string> names = alternative_names(certificate);
  if (names.empty())
    return "no DNS name and no IP address (its subject " + subject_of(certificate) +
           " does not count)";
  std::string text;
  for (std::size_t i = 0; i != std::min(names.size(), most); ++i)
    text += (i ? ", " : "") + printable(names[i]);
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

int on_verify(X509_STORE_CTX* chain, void*) {
  const auto* const ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const state = static_cast<verifying_state*>(state_of(ssl));
  if (state) return state->verify(chain);
  X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

}  // namespace

std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

void verifying_state::remember(tls_errc code, std::string about) {
  code_ = code;
  about_ = std::move(about);
}

void verifying_state::remember_chain(X509_STORE_CTX* chain, int error) {
  X509* const failed = X509_STORE_CTX_get_current_cert(chain);
  X509* const leaf = X509_STORE_CTX_get0_cert(chain);
  X509* const which = failed ? failed : leaf;
  const tls_errc code = code_of_verification(error);
  const std::string reason = X509_verify_cert_error_string(error);
  if (!which) return remember(code, "the certificate is refused: " + reason);
  const std::string subject = subject_of(which);
  switch (code) {
    case tls_errc::certificate_expired: {
      const ASN1_TIME* const end = X509_get0_notAfter(which);
      return remember(code, "the certificate has expired: " + subject + " was valid until " +
                                time_text(end) + ", " + span_text(seconds_since(end)) + " ago");
    }
    case tls_errc::certificate_not_yet_valid: {
      const ASN1_TIME* const begin = X509_get0_notBefore(which);
      return remember(code, "the certificate is not valid yet: " + subject + " is valid from " +
                                time_text(begin) + ", in " + span_text(-seconds_since(begin)));
    }
    case tls_errc::name_mismatch:
      return remember(code, "the certificate is not for " + expected_name() + ": it is for " +
                                names_text(leaf));
    case tls_errc::unknown_authority:
      if (error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
        return remember(code,
                        "the certificate " + subject + " is signed by itself, and is not trusted");
      if (error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN)
        return remember(code, "the authority " + subject + " is not trusted");
      return remember(code, "the authority " + issuer_of(which) + ", which has issued " + subject +
                                ", is not trusted, or an intermediate certificate is missing");
    case tls_errc::revoked:
      return remember(code, "the certificate " + subject + " is revoked by " + issuer_of(which));
    case tls_errc::revocation_unknown:
      return remember(code,
                      "whether the certificate " + subject + " is revoked is unknown: " + reason);
    default: return remember(code, "the certificate " + subject + " is refused: " + reason);
  }
}

bool verifying_state::is_pinned(X509_STORE_CTX* chain) const {
  if (pins().empty()) return true;
  // Without verification the chain is what the peer has sent, of which only the first key is proven.
  STACK_OF(X509)* const verified = verifies() ? X509_STORE_CTX_get0_chain(chain) : nullptr;
  const int count = verified ? sk_X509_num(verified) : 1;
  for (int i = 0; i < count; ++i) {
    X509* const one = verified ? sk_X509_value(verified, i) : X509_STORE_CTX_get0_cert(chain);
    if (std::find(pins().begin(), pins().end(), key_pin_of(one)) != pins().end()) return true;
  }
  return false;
}

int verifying_state::verify(X509_STORE_CTX* chain) noexcept {
  try {
    if (verifies()) {
      if (X509_verify_cert(chain) != 1) {
        int error = X509_STORE_CTX_get_error(chain);
        if (error == X509_V_OK) error = X509_V_ERR_UNSPECIFIED;
        X509_STORE_CTX_set_error(chain, error);
        remember_chain(chain, error);
        return 0;
      }
    }
    if (!is_pinned(chain)) {
      X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
      remember(tls_errc::pin_mismatch, "no key of the certificate chain of " +
                                           subject_of(X509_STORE_CTX_get0_cert(chain)) +
                                           " is pinned");
      return 0;
    }
    X509_STORE_CTX_set_error(chain, X509_V_OK);
    return 1;
  } catch (...) {
    X509_STORE_CTX_set_error(chain, X509_V_ERR_OUT_OF_MEM);
    return 0;
  }
}

int verifying_state::verify_response(SSL* ssl) noexcept {
  const unsigned char* der = nullptr;
  const long size = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
  if (!der || size <= 0 || !verifies()) return 1;
  try {
    const std::unique_ptr<OCSP_RESPONSE, openssl_free<&OCSP_RESPONSE_free>> response(
        d2i_OCSP_RESPONSE(nullptr, &der, size));
    const std::unique_ptr<OCSP_BASICRESP, openssl_free<&OCSP_BASICRESP_free>> basic(
        response ? OCSP_response_get1_basic(response.get()) : nullptr);
    STACK_OF(X509)* const chain = SSL_get0_verified_chain(ssl);
    if (!chain || sk_X509_num(chain) == 0) return 1;  // resumed: verified before
    X509* const leaf = sk_X509_value(chain, 0);
    X509* const issuer = sk_X509_num(chain) > 1 ? sk_X509_value(chain, 1) : leaf;
    const auto refuse = [&](const char* why) {
      remember(tls_errc::revocation_unknown,
               "the OCSP response for the certificate " + subject_of(leaf) + " is refused: " + why);
      return 0;
    };
    if (!basic) return refuse("it is malformed, or reports an error");
    if (OCSP_basic_verify(basic.get(), chain, SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)), 0) != 1)
      return refuse("its signature is not trusted");
    const std::unique_ptr<OCSP_CERTID, openssl_free<&OCSP_CERTID_free>> id(
        OCSP_cert_to_id(nullptr, leaf, issuer));
    int status = V_OCSP_CERTSTATUS_UNKNOWN;
    int reason = 0;
    ASN1_GENERALIZEDTIME* revoked = nullptr;
    ASN1_GENERALIZEDTIME* from = nullptr;
    ASN1_GENERALIZEDTIME* until = nullptr;
    if (OCSP_resp_find_status(basic.get(), id.get(), &status, &reason, &revoked, &from, &until) !=
        1)
      return refuse("it is for another certificate");
    if (OCSP_check_validity(from, until, 300, -1) != 1) return refuse("it is out of date");
    if (status == V_OCSP_CERTSTATUS_REVOKED) {
      remember(tls_errc::revoked,
               "the certificate " + subject_of(leaf) +
                   " is revoked by its authority, as the OCSP response says, since " +
                   time_text(revoked));
      return 0;
    }
    return status == V_OCSP_CERTSTATUS_GOOD ? 1 : refuse("it does not know the certificate");
  } catch (...) {
    return 0;
  }
}

void verifying_state::describe(std::string& about, boost::system::error_code& code) {
  if (!code_) return;
  code = *code_;
  about = about_;
}

ssl_context_ptr new_context(const SSL_METHOD* method, bool is_1_3_required) {
  clear_openssl_errors();
  ssl_context_ptr context(not_null(SSL_CTX_new(method)));
  SSL_CTX* const c = context.get();
  SSL_CTX_set_min_proto_version(c, is_1_3_required ? TLS1_3_VERSION : TLS1_2_VERSION);
  // 112 bits: no SHA-1, no RSA below 2048. Systems differ in their defaults.
  SSL_CTX_set_security_level(c, 2);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // Buffers exist only while a record is on its way.
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(c, 1);
  SSL_CTX_set_cert_verify_callback(c, on_verify, nullptr);
  // A certificate that was added may be an intermediate one, or that of the peer itself.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c), X509_V_FLAG_PARTIAL_CHAIN);
  set_callbacks(c);
  return context;
}

void trust::add_roots(std::string_view pem, const std::string& origin) {
  const certificates_ptr all = read_certificates(pem, origin);
  while (X509* const one = sk_X509_shift(all.get())) roots.emplace_back(one);
}

void trust::add_revocation_lists(std::string_view pem, const std::string& origin) {
  for (crl_ptr& one : read_revocation_lists(pem, origin))
    revocation_lists.push_back(std::move(one));
}

void trust::put_into(SSL_CTX* context) const {
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  for (const certificate_ptr& one : roots)
    if (X509_STORE_add_cert(store, one.get()) != 1) throw std::bad_alloc();
  for (const crl_ptr& one : revocation_lists)
    if (X509_STORE_add_crl(store, one.get()) != 1) throw std::bad_alloc();
  if (!revocation_lists.empty())
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

void append_protocol(std::string& list, std::string_view name) {
  if (name.empty() || name.size() > 255)
    throw std::invalid_argument("cosock: the name of an application protocol has 1 to 255 bytes");
  list += static_cast<char>(name.size());
  list += name;
  if (list.size() > 65535) throw std::invalid_argument("cosock: too many application protocols");
}

key_log::key_log(const std::string& path)
    : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (file_ < 0)
    throw boost::system::system_error(
        boost::system::error_code(errno, boost::system::system_category()), path);
}

key_log::~key_log() { ::close(file_); }

void key_log::append(const char* line) const noexcept {
  try {
    const std::string text = std::string(line) + '\n';
    // In one piece, because several threads may append. A log that is full is no error of the connection.
    [[maybe_unused]] const ssize_t n = ::write(file_, text.data(), text.size());
  } catch (...) {
    // No memory for the line.
  }
}

}  // namespace cosock::detail
