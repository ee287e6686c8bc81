// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What certificates say, and reading them. It owns nothing, and may be called on any thread.

#include <cosock/tls_certificate.hpp>

#include "tls/certificate.hpp"

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>

namespace cosock {

namespace detail {

std::string read_file(const std::string& path) {
  const auto fail = [&path](int number) {
    throw boost::system::system_error(
        boost::system::error_code(number, boost::system::system_category()), path);
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "rbe"), [](std::FILE* f) { return std::fclose(f); });
  if (!file) fail(errno);
  std::string text;
  char block[4096];
  std::size_t n;
  while ((n = std::fread(block, 1, sizeof block, file.get())) != 0) text.append(block, n);
  if (std::ferror(file.get())) fail(errno);
  return text;
}

void raise_unreadable(tls_errc code, const std::string& origin, const std::string& what) {
  std::string text = origin + ": " + what;
  if (ERR_peek_last_error() != 0) text += " (" + openssl_error_text() + ")";
  ERR_clear_error();
  throw tls_error(code, text, std::nullopt);
}

namespace {

/// Answers OpenSSL's question for a password; without this it would ask on the terminal.
int password_for(char* into, int size, int, void* password) {
  const auto& text = *static_cast<const std::string*>(password);
  if (text.empty() || text.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(into, text.data(), text.size());
  return static_cast<int>(text.size());
}

/// Whether reading has ended because there is no further PEM block.
bool at_the_end() noexcept {
  const unsigned long code = ERR_peek_last_error();
  const bool ended =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (ended) ERR_clear_error();
  return ended;
}

void push(STACK_OF(X509) * to, X509* certificate) {
  if (sk_X509_push(to, certificate) > 0) return;
  X509_free(certificate);
  throw std::bad_alloc();
}

std::string text_of(const std::unique_ptr<BIO, openssl_free<&BIO_free_all>>& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

bio_ptr text_bio() { return bio_ptr(not_null(BIO_new(BIO_s_mem()))); }

std::string address_text(const ASN1_OCTET_STRING* address) {
  const unsigned char* const b = ASN1_STRING_get0_data(address);
  const int size = ASN1_STRING_length(address);
  std::string text;
  char part[8];
  for (int i = 0; i < size; i += size == 4 ? 1 : 2) {
    if (size == 4)
      std::snprintf(part, sizeof part, "%s%u", i ? "." : "", b[i]);
    else if (i + 1 < size)
      std::snprintf(part, sizeof part, "%s%x", i ? ":" : "", b[i] << 8 | b[i + 1]);
    text += part;
  }
  return text;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* at) noexcept {
  std::tm broken = {};
  if (!at || ASN1_TIME_to_tm(at, &broken) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&broken));
}

}  // namespace

certificates_ptr read_certificates(std::string_view pem, const std::string& origin) {
  clear_openssl_errors();
  const bio_ptr bio = memory_bio(pem);
  certificates_ptr all(not_null(sk_X509_new_null()));
  std::string none;
  while (X509* const one = PEM_read_bio_X509_AUX(bio.get(), nullptr, password_for, &none))
    push(all.get(), one);
  if (!at_the_end()) raise_unreadable(tls_errc::invalid_file, origin, "a certificate is malformed");
  if (sk_X509_num(all.get()) == 0)
    raise_unreadable(tls_errc::invalid_file, origin, "there is no certificate in PEM");
  return all;
}

std::vector<crl_ptr> read_revocation_lists(std::string_view pem, const std::string& origin) {
  clear_openssl_errors();
  const bio_ptr bio = memory_bio(pem);
  std::vector<crl_ptr> all;
  std::string none;
  while (crl_ptr one{PEM_read_bio_X509_CRL(bio.get(), nullptr, password_for, &none)})
    all.push_back(std::move(one));
  if (!at_the_end())
    raise_unreadable(tls_errc::invalid_file, origin, "a revocation list is malformed");
  if (all.empty())
    raise_unreadable(tls_errc::invalid_file, origin, "there is no revocation list in PEM");
  return all;
}

namespace {

void check_key(const key_and_chain& made, const std::string& origin) {
  clear_openssl_errors();
  if (X509_check_private_key(made.certificate.get(), made.key.get()) != 1)
    raise_unreadable(tls_errc::key_mismatch, origin,
                     "the private key does not belong to the first certificate");
}

/// Whether peers of security level 2 refuse the signature. That of a root does not matter to them.
bool has_weak_signature(X509* certificate) noexcept {
  int bits = 0;
  return !(X509_get_extension_flags(certificate) & EXFLAG_SS) &&
         X509_get_signature_info(certificate, nullptr, nullptr, &bits, nullptr) == 1 && bits < 112;
}

}  // namespace

void use_identity(SSL_CTX* context, const key_and_chain& shown, const std::string& origin) {
  clear_openssl_errors();
  if (SSL_CTX_use_cert_and_key(context, shown.certificate.get(), shown.key.get(), shown.chain.get(),
                               1) != 1)
    raise_unreadable(tls_errc::weak_certificate, origin, "OpenSSL refuses the certificate");
  // OpenSSL 3.0 looks at the signatures itself, 3.5 does not.
  bool is_weak = has_weak_signature(shown.certificate.get());
  for (int i = 0; i < sk_X509_num(shown.chain.get()); ++i)
    is_weak |= has_weak_signature(sk_X509_value(shown.chain.get(), i));
  if (is_weak)
    raise_unreadable(tls_errc::weak_certificate, origin, "the signature of a certificate is weak");
}

void check_ocsp_response(std::string_view der, X509* certificate, const std::string& origin) {
  clear_openssl_errors();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const std::unique_ptr<OCSP_RESPONSE, openssl_free<&OCSP_RESPONSE_free>> response(
      d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())));
  const std::unique_ptr<OCSP_BASICRESP, openssl_free<&OCSP_BASICRESP_free>> basic(
      response ? OCSP_response_get1_basic(response.get()) : nullptr);
  clear_openssl_errors();
  if (!basic)
    raise_unreadable(tls_errc::invalid_file, origin,
                     "it is not an OCSP response (DER), or reports an error");
  // The issuer, whose key is a part of the whole identifier, may be missing in the chain.
  for (int i = 0; i < OCSP_resp_count(basic.get()); ++i) {
    ASN1_INTEGER* serial = nullptr;
    const OCSP_CERTID* const id = OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic.get(), i));
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, const_cast<OCSP_CERTID*>(id));
    if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0) return;
  }
  raise_unreadable(tls_errc::invalid_file, origin, "the OCSP response is for another certificate");
}

