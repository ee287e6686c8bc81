// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Owners of OpenSSL's objects, and its queue of errors. No header of OpenSSL is included elsewhere but in
// sources of this folder. Called by all of them.

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace cosock::detail {

template <auto Free>
struct openssl_free {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

inline void free_memory(void* memory) noexcept { OPENSSL_free(memory); }
inline void free_certificates(STACK_OF(X509) * all) noexcept { sk_X509_pop_free(all, X509_free); }

using bio_ptr = std::unique_ptr<BIO, openssl_free<&BIO_free_all>>;
using certificate_ptr = std::unique_ptr<X509, openssl_free<&X509_free>>;
using certificates_ptr = std::unique_ptr<STACK_OF(X509), openssl_free<&free_certificates>>;
using crl_ptr = std::unique_ptr<X509_CRL, openssl_free<&X509_CRL_free>>;
template <class T>
using memory_ptr = std::unique_ptr<T, openssl_free<&free_memory>>;
using key_ptr = std::unique_ptr<EVP_PKEY, openssl_free<&EVP_PKEY_free>>;
using session_ptr = std::unique_ptr<SSL_SESSION, openssl_free<&SSL_SESSION_free>>;
using ssl_ptr = std::unique_ptr<SSL, openssl_free<&SSL_free>>;

/// When the session was made, as time(2) returns it.
inline std::time_t time_of(const SSL_SESSION* session) noexcept {
#if OPENSSL_VERSION_NUMBER >= 0x30400000L
  return SSL_SESSION_get_time_ex(session);  // the other is deprecated
#else
  return SSL_SESSION_get_time(session);
#endif
}
using ssl_context_ptr = std::unique_ptr<SSL_CTX, openssl_free<&SSL_CTX_free>>;
using store_ptr = std::unique_ptr<X509_STORE, openssl_free<&X509_STORE_free>>;

/// To be called before each call of OpenSSL whose error is looked at: the queue belongs to the thread,
/// and other code may have left errors there. To look is cheaper than to clear.
inline void clear_openssl_errors() noexcept {
  if (ERR_peek_error() != 0) [[unlikely]]
    ERR_clear_error();
}

/// For functions of OpenSSL that return null only if there is no memory.
template <class T>
T* not_null(T* made) {
  if (!made) throw std::bad_alloc();
  return made;
}

/// The text of the last error in the queue, without its numbers and places.
std::string openssl_error_text();

/// A BIO that reads this memory.
inline bio_ptr memory_bio(std::string_view text) {
  return bio_ptr(not_null(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))));
}

}  // namespace cosock::detail
