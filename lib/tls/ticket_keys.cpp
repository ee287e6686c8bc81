// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Making, changing and using the keys of tickets: AES-256-CBC with HMAC-SHA-256 (RFC 5077, section 4).

#include "tls/ticket_keys.hpp"

#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <algorithm>
#include <stdexcept>

namespace cosock::detail {

ticket_keys::ticket_keys() : keys_{make()} {}

ticket_keys::~ticket_keys() {
  for (key& one : keys_) OPENSSL_cleanse(&one, sizeof one);
}

ticket_keys::key ticket_keys::make() {
  key made;
  if (RAND_bytes(made.name.data(), static_cast<int>(made.name.size())) != 1 ||
      RAND_priv_bytes(made.cipher.data(), static_cast<int>(made.cipher.size())) != 1 ||
      RAND_priv_bytes(made.mac.data(), static_cast<int>(made.mac.size())) != 1)
    throw std::runtime_error("cosock: OpenSSL has no random numbers");
  made.made = clock::now();
  return made;
}

int ticket_keys::apply(unsigned char* name, unsigned char* vector, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac, bool encrypts) noexcept {
  key used;
  bool renews = false;
  try {
    const auto now = clock::now();
    const std::lock_guard lock(mutex_);
    if (now - keys_.front().made >= period) {
      keys_.insert(keys_.begin(), make());
      while (now - keys_.back().made >= period + lifetime) {
        OPENSSL_cleanse(&keys_.back(), sizeof(key));
        keys_.pop_back();
      }
    }
    const auto found =
        encrypts ? keys_.begin() : std::find_if(keys_.begin(), keys_.end(), [&](const key& one) {
          return std::equal(one.name.begin(), one.name.end(), name);
        });
    if (found == keys_.end()) return 0;  // a full handshake
    used = *found;
    renews = found != keys_.begin();
  } catch (...) {
    return -1;
  }
  int result = -1;
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, used.mac.data(), used.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>("SHA256"), 0),
      OSSL_PARAM_construct_end()};
  if (encrypts) {
    std::copy(used.name.begin(), used.name.end(), name);
    if (RAND_bytes(vector, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, used.cipher.data(), vector) == 1 &&
        EVP_MAC_CTX_set_params(mac, parameters) == 1)
      result = 1;
  } else if (EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
             EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, used.cipher.data(), vector) ==
                 1) {
    result = renews ? 2 : 1;
  }
  OPENSSL_cleanse(&used, sizeof used);
  return result;
}

}  // namespace cosock::detail