key_and_chain read_identity(std::string_view chain, std::string_view key,
                            const std::string& password, const std::string& origin) {
  key_and_chain made;
  made.chain = read_certificates(chain, origin);
  made.certificate.reset(sk_X509_shift(made.chain.get()));
  clear_openssl_errors();
  const bio_ptr bio = memory_bio(key);
  std::string secret = password;
  made.key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, password_for, &secret));
  OPENSSL_cleanse(secret.data(), secret.size());
  if (!made.key)
    raise_unreadable(tls_errc::invalid_file, origin,
                     "there is no private key in PEM, or its password is wrong");
  check_key(made, origin);
  return made;
}

key_and_chain read_pkcs12(std::string_view data, const std::string& password,
                          const std::string& origin) {
  clear_openssl_errors();
  const bio_ptr bio = memory_bio(data);
  const std::unique_ptr<PKCS12, openssl_free<&PKCS12_free>> archive(
      d2i_PKCS12_bio(bio.get(), nullptr));
  if (!archive) raise_unreadable(tls_errc::invalid_file, origin, "not an archive of PKCS#12");
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
  STACK_OF(X509)* chain = nullptr;
  const int parsed = PKCS12_parse(archive.get(), password.c_str(), &key, &certificate, &chain);
  key_and_chain made{certificate_ptr(certificate), certificates_ptr(chain), key_ptr(key)};
  if (parsed != 1)
    raise_unreadable(tls_errc::invalid_file, origin,
                     "the password is wrong, or the archive damaged");
  if (!made.certificate || !made.key)
    raise_unreadable(tls_errc::invalid_file, origin, "there is no certificate with its key");
  if (!made.chain) made.chain.reset(not_null(sk_X509_new_null()));
  check_key(made, origin);
  return made;
}

std::string name_text(const X509_NAME* name) {
  if (!name) return {};
  const bio_ptr bio = text_bio();
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return text_of(bio);
}

std::vector<std::string> alternative_names(X509* certificate) {
  std::vector<std::string> names;
  const std::unique_ptr<GENERAL_NAMES, openssl_free<&GENERAL_NAMES_free>> all(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all.get(), i), &type);
    if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI) {
      const auto* const text = static_cast<const ASN1_IA5STRING*>(value);
      names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                         static_cast<std::size_t>(ASN1_STRING_length(text)));
    } else if (type == GEN_IPADD) {
      names.push_back(address_text(static_cast<const ASN1_OCTET_STRING*>(value)));
    }
  }
  return names;
}

std::array<unsigned char, 32> key_pin_of(X509* certificate) {
  std::array<unsigned char, 32> pin = {};
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return pin;
  EVP_Digest(der, static_cast<std::size_t>(size), pin.data(), nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  return pin;
}

std::string time_text(const ASN1_TIME* at) {
  std::tm broken = {};
  if (!at || ASN1_TIME_to_tm(at, &broken) != 1) return "an unknown time";
  char text[40];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &broken)};
}

std::time_t seconds_since(const ASN1_TIME* at) noexcept {
  int days = 0;
  int seconds = 0;
  if (!at || ASN1_TIME_diff(&days, &seconds, at, nullptr) != 1) return 0;
  return std::time_t{86400} * days + seconds;
}

struct certificate_fields {
  static tls_certificate of(X509* certificate);

  mutable std::atomic<std::size_t> copies = 1;
  std::string subject;
  std::string issuer;
  std::vector<std::string> names;
  std::string serial_number;
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::array<unsigned char, 32> fingerprint = {};
  std::array<unsigned char, 32> key_pin = {};
  std::vector<unsigned char> der;
};

tls_certificate certificate_fields::of(X509* certificate) {
  auto made = std::make_unique<certificate_fields>();
  certificate_fields& told = *made;
  told.subject = name_text(X509_get_subject_name(certificate));
  told.issuer = name_text(X509_get_issuer_name(certificate));
  told.names = alternative_names(certificate);
  const std::unique_ptr<BIGNUM, openssl_free<&BN_free>> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  const memory_ptr<char> digits(number ? BN_bn2hex(number.get()) : nullptr);
  if (digits) told.serial_number = digits.get();
  told.not_before = time_of(X509_get0_notBefore(certificate));
  told.not_after = time_of(X509_get0_notAfter(certificate));
  unsigned int size = static_cast<unsigned int>(told.fingerprint.size());
  X509_digest(certificate, EVP_sha256(), told.fingerprint.data(), &size);
  told.key_pin = key_pin_of(certificate);
  unsigned char* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  const memory_ptr<unsigned char> owned(der);
  if (length > 0) told.der.assign(der, der + length);
  return tls_certificate(*made.release());
}

tls_certificate describe_certificate(X509* certificate) {
  return certificate_fields::of(certificate);
}

}  // namespace detail

tls_certificate::tls_certificate(const detail::certificate_fields& fields) noexcept
    : fields_(&fields) {}
tls_certificate::tls_certificate(const tls_certificate& other) noexcept : fields_(other.fields_) {
  fields_->copies.fetch_add(1, std::memory_order_relaxed);
}
tls_certificate& tls_certificate::operator=(const tls_certificate& other) noexcept {
  tls_certificate copy(other);
  std::swap(fields_, copy.fields_);
  return *this;
}
tls_certificate::~tls_certificate() {
  if (fields_->copies.fetch_sub(1, std::memory_order_acq_rel) == 1) delete fields_;
}

const std::string& tls_certificate::subject() const noexcept { return fields_->subject; }
const std::string& tls_certificate::issuer() const noexcept { return fields_->issuer; }
std::span<const std::string> tls_certificate::names() const noexcept { return fields_->names; }
const std::string& tls_certificate::serial_number() const noexcept {
  return fields_->serial_number;
}
std::chrono::system_clock::time_point tls_certificate::not_before() const noexcept {
  return fields_->not_before;
}
std::chrono::system_clock::time_point tls_certificate::not_after() const noexcept {
  return fields_->not_after;
}
const std::array<unsigned char, 32>& tls_certificate::fingerprint() const noexcept {
  return fields_->fingerprint;
}
const std::array<unsigned char, 32>& tls_certificate::key_pin() const noexcept {
  return fields_->key_pin;
}
std::span<const unsigned char> tls_certificate::der() const noexcept { return fields_->der; }

}  // namespace cosock
